"""The biases and norms of a block, which are one variable: which lies where in it.

A variable is an argument of every function of an archive, and each costs time and memory at every load; a block has
eight short vectors and four matrices. They are split where a layer begins to compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from export.config import EncoderConfig

VECTORS = "vectors"


def widths(config: EncoderConfig) -> dict[str, int]:
    """Return the vectors of a block in the order they lie beside each other, and how many numbers each has.

    widths(config)["attention/norm/gamma"]  # 768
    """
    h, f = config.hidden_size, config.intermediate_size
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


def with_vectors(block: Mapping[str, Any], config: EncoderConfig) -> dict[str, Any]:
    """Return the weights of a block, and its vectors besides, each by its own name."""
    sizes = widths(config)
    apart = tf.split(block[VECTORS], list(sizes.values()))
    return {**block, **dict(zip(sizes, apart, strict=True))}
