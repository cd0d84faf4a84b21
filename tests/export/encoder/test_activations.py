"""The forms of activations and layer norm: all of them the published formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from export.convert.onnx_forms import OnnxForms
from export.convert.rebuilding import Convertible
from export.encoder.activations import ACTIVATIONS, FACTORED, activate, layer_norm, layer_norm_in_training
from export.families.bert import BERT
from export.oracle.forward import ACTIVATIONS as OF_ORACLE, meaning
from export.oracle.names import Weights
from zoo.archive.activation import Activation

X = np.linspace(-12, 12, 4001, dtype=np.float32).reshape(-1, 1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def gelu(x: float) -> float:
    return x * 0.5 * math.erfc(-x / math.sqrt(2))


def gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


# The words of transformers' ACT2FN and their formulas; prelu and xielu, which have weights of their own, are refused.
PUBLISHED: dict[str, Callable[[float], float]] = {
    "gelu": gelu,
    "gelu_10": lambda x: min(max(gelu(x), -10.0), 10.0),
    "gelu_accurate": gelu_tanh,
    "gelu_fast": lambda x: 0.5 * x * (1 + math.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))),
    "gelu_new": gelu_tanh,
    "gelu_python": gelu,
    "gelu_python_tanh": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "laplace": lambda x: 0.5 * (1 + math.erf((x - 0.707107) / (0.282095 * math.sqrt(2)))),
    "leaky_relu": lambda x: x if x >= 0 else 0.01 * x,
    "linear": lambda x: x,
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
    "relu": lambda x: max(x, 0.0),
    "relu2": lambda x: max(x, 0.0) ** 2,
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "tanh": math.tanh,
}


@pytest.mark.parametrize("word", PUBLISHED)
def test_every_form_of_an_activation_is_the_published_one(word: str) -> None:
    activation, _ = BERT.activations["huggingface"][word]
    before, of, after = FACTORED[activation]
    x = tf.constant(X)
    published = np.array([PUBLISHED[word](value) for value in X[:, 0].tolist()])
    oracle = OF_ORACLE[meaning(word, Weights(lambda name: X, ["word"]), "huggingface")]
    np.testing.assert_allclose(oracle(X[:, 0].astype(np.float64)), published, rtol=1e-12, atol=1e-12)
    converted = (forms.activate(activation, x) for forms in (Convertible(), OnnxForms()))
    for found in (activate(activation, x), after * of(before * x), *converted):
        np.testing.assert_allclose(found.numpy()[:, 0], published, rtol=2e-7, atol=3e-6)


def test_the_tables_have_every_activation_of_a_card() -> None:
    assert BERT.activations["huggingface"].keys() == PUBLISHED.keys()
    known = set(get_args(Activation))
    assert ACTIVATIONS.keys() == FACTORED.keys() == known
    assert {activation for activation, _ in BERT.activations["huggingface"].values()} == known <= OF_ORACLE.keys()


@pytest.mark.parametrize("activation", get_args(Activation))
def test_both_forms_have_the_same_gradient(activation: Activation) -> None:
    x = tf.constant(X + 1e-3)  # away from the corners
    before, of, after = FACTORED[activation]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        plain, factored = activate(activation, x), after * of(before * x)
    for each in (plain, factored):
        assert np.isfinite(tape.gradient(each, x)).all()
    np.testing.assert_allclose(tape.gradient(plain, x), tape.gradient(factored, x), rtol=1e-5, atol=1e-5)


def test_both_forms_of_layer_norm_are_the_published_one() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(3, 2, (7, 33)).astype(np.float32)
    gamma, beta = generator.normal(size=(2, 33)).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-3) * gamma + beta
    for form in (layer_norm, layer_norm_in_training):
        np.testing.assert_allclose(form(tf.constant(x), gamma, beta, 1e-3).numpy(), expected, atol=3e-6)
