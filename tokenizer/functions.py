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
    """Return a tf.function with a fixed signature, so that a call with a Python list traces no new graph."""
    return tf.function(function, input_signature=signature, autograph=False)


def seldom_called(function: Callable[..., Any], *signature: tf.TypeSpec) -> Any:
    """Return a `graph_function` that is never inlined, for a branch that few calls take.

    TensorFlow replaces a call by all operations of the function and then skips them one by one where the branch is not
    taken. `_noinline` keeps the call one operation. The difference shows where a whole call takes under a millisecond.
    """
    attributes = {"_noinline": True}
    return tf.function(function, input_signature=signature, autograph=False, experimental_attributes=attributes)
