"""The biases and norms of a block, or of the embeddings, are one variable: what lies where in it.

A variable is an argument of every function of an archive, and each costs time and memory at every load; a block has
eight short vectors beside its four matrices. They are taken apart where a layer begins to compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from export.weights.config import EncoderConfig

VECTORS = "vectors"
EMBEDDINGS = "embeddings"


def widths(config: EncoderConfig, part: str = "block") -> dict[str, int]:
    """Return the vectors of a part in the order they lie beside each other, and how many numbers each has.

    widths(config)["attention/norm/gamma"]  # 768
    """
    h, f, n = config.hidden_size, config.intermediate_size, config.normed_size
    if part == EMBEDDINGS:
        return {"norm/gamma": n, "norm/beta": n}
    return {
        "attention/query_key_value/bias": 3 * h,
        "attention/output/bias": h,
        "attention/norm/gamma": h,
        "attention/norm/beta": h,
        "ffn/expand/bias": f,
        "ffn/contract/bias": h,
        "ffn/norm/gamma": h,
        "ffn/norm/beta": h,
    }


def with_vectors(weights: Mapping[str, Any], config: EncoderConfig, part: str = "block") -> dict[str, Any]:
    """Return the weights of a part, and its vectors besides, each by its own name."""
    sizes = widths(config, part)
    apart = tf.split(weights[VECTORS], list(sizes.values()))
    return {**weights, **dict(zip(sizes, apart, strict=True))}
