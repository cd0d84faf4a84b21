"""Small Keras 3 models around one toy encoder, and data for them."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest

from zoo import KerasLayer
from zoo.contract import INPUT_KEYS


@pytest.fixture(scope="session")
def data() -> dict[str, np.ndarray]:
    """The three inputs, [6, 7], the last row half padding."""
    ids = np.random.default_rng(3).integers(5, 99, (6, 7))
    ids[-1, 4:] = 0
    return dict(zip(INPUT_KEYS, (ids, (ids != 0).astype(int), (ids % 2)), strict=True))


@pytest.fixture(scope="session")
def target() -> np.ndarray:
    return np.arange(6.0)[:, None] / 6


def functional(layer: KerasLayer) -> keras.Model:
    """A model of the three inputs with one dense layer after the pooled output."""
    inputs = {key: keras.Input([None], dtype="int32", name=key) for key in INPUT_KEYS}
    features = layer(inputs)
    pooled = features["pooled_output"] if isinstance(features, dict) else features
    return keras.Model(inputs, keras.layers.Dense(1, name="top")(pooled))


def compiled(model: keras.Model, eagerly: bool = True) -> keras.Model:
    """Eager steps run the same functions, and spare tests the optimizing of ever new graphs."""
    model.compile(keras.optimizers.SGD(0.1, momentum=0.5), "mse", run_eagerly=eagerly)
    return model


def changed(layer: KerasLayer, step: Callable[[], object]) -> set[str]:
    """The names of the weights that are others after `step`."""
    before = {weight.name: weight.numpy() for weight in layer.weights}
    step()
    return {weight.name for weight in layer.weights if np.any(weight.numpy() != before[weight.name])}
