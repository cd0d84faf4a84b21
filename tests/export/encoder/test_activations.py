"""The forms of activations and layer norm: all of them the published formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from export.encoder.activations import FACTORED, activate, layer_norm, layer_norm_in_training

X = np.linspace(-9, 9, 4001, dtype=np.float32).reshape(-1, 1)
PUBLISHED = {
    "gelu": [x * 0.5 * math.erfc(-x / math.sqrt(2)) for x in X[:, 0].tolist()],
    "gelu_tanh": [0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) for x in X[:, 0].tolist()],
    "relu": [max(x, 0.0) for x in X[:, 0].tolist()],
}


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu"])
def test_both_forms_of_an_activation_are_the_published_one(activation: str) -> None:
    before, of, after = FACTORED[activation]
    for found in (activate(activation, tf.constant(X)), after * of(before * tf.constant(X))):
        np.testing.assert_allclose(found.numpy()[:, 0], PUBLISHED[activation], rtol=0, atol=2e-6)


def test_both_forms_of_layer_norm_are_the_published_one() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(3, 2, (7, 33)).astype(np.float32)
    gamma, beta = generator.normal(size=(2, 33)).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-3) * gamma + beta
    for form in (layer_norm, layer_norm_in_training):
        np.testing.assert_allclose(form(tf.constant(x), gamma, beta, 1e-3).numpy(), expected, atol=3e-6)
