"""The encoder as ONNX gets it: padding is dropped, and norms and activations are in the forms that engines fuse.

ONNX Runtime and OpenVINO look for chains of operations and put one operation in the place of each: a layer norm by
square root and division, gelu by a division before erf. Other orders give the same numbers more slowly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from export.convert.rebuilding import Convertible
from export.encoder.encoder import Encoder
from export.encoder.unpadding import Packed, packed_layout
from export.weights.config import EncoderConfig
from zoo.archive.activation import Activation

# A weight of exp(-60) adds nothing to one of 1. That of a masked key, exp(-10000), is too small for float32, and takes
# ONNX Runtime on CPUs with AVX-512 several times longer.
_FAR = 60.0


def for_onnx(encoder: Encoder) -> Encoder:
    """Return an encoder in the packed layout, of operations that ONNX has, with the same weights."""
    return replace(encoder, layout=PackedInOnnx, forms=OnnxForms())


class PackedInOnnx(Packed):
    """The packed layout without assertions, which ONNX does not have."""

    @classmethod
    def of(cls, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, config: EncoderConfig) -> PackedInOnnx:
        return cls(*packed_layout(mask, config.heads, _divided))

    def take(self, ids: tf.Tensor, types: tf.Tensor, config: EncoderConfig) -> Sequence[tf.Tensor]:
        return [tf.gather_nd(ids, self.kept), tf.gather_nd(types, self.kept)]

    def split_heads(self, joined: tf.Tensor) -> Sequence[tf.Tensor]:
        """Return query, key and value, [R, A, S, D] each. ONNX Runtime would copy the three out of one tensor."""
        return [tf.gather(joined, places) for places in tf.unstack(self.split)]


class OnnxForms(Convertible):
    """The formulas of inference, in the forms that ONNX Runtime finds."""

    def activate(self, activation: Activation, x: tf.Tensor) -> tf.Tensor:
        return _gelu_tanh(x) if activation == "gelu_tanh" else super().activate(activation, x)

    def softmax(self, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        scores += mask
        # Without a last axis of 1: ONNX Runtime subtracts from [R, A, S, 1] 30 times as slowly as from [R, A, S].
        least = tf.expand_dims(tf.reduce_max(scores, -1) - _FAR, -1)
        return tf.nn.softmax(tf.maximum(scores, least))

    def norm(self, x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.pow(centred, 2.0), -1, keepdims=True)
        return centred / tf.sqrt(variance + epsilon) * gamma + beta


def _divided(x: tf.Tensor, by: int) -> tf.Tensor:
    """Return whole quotients by a power of two. OpenVINO 2026.4 rounds those of integers in a longer formula."""
    return tf.cast(tf.cast(x, tf.float32) * (1 / by), tf.int32)


def _gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    return (x * 0.5) * (tf.tanh((x * math.sqrt(2 / math.pi)) * ((x * 0.044715) * x + 1.0)) + 1.0)
