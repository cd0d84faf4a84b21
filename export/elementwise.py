"""Activations and layer norm, in the forms that TensorFlow's CPU optimiser fuses with the product before them.

Their gradients are TensorFlow's own. Written by hand they would keep less, but a SavedModel's own gradients stay
registered for as long as the process lives: every load of a model would leak its graph.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from zoo.card import Activation


def activate(activation: Activation, x: tf.Tensor) -> tf.Tensor:
    """Return the activation of x."""
    return {"gelu": _gelu, "gelu_tanh": _gelu_tanh, "relu": tf.nn.relu}[activation](x)


def layer_norm(x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
    """Return x [n, H] normed over its last axis, scaled by gamma [H] and shifted by beta [H] (Ba et al. 2016)."""
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    return centred * (tf.math.rsqrt(variance + epsilon) * gamma) + beta


def _gelu(x: tf.Tensor) -> tf.Tensor:
    """Exact gelu (Hendrycks & Gimpel 2016)."""
    return (tf.math.erf(x * math.sqrt(0.5)) + 1.0) * 0.5 * x


def _gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Gelu by tanh, as google-research/albert has it. Any other order of the factors is not fused."""
    return (tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * tf.square(x)))) + 1.0) * (0.5 * x)
