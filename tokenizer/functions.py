"""How the functions of a tokenizer are traced: once each, with a fixed signature.

Shapes: B texts or rows, S segments of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

TEXTS = tf.TensorSpec([None], tf.string, name="text")  # (B,)
TEXTS_OR_ROWS = tf.TensorSpec(None, tf.string, name="text")  # (B,) or (B, S)


def graph_function(function: Callable[..., Any], *signature: tf.TypeSpec) -> Any:
    """Return a tf.function of fixed signature: Python lists do not trace it anew."""
    return tf.function(function, input_signature=signature, autograph=False)


def seldom_called(function: Callable[..., Any], *signature: tf.TypeSpec) -> Any:
    """Return the same for a branch that few calls take: one operation for the others.

    TensorFlow puts a function's operations in the place of its call, and passes over each of those in a branch that
    is not taken. That is felt where a call takes less than a millisecond.
    """
    attributes = {"_noinline": True}
    return tf.function(function, input_signature=signature, autograph=False, experimental_attributes=attributes)
