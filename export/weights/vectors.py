"""The biases and norms of a block, or the norm of the embeddings, are stored as one variable. Here is its layout.

Every variable is an argument of every function of an archive, and costs time and memory at each load. A block has four
matrices and eight short vectors, so one variable for all eight saves seven. Each layer splits it before it computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.weights.config import EncoderConfig

VECTORS = "vectors"
EMBEDDINGS = "embeddings"


def widths(config: EncoderConfig, part: str = "block") -> dict[str, int]:
    """Return the names of the vectors of a part, in their order in the variable, and the length of each.

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
    """Return the weights of a part together with its vectors, split from the variable, each by its own name."""
    import tensorflow as tf

    sizes = widths(config, part)
    apart = tf.split(weights[VECTORS], list(sizes.values()))
    return {**weights, **dict(zip(sizes, apart, strict=True))}
