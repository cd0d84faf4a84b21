"""How an encoder knows the order of its tokens: by a table, by turning queries and keys, or by distances.

Letters: n tokens that are computed; R rows of attention with S places each; A attention heads of width D; P positions.

A token's position is its place in its text, whatever the layout drops or moves. Models without a table of positions see
a head as D / 2 pairs of numbers, the numbers 2i and 2i + 1, each a point in a plane. A position p turns pair i by the
angle p * 10000 ** (-2i / D). Cosines and sines are constants of the graph, made in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import tensorflow as tf

from export.weights.config import EncoderConfig
from zoo.archive.card import Positions

RowsOf: TypeAlias = Callable[[str, tf.Tensor], tf.Tensor]  # `ModelPart.rows`

_FARTHEST = 64  # 'max_relative_position' of every published NEZHA


class Places(Protocol):
    """Where tokens lie in a batch: a layout, `Packed` or `Plain`."""

    @property
    def position(self) -> tf.Tensor: ...  # [n]
    def in_rows(self, numbers: tf.Tensor) -> tf.Tensor: ...  # [n] as [R, S]


class Absolute:
    """A table of positions is added to the embeddings (Devlin et al. 2018). Attention itself knows no order."""

    def __init__(self, places: Places, config: EncoderConfig, compute: tf.DType) -> None:
        self.places, self.config, self.compute = places, config, compute

    def embedded(self, x: tf.Tensor, rows: RowsOf) -> tf.Tensor:
        """Return the embeddings x [n, E] with what they hold of positions; `rows` looks up rows of a table."""
        return x + rows("embeddings/position/table", self.places.position)

    def heads(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> Sequence[tf.Tensor]:
        """Return the heads' queries, keys and values, [R, A, S, D] each, with what they hold of positions."""
        return query, key, value

    def scores(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Return how well each query fits each key, [R, A, S, S], before scale and mask."""
        return tf.matmul(query, key, transpose_b=True)

    def context(self, weights: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """Return the sums of the values, [R, A, S, D], by the weights [R, A, S, S] of attention."""
        return tf.matmul(weights, value)


class Turning(Absolute):
    """The embeddings hold no positions. The pairs of a head can be turned by the position of their token."""

    def __init__(self, places: Places, config: EncoderConfig, compute: tf.DType) -> None:
        super().__init__(places, config, compute)
        self.positions = places.in_rows(places.position)  # [R, S]
        angles = self.angles(np.arange(config.position_limit))
        self.cos, self.sin = self.at_places(np.cos(angles)), self.at_places(np.sin(angles))  # [R, 1, S, D] each

    def embedded(self, x: tf.Tensor, rows: RowsOf) -> tf.Tensor:
        return x

    def turned(self, x: tf.Tensor) -> tf.Tensor:
        """Return x [R, A, S, D], every pair turned by the position of its token."""
        return x * self.cos + self._quarter(x) * self.sin

    def turned_back(self, x: tf.Tensor) -> tf.Tensor:
        """Return x [R, A, S, D], every pair turned the other way."""
        return x * self.cos - self._quarter(x) * self.sin

    def angles(self, numbers: np.ndarray) -> np.ndarray:
        """Return by which angles positions turn the pairs, each angle twice: [P, D] of [P]."""
        width = self.config.hidden_size // self.config.heads
        return np.repeat(np.outer(numbers, 10000.0 ** (-np.arange(0, width, 2) / width)), 2, axis=1)

    def at_places(self, table: np.ndarray) -> tf.Tensor:
        """Return the rows of a table [P, D] for all places of attention, [R, 1, S, D]."""
        rows = tf.gather(tf.constant(table, tf.float32), self.positions)
        return tf.cast(tf.expand_dims(rows, 1), self.compute)

    def _quarter(self, x: tf.Tensor) -> tf.Tensor:
        """Return x with every pair (a, b) turned by 90 degrees, (-b, a).

        A product with a matrix is faster than moving numbers by index, in the backward pass above all.
        """
        width = x.shape[-1]
        matrix = tf.constant(np.kron(np.eye(width // 2), [[0, 1], [-1, 0]]), x.dtype)
        return tf.reshape(tf.matmul(tf.reshape(x, [-1, width]), matrix), tf.shape(x))


class Rotary(Turning):
    """Queries and keys are turned, so that their products depend on how far apart the tokens are (Su et al. 2021)."""

    def heads(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> Sequence[tf.Tensor]:
        return self.turned(query), self.turned(key), value


class RotaryValues(Rotary):
    """The values are turned, too: 'rotary_value' in configs of RoFormer."""

    def heads(self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> Sequence[tf.Tensor]:
        return *super().heads(query, key, value)[:2], self.turned(value)


class Relative(Turning):
    """Attention adds a vector to each key and value: that of the key's distance from the query (Wei et al. 2019).

    The vector of distance d, key - query, has the sines and cosines of the angles of d + 64. It is therefore the vector
    of the key's position, turned by the query's. To turn the query back instead gives the same product, without the
    vectors of all distances, [R, S, S, D]. All keys farther away than 64 have the vector of -64 or of 64.
    """

    def __init__(self, places: Places, config: EncoderConfig, compute: tf.DType) -> None:
        super().__init__(places, config, compute)
        self.waves = self.at_places(self._waves(np.arange(config.position_limit)))  # [R, 1, S, D]
        self.ends = self._waves(np.array([-_FARTHEST, _FARTHEST]))  # [2, D]
        distance = tf.expand_dims(self.positions, 1) - tf.expand_dims(self.positions, 2)  # [R, S, S]
        before, after = (
            tf.cast(tf.expand_dims(far, 1), compute) for far in (distance < -_FARTHEST, distance > _FARTHEST)
        )
        self.near, self.far = 1.0 - before - after, (before, after)  # [R, 1, S, S] each

    def scores(self, query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        width = query.shape[-1]
        scores = super().scores(query, key)
        scores += self.near * tf.matmul(self.turned_back(query), self.waves, transpose_b=True)
        ends = tf.matmul(tf.reshape(query, [-1, width]), tf.constant(self.ends.T, query.dtype))
        ends = tf.reshape(ends, tf.concat([tf.shape(query)[:3], [2]], 0))  # [R, A, S, 2]
        for number, far in enumerate(self.far):
            scores += far * ends[..., number : number + 1]
        return scores

    def context(self, weights: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        context = super().context(weights, value)
        context += self.turned(tf.matmul(self.near * weights, self.waves))
        for far, end in zip(self.far, self.ends, strict=True):
            context += tf.reduce_sum(far * weights, -1, keepdims=True) * tf.constant(end, context.dtype)
        return context

    def _waves(self, numbers: np.ndarray) -> np.ndarray:
        """Return the vectors [P, D] of distances [P]: a pair is the sine and the cosine of one angle."""
        angles = self.angles(numbers + _FARTHEST)
        return np.where(np.arange(angles.shape[1]) % 2, np.cos(angles), np.sin(angles))


POSITIONS: Mapping[Positions, type[Absolute]] = {
    "absolute": Absolute,
    "rotary": Rotary,
    "rotary_values": RotaryValues,
    "relative": Relative,
}
