"""The plain layout: every token stays where it is, padding too. Its operations exist in every runtime.

Letters: B texts, T tokens of each text, A attention heads of width D, H hidden size; n is B * T here.

No token is moved by index, so heads are split and joined by reshape and transpose. There are no tables, assertions or
strings, which other runtimes do not have. The outputs are those of the packed layout: zeros wherever the mask is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from export.encoder.unpadding import MASKED
from export.weights.config import EncoderConfig


class Plain(NamedTuple):
    """A batch in the plain layout; the same methods as `Packed` (export/encoder/unpadding.py), without its checks."""

    position: tf.Tensor  # [B * T] of every token
    first: tf.Tensor  # [B] the place, in [B * T], of each text's first token
    shape: tf.Tensor  # [2] B and T
    real: tf.Tensor  # [B, T, 1] float, 0 where the mask is 0
    scores_mask: tf.Tensor  # [B, 1, 1, T] added to the attention scores
    heads: int

    @classmethod
    def of(cls, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, config: EncoderConfig) -> Plain:
        batch, length = tf.shape(mask)[0], tf.shape(mask)[1]
        real = tf.cast(tf.not_equal(mask, 0), tf.float32)  # [B, T]
        # In a text without any real token, attention sees the first position alone, as in the packed layout.
        is_empty = 1.0 - tf.reduce_max(real, 1, keepdims=True)
        is_first = tf.expand_dims(tf.cast(tf.equal(tf.range(length), 0), tf.float32), 0)
        keys = tf.maximum(real, is_empty * is_first)
        return cls(
            position=tf.range(batch * length) % length,
            first=tf.range(batch) * length,
            shape=tf.stack([batch, length]),
            real=tf.expand_dims(real, 2),
            scores_mask=tf.reshape((1.0 - keys) * MASKED, tf.stack([batch, 1, 1, length])),
            heads=config.heads,
        )

    def take(self, ids: tf.Tensor, types: tf.Tensor, config: EncoderConfig) -> Sequence[tf.Tensor]:
        """Return ids and types [B, T] as [B * T]."""
        return [tf.reshape(ids, [-1]), tf.reshape(types, [-1])]

    def scores_shape(self) -> tf.Tensor:
        """Return the shape of the attention scores, [B, A, T, T]."""
        batch, length = tf.unstack(self.shape)
        return tf.stack([batch, self.heads, length, length])

    def in_rows(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return a number of every token, [B * T], as [B, T]."""
        return tf.reshape(numbers, self.shape)

    def split_heads(self, joined: tf.Tensor) -> Sequence[tf.Tensor]:
        """Return query, key and value, [B, A, T, D] each, of [n * 3 * A, D]."""
        batch, length = tf.unstack(self.shape)
        apart = tf.reshape(joined, tf.stack([batch, length, 3 * self.heads, joined.shape[-1]]))
        parts: Sequence[tf.Tensor] = tf.split(tf.transpose(apart, [0, 2, 1, 3]), 3, axis=1)  # of [B, 3 * A, T, D]
        return parts

    def join_heads(self, context: tf.Tensor) -> tf.Tensor:
        """Return [B, A, T, D] as [B, T, A, D]."""
        return tf.transpose(context, [0, 2, 1, 3])

    def unpack(self, x: tf.Tensor) -> tf.Tensor:
        """Return [n, H] as [B, T, H], zeros wherever the mask is 0."""
        return tf.reshape(x, tf.concat([self.shape, [x.shape[-1]]], 0)) * self.real

    def unpack_first(self, x: tf.Tensor) -> tf.Tensor:
        """Return first tokens [B, H] as [B, 1, H], zeros where the mask is 0."""
        return tf.expand_dims(x, 1) * self.real[:, :1]

    def unpack_scores(self, scores: tf.Tensor) -> tf.Tensor:
        """Return the attention scores, [B, A, T, T], as they are; no conversion gives them."""
        return scores
