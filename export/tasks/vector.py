"""The vector of a text: pooling, dense layers, normalisation, as sentence-transformers computes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.tasks.table import Task
from zoo.contract import VECTOR

if TYPE_CHECKING:
    import tensorflow as tf

    from export.saved_model.text_model import Inputs, TextModel


def _vector(model: TextModel, text: tf.Tensor, training: bool) -> Mapping[str, Any]:
    """Return [B, D]."""
    return _vector_of_ids(model, model.packed(text), training)


def _vector_of_ids(model: TextModel, inputs: Inputs, training: bool) -> Mapping[str, tf.Tensor]:
    from export.encoder.pooling import unit

    vectors = model.head(model.encode(inputs, training), training)
    return {VECTOR: unit(vectors) if model.task.normalize else vectors}


VECTORS = Task(
    name="vector",
    title="vectors of texts",
    classes=(),
    forms=(),
    answer=_vector,
    numbers=_vector_of_ids,
    axes={VECTOR: "BD"},
)
