"""Gradients of saved encoders in training, also of layers that are computed again, are the plain ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from export.convert.rebuilding import plain_encoder
from export.encoder.encoder import Drops, Encoder, Inference
from export.encoder.training import Dropout, Training
from export.encoder.unpadding import Packed
from export.options import EncoderRequest
from export.planning import plan_encoder
from export.weights.config import EncoderConfig
from tests.export.conftest import as_inputs, case, save_and_load, sketched_card, write_odd


def given(real: int) -> dict[str, tf.Tensor]:
    """Return three texts of 9 tokens, one of which has only so many."""
    inputs = case(3, 9)
    mask = np.ones_like(inputs.mask)
    mask[1, real:] = 0
    return {name: tf.constant(array) for name, array in as_inputs(inputs._replace(mask=mask)).items()}


def gradients(
    variables: Sequence[tf.Variable], encode: Callable[[Mapping[str, tf.Tensor]], Any], real: int = 5
) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        outputs = encode(given(real))
        loss = tf.reduce_sum(tf.square(outputs["pooled_output"] - 0.5))
        loss += tf.reduce_sum(outputs["sequence_output"] ** 3) + tf.reduce_sum(outputs["encoder_outputs"][0] ** 2)
    found = tape.gradient(loss, variables)
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found]


def encoded(encoder: Encoder, inputs: Mapping[str, tf.Tensor]) -> dict[str, Any]:
    return encoder.encode(*inputs.values())


def weight_products(encoder: Any) -> int:
    """Return how many products with a weight a training step computes, once TensorFlow has optimised its graph."""
    inputs = {name: tf.constant(array) for name, array in as_inputs(case(2, 9)).items()}

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(encoder(inputs, training=True)["pooled_output"])
        return tape.gradient(loss, encoder.trainable_variables[1:])

    context.enable_run_metadata()
    try:
        step()
        graphs = [graph for each in context.export_run_metadata().function_graphs for graph in each.partition_graphs]
    finally:
        context.disable_run_metadata()
    operations = [node.op for graph in graphs for node in graph.node]
    return sum(operation.endswith("MatMul") for operation in operations)  # those of attention are BatchMatMulV2


FAMILIES = [
    pytest.param("bert", marks=pytest.mark.slow),  # its layers are those of ALBERT, each with variables of its own
    "albert of two groups",
    pytest.param("albert_brightmart", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of one block, and of ALBERT one more of another block."""
    directory = tmp_path_factory.mktemp("odd")
    layers = 3 if "groups" in request.param else 2
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    write_odd(directory, family=request.param, num_hidden_layers=layers, **without)
    return directory


@pytest.fixture(scope="module")
def recomputed(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The odd encoder, which computes its layers again."""
    return save_and_load(odd, tmp_path_factory.mktemp("recomputed"), recompute=True, heads=())


def plain_of(checkpoint: Path, variables: Sequence[tf.Variable]) -> Encoder:
    """Return an encoder of these variables that moves no tokens and calls no saved function."""
    return plain_encoder(variables, sketched_card(plan_encoder(EncoderRequest(checkpoint, "odd", checkpoint))))


@pytest.mark.parametrize("recompute", [pytest.param(False, marks=pytest.mark.slow), True])
def test_training_gives_the_plain_gradients(recompute: bool, checkpoint: Path, tmp_path: Path) -> None:
    encoder = save_and_load(checkpoint, tmp_path, recompute=recompute, heads=())
    variables = encoder.trainable_variables
    expected = gradients(variables, partial(encoded, plain_of(checkpoint, encoder.variables)))
    for training in [True] if recompute else [False, True]:  # without training nothing is computed again
        found = gradients(variables, partial(encoder, training=training))
        for variable, one, other in zip(variables, expected, found, strict=True):
            scale = np.abs(one).max()
            np.testing.assert_allclose(other / scale, one / scale, atol=2e-5, err_msg=variable.name)


def test_a_layer_that_is_computed_again_drops_the_same(recomputed: Any, encoder: Any) -> None:
    """With dropout: the same seeds give the same gradients, whether kept or computed again."""
    found = []
    for each in (encoder, recomputed):
        tf.random.set_seed(7)
        found.append(gradients(each.trainable_variables, partial(each, training=True)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(one).max())
    plain = gradients(encoder.trainable_variables, encoder)
    assert any(np.abs(one - other).max() > 1e-3 for one, other in zip(found[0], plain, strict=True))


def drawn(shape: tf.Tensor) -> tf.Tensor:
    """Return numbers below 2^16 that look like chance and are the same for every tensor of a shape."""
    numbers = tf.range(tf.reduce_prod(shape), dtype=tf.int64)
    return tf.reshape(numbers * numbers * 40503 // 7 % 2**16, shape)


class PlainDropout(Inference):
    """The formulas of inference with dropout as Srivastava et al. (2014) scale it, in one expression."""

    def drops(self, seed: Any, config: EncoderConfig) -> Drops:
        def drop(rate: float, x: tf.Tensor) -> tf.Tensor:
            return x * tf.cast(drawn(tf.shape(x)) >= int(rate * 2**16), x.dtype) / (1.0 - rate)

        scores, hidden = (partial(drop, rate) for rate in (config.attention_dropout, config.hidden_dropout))
        return Drops(scores, hidden, hidden)


def test_dropout_is_where_and_as_large_as_it_has_to_be(checkpoint: Path, monkeypatch: Any) -> None:
    """With the same numbers drawn, training gives the gradients of plain dropout, in either layout."""
    monkeypatch.setattr(Dropout, "_drawn_for", lambda _, x: tf.cast(drawn(tf.shape(x)), tf.uint16))
    plan = plan_encoder(EncoderRequest(checkpoint, "odd", checkpoint, heads=()))
    variables = [tf.Variable(plan.plan.read(each, plan.checkpoint), name=each.name) for each in plan.plan.variables]
    plain = plain_of(checkpoint, variables)
    config = replace(plain.config, hidden_dropout=0.25, attention_dropout=0.125)
    training = replace(plain, config=config, forms=Training())
    found = []
    for each in (replace(training, forms=PlainDropout()), training, replace(training, layout=Packed)):
        encode = partial(encoded, each)
        output = encode(given(real=9))["sequence_output"]  # without padding: the same shapes draw the same
        found.append([output, *gradients(variables, encode, real=9)])
    for one, *others in zip(*found, strict=True):
        for other in others:
            np.testing.assert_allclose(other / np.abs(one).max(), one / np.abs(one).max(), atol=2e-5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_as_much_as_it_says_and_neighbours_by_chance(rate: float) -> None:
    dropped = Dropout(tf.constant([3, 5]), rate).kept(tf.ones([301, 203])).numpy() == 0
    beside = np.reshape(dropped, -1)[1:] & np.reshape(dropped, -1)[:-1]
    for share, expected in ((dropped.mean(), rate), (beside.mean(), rate**2)):
        assert abs(share - expected) < 5 * np.sqrt(expected / dropped.size)


def test_a_product_that_no_gradient_needs_is_not_computed_again(encoder: Any, recomputed: Any) -> None:
    kept = weight_products(encoder)
    assert kept >= 3 * (3 * 4)  # of 3 layers, 4 weights each: forward, and both gradients
    assert weight_products(recomputed) - kept == 2 * 2  # of the 2 layers before the last, those that begin each part
