"""Activations and layer norm: forward in the forms TensorFlow's CPU optimiser fuses, backward by hand.

Differentiated operation by operation, each of them keeps three to four tensors of its input's size until the backward
pass; by hand, it keeps its input. `training` says that there will be one: an operation with a gradient of its own is
not fused with its neighbours, so the inference graph goes without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from zoo.card import Activation

_ROOT_HALF = math.sqrt(0.5)
_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


class Elementwise:
    """The activation and the layer norm of one encoder.

    For training there is one function for all layers: what is saved, and the time to load it, grows with the number of
    functions.
    """

    def __init__(self, activation: Activation, epsilon: float) -> None:
        self._activation, self._epsilon = activation, epsilon
        self._functions: dict[tuple[str, tf.DType, int], Any] = {}

    def activate(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the activation of x [n, F]."""
        if self._activation == "relu":
            return tf.nn.relu(x)
        function, slope = (_gelu, _gelu_slope) if self._activation == "gelu" else (_gelu_tanh, _gelu_tanh_slope)
        if not training:
            return function(x)

        def with_slope(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            return function(x), lambda change: change * slope(x)

        return self._with_gradient("activation", with_slope, x)

    def layer_norm(self, x: tf.Tensor, gamma: Any, beta: Any, training: bool = False) -> tf.Tensor:
        """Return x [n, H] normed over its last axis, scaled by gamma [H] and shifted by beta [H] (Ba et al. 2016)."""
        if not training:
            return _normed(x, gamma, beta, self._epsilon)

        def with_slope(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
            def backward(change: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
                centred, scale = _centred(x, self._epsilon)
                unit = centred * scale
                along = change * gamma
                mean, slope = (tf.reduce_mean(each, -1, keepdims=True) for each in (along, along * unit))
                return scale * (along - mean - unit * slope), tf.reduce_sum(change * unit, 0), tf.reduce_sum(change, 0)

            return _normed(x, gamma, beta, self._epsilon), backward

        return self._with_gradient("norm", with_slope, x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))

    def _with_gradient(self, name: str, function: Callable[..., Any], x: tf.Tensor, *others: tf.Tensor) -> tf.Tensor:
        key = (name, x.dtype, x.shape[-1])
        if key not in self._functions:
            signature = [tf.TensorSpec([None] * (x.shape.rank - 1) + [x.shape[-1]], x.dtype)]
            signature += [tf.TensorSpec(other.shape, other.dtype) for other in others]
            self._functions[key] = tf.function(tf.custom_gradient(function), input_signature=signature, autograph=False)
        return self._functions[key](x, *others)


def with_dense_gradient(x: tf.Tensor) -> tf.Tensor:
    """Return x, [n, …], for a gather: its gradient, rows and their numbers, becomes a tensor on the way back.

    A gradient of one's own that was loaded from a SavedModel takes nothing else.
    """
    return tf.reshape(x, tf.shape(x))


def _normed(x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
    centred, scale = _centred(x, epsilon)
    return centred * (scale * gamma) + beta


def _centred(x: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return x less its mean, and one over its deviation, [n, 1]."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    return centred, tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + epsilon)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    """Exact gelu (Hendrycks & Gimpel 2016)."""
    return (tf.math.erf(x * _ROOT_HALF) + 1.0) * 0.5 * x


def _gelu_slope(x: tf.Tensor) -> tf.Tensor:
    density = tf.exp(tf.square(x) * -0.5) * (1 / math.sqrt(2 * math.pi))
    return (tf.math.erf(x * _ROOT_HALF) + 1.0) * 0.5 + x * density


def _gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Gelu by tanh, as google-research/albert writes it."""
    return (tf.tanh(_ROOT_2_OVER_PI * (x + _CUBIC * x * tf.square(x))) + 1.0) * 0.5 * x


def _gelu_tanh_slope(x: tf.Tensor) -> tf.Tensor:
    tanh = tf.tanh(_ROOT_2_OVER_PI * (x + _CUBIC * x * tf.square(x)))
    inner = (tf.square(x) * (3 * _CUBIC) + 1.0) * _ROOT_2_OVER_PI
    return (tanh + 1.0) * 0.5 + (1.0 - tf.square(tanh)) * inner * 0.5 * x
