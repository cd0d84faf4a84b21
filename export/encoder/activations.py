"""Activations and layer norm, in two forms with the same values.

TensorFlow's CPU optimiser fuses the forms above the line. Those below it are for training: they keep fewer tensors for
the backward pass (export/encoder/training.py says why). Activations that no published model of these families has are
computed in one form for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from zoo.archive.activation import Activation


def activate(activation: Activation, x: tf.Tensor) -> tf.Tensor:
    """Return the activation of x."""
    return ACTIVATIONS[activation](x)


def layer_norm(x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
    """Return x [n, H] normed over its last axis, scaled by gamma [H] and shifted by beta [H] (Ba et al. 2016)."""
    centred, scale = _centred(x, epsilon)
    return centred * (scale * gamma) + beta


def _centred(x: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return x minus its mean, and 1 / its standard deviation."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    return centred, tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + epsilon)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    """Exact gelu (Hendrycks & Gimpel 2016)."""
    return (tf.math.erf(x * math.sqrt(0.5)) + 1.0) * 0.5 * x


def _gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Gelu by tanh, as in google-research/albert. TensorFlow fuses this order of the factors only."""
    return (tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * tf.square(x)))) + 1.0) * (0.5 * x)


def _laplace(x: tf.Tensor) -> tf.Tensor:
    """The distribution function of a normal distribution around 0.707107 (Ma et al. 2022, MEGA)."""
    return (tf.math.erf((x - 0.707107) * (1 / (0.282095 * math.sqrt(2)))) + 1.0) * 0.5


# Every activation of transformers that has no weights of its own, each from operations that all runtimes know.
ACTIVATIONS: Mapping[Activation, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "gelu_10": lambda x: tf.minimum(_gelu(x), 10.0),  # clipped to [-10, 10]; gelu is never below -0.17
    "quick_gelu": lambda x: x * tf.sigmoid(1.702 * x),
    "relu": tf.nn.relu,
    "relu2": lambda x: tf.square(tf.nn.relu(x)),
    "relu6": lambda x: tf.minimum(tf.nn.relu(x), 6.0),
    "leaky_relu": lambda x: tf.maximum(x, 0.01 * x),
    "silu": lambda x: x * tf.sigmoid(x),
    "mish": lambda x: x * tf.tanh(tf.math.softplus(x)),
    "tanh": tf.tanh,
    "sigmoid": tf.sigmoid,
    "laplace": _laplace,
    "linear": tf.identity,
}


# -- for training: TensorFlow keeps both operands of `+` for the backward pass, and none of tf.add_n -------------------


class Factored(NamedTuple):
    """An activation f in three factors: f(x) = after * of(before * x).

    The feed-forward multiplies its input and its output, [n, H], by the two constants, instead of the tensor [n, F]
    between them, which is four times as large.
    """

    before: float
    of: Callable[[tf.Tensor], tf.Tensor]
    after: float


def layer_norm_in_training(x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
    """Return the values of `layer_norm`.

    Here `scale * gamma` would be one more tensor [n, H] to keep, and so would the operand of `+ beta`.
    """
    centred, scale = _centred(x, epsilon)
    return tf.nn.bias_add(centred * scale * gamma, beta)


_TANH = math.sqrt(2 / math.pi)
_CUBE = (0.044715 * _TANH) ** (1 / 3)


def _tanh_part(z: tf.Tensor) -> tf.Tensor:
    # x = z / _CUBE. The constant added to the square is a vector, since bias_add keeps nothing and `+` does.
    straight = tf.fill(tf.shape(z)[1:], tf.cast(_TANH / _CUBE, z.dtype))
    return tf.add_n([z, z * tf.tanh(z * tf.nn.bias_add(tf.square(z), straight))])


FACTORED: Mapping[Activation, Factored] = {
    **{activation: Factored(1.0, function, 1.0) for activation, function in ACTIVATIONS.items()},
    "gelu": Factored(math.sqrt(0.5), lambda z: tf.add_n([z, z * tf.math.erf(z)]), math.sqrt(0.5)),
    "gelu_tanh": Factored(_CUBE, _tanh_part, 0.5 / _CUBE),
}
