"""The vector of a text: pooling, dense layers, normalisation, as sentence-transformers computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.tasks.table import Task
from zoo.contract import VECTOR

if TYPE_CHECKING:
    import tensorflow as tf

    from export.saved_model.text_model import Inputs, TextModel

_TINY = 1e-12  # the least length that a vector is divided by; as torch.nn.functional.normalize


def _vector(model: TextModel, text: tf.Tensor, training: bool) -> Mapping[str, Any]:
    """Return [B, D]."""
    return _vector_of_ids(model, model.packed(text), training)


def _vector_of_ids(model: TextModel, inputs: Inputs, training: bool) -> Mapping[str, tf.Tensor]:
    import tensorflow as tf

    vectors = model.head(model.encode(inputs, training), training)
    if model.task.normalize:
        length = tf.sqrt(tf.reduce_sum(vectors * vectors, -1, keepdims=True))
        vectors = vectors / tf.maximum(length, _TINY)
    return {VECTOR: vectors}


VECTORS = Task(
    name="vector",
    title="vectors of texts",
    classes=(),
    forms=(),
    answer=_vector,
    numbers=_vector_of_ids,
    axes={VECTOR: "BD"},
)
