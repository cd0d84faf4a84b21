"""Models that read first tokens alone: their last layer computes nothing else, and gives the same numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.convert.rebuilding import Convertible
from export.encoder.encoder import Encoder, Inference
from export.encoder.plain import Plain
from export.encoder.training import Training
from export.saved_model.text_model import TextModel
from tests.export.encoder.test_positions import NO_DROPOUT, TOLERANCE, mixed
from tests.export.families.test_siblings import checkpoint_of, planned
from zoo.contract import INPUT_KEYS, Pooling

INPUTS = [*map(tf.constant, mixed(20))]  # six texts, one without its first token, one without any


class Counting(Convertible):
    """Notes how many rows go through the feed-forward of each layer."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def transition(self, dense: Any, x: tf.Tensor, config: Any) -> tf.Tensor:
        self.rows.append(len(x))
        return super().transition(dense, x, config)


def encoder_of(model_type: str) -> Encoder:
    return planned(checkpoint_of(model_type, **NO_DROPOUT)).encoder()


def values(encoder: Encoder, first_only: bool) -> list[np.ndarray]:
    """Return both outputs of first tokens, and the gradients of a loss of them."""
    variables = [*encoder.weights.values()]

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            outputs = encoder.encode(*INPUTS, first_only)
            first, pooled = outputs["sequence_output"][:, :1], outputs["pooled_output"]
            loss = tf.reduce_sum(first**3) + tf.reduce_sum(pooled**2)
        return [first, pooled, *map(tf.convert_to_tensor, tape.gradient(loss, variables))]

    return [each.numpy() for each in step()]


@pytest.mark.parametrize("model_type", ["bert", pytest.param("nezha", marks=pytest.mark.slow)])
def test_values_and_gradients_are_those_of_the_whole_layer(model_type: str) -> None:
    whole = encoder_of(model_type)
    expected = values(whole, first_only=False)
    forms: list[tuple[Inference, Any]] = [(whole.forms, whole.layout), (Training(recompute=True), whole.layout)]
    for form, layout in [*forms, (whole.forms, Plain)]:
        found = values(replace(whole, forms=form, layout=layout), first_only=True)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=TOLERANCE * max(1.0, np.abs(one).max()))


@pytest.mark.parametrize("layout", [None, Plain])
def test_the_last_layer_computes_one_row_a_text(layout: Any) -> None:
    whole, counting = encoder_of("bert"), Counting()
    encoder = replace(whole, forms=counting, layout=layout or whole.layout)
    outputs: Any = encoder(*INPUTS, first_only=True)
    is_kept = (INPUTS[1].numpy() != 0) | (np.arange(20) == 0)
    tokens = 6 * 20 if layout is Plain else is_kept.sum()
    assert counting.rows == [tokens] * (len(outputs.outputs) - 1) + [6]
    assert [len(each.shape) for each in outputs.outputs] == [3] * len(outputs.outputs)
    assert outputs.outputs[-1].shape[:2] == (6, 1) and outputs.outputs[0].shape[:2] == (6, 20)


@pytest.mark.parametrize(
    ("pooling", "first_only"),
    [("first", True), ("pooled", True), ("pooled+first", True), ("first+max", False), ("mean", False), (None, False)],
)
def test_pooling_decides(pooling: Pooling | None, first_only: bool) -> None:
    """A task without pooling reads every token."""
    asked: list[bool] = []

    def encode(*given: Any) -> dict[str, Any]:
        asked.append(given[-1])
        return {}

    task, inside, nothing = (SimpleNamespace(pooling=pooling), SimpleNamespace(encode=encode), SimpleNamespace())
    model = TextModel(task, nothing, inside, {})  # type: ignore[arg-type]
    model.encode(dict(zip(INPUT_KEYS, INPUTS, strict=True)), training=False)
    assert asked == [first_only]
