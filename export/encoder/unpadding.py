"""The packed layout: padding is dropped, and short texts share the rows of attention.

Letters: B texts of a batch, T tokens of a text as given; n tokens kept of the whole batch; A attention heads of width
D; H hidden size; S tokens of the longest text; R rows of attention with S places each.

Activations are [n, H]: one row for each kept token and none for padding. Kept are the real tokens and the first
position of every text, real or not, because the pooled output reads it. Attention needs the tokens of a text side by
side in a row, and costs R * S * S. So several short texts share one row, and each sees its own tokens only: with
S = 64, texts of 64, 32, 20 and 10 tokens take 1, 1/2, 1/2 and 1/4 of a row, which makes R = 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from export.encoder.checks import in_tables, of_one_shape
from export.weights.config import EncoderConfig

MASKED = -10000.0  # added to the scores of keys that must not be seen, as in google-research/bert; exp() of it is 0.0
_PARTS = 16  # the smallest share of a row is 1/16
_TOO_SMALL = [1, 2, 4, 8]  # sixteenths: the shares a text may be too long for; the next larger share is the whole row
Division: TypeAlias = Callable[[tf.Tensor, int], tf.Tensor]  # of int32, at least 0


class Packed(NamedTuple):
    """A batch in the packed layout: the numbers that move tensors between [B, T], [n] and rows [R, S]."""

    kept: tf.Tensor  # [n, 2] text and position of a kept token
    position: tf.Tensor  # [n] the position alone
    first: tf.Tensor  # [B] the place, in [n], of each text's first token
    spread: tf.Tensor  # [B, T] the place in [n] of a token; n itself where the mask is 0
    split: tf.Tensor  # [3, R, A, S] place of a head's query, key or value in [n * 3 * A, D]; unused places repeat one
    joined: tf.Tensor  # [n, A] place of a token's head in [R * A * S, D]
    scores_mask: tf.Tensor  # added to the attention scores: [R, 1, 1, S] if no row is shared, else [R, 1, S, S]
    row: tf.Tensor  # [B] the row of attention that a text lies in
    column: tf.Tensor  # [B, T] the place of a kept token in its row; of no meaning for other tokens
    real: tf.Tensor  # [B, T] bool, whether the mask is not 0

    @classmethod
    def of(cls, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, config: EncoderConfig) -> Packed:
        """Return the layout of a batch, int32 [B, T] each, after a check of the shapes."""
        return packed_layout(of_one_shape(ids, mask, types, config.position_limit), config.heads)

    def take(self, ids: tf.Tensor, types: tf.Tensor, config: EncoderConfig) -> Sequence[tf.Tensor]:
        """Return ids and types [n] of the kept tokens, after a check that the model's tables have them."""
        return in_tables(tf.gather_nd(ids, self.kept), tf.gather_nd(types, self.kept), config)

    def scores_shape(self) -> tf.Tensor:
        """Return the shape of the attention scores, [R, A, S, S]."""
        rows, length = tf.shape(self.split)[1], tf.shape(self.split)[3]
        return tf.stack([rows, self.split.shape[2], length, length])

    def in_rows(self, numbers: tf.Tensor) -> tf.Tensor:
        """Return a number of every token, [n], for the places of attention, [R, S]; unused places repeat one."""
        return tf.gather(numbers, self.split[0, :, 0] // (3 * self.split.shape[2]))

    def split_heads(self, joined: tf.Tensor) -> Sequence[tf.Tensor]:
        """Return query, key and value, [R, A, S, D] each, of [n * 3 * A, D]."""
        parts: Sequence[tf.Tensor] = tf.unstack(tf.gather(joined, self.split))
        return parts

    def join_heads(self, context: tf.Tensor) -> tf.Tensor:
        """Return [R, A, S, D] as [n, A, D]."""
        return tf.gather(tf.reshape(context, [-1, context.shape[-1]]), self.joined)

    def unpack(self, x: tf.Tensor) -> tf.Tensor:
        """Return [n, H] as [B, T, H], float32, zeros wherever the mask is 0."""
        x = tf.pad(tf.cast(x, tf.float32), [[0, 1], [0, 0]])  # the row of zeros at place n
        return tf.gather(x, self.spread)

    def unpack_first(self, x: tf.Tensor) -> tf.Tensor:
        """Return first tokens [B, H] as [B, 1, H], float32, zeros where the mask is 0."""
        return tf.expand_dims(tf.cast(x, tf.float32) * tf.cast(self.real[:, :1], tf.float32), 1)

    def unpack_scores(self, scores: tf.Tensor) -> tf.Tensor:
        """Return [R, A, S, S] as [B, A, T, T], float32, zeros from and to every token whose mask is 0."""
        heads, length = tf.shape(scores)[1], tf.shape(scores)[3]
        column = tf.where(self.real, self.column, 0)  # [B, T]
        row = tf.reshape(self.row * heads, [-1, 1, 1]) + tf.reshape(tf.range(heads), [1, -1, 1])  # [B, A, 1]
        queries = row * length + tf.expand_dims(column, 1)  # [B, A, T] in [R * A * S]
        scores = tf.gather(tf.reshape(tf.cast(scores, tf.float32), [-1, length]), queries)  # [B, A, T, S]
        scores = tf.gather(scores, column, axis=3, batch_dims=1)  # [B, A, T, T]
        real = tf.expand_dims(tf.cast(self.real, tf.float32), 1)  # [B, 1, T]
        return scores * tf.expand_dims(real, 3) * tf.expand_dims(real, 2)


def packed_layout(mask: tf.Tensor, heads: int, divided: Division = tf.math.floordiv) -> Packed:
    """Return the packed layout of a batch, from its int32 mask [B, T]. `divided` gives quotients, rounded down."""
    batch, given = tf.unstack(tf.shape(mask))
    real = tf.not_equal(mask, 0)
    is_first = tf.expand_dims(tf.equal(tf.range(given), 0), 0)  # [1, T]
    is_kept = tf.logical_or(real, is_first)  # [B, T]
    # In a text without any real token, attention sees the first position alone: more padding changes no output.
    empty = tf.logical_not(tf.reduce_any(real, 1, keepdims=True))
    is_key = tf.logical_or(real, tf.logical_and(empty, is_first))  # [B, T]
    counted = tf.cast(is_kept, tf.int32)
    lengths = tf.reduce_sum(counted, 1)  # [B]
    length = tf.maximum(tf.reduce_max(lengths), 1)  # S; 1 when there are no texts
    place = tf.cumsum(counted, 1, exclusive=True)  # [B, T] of a kept token in its text
    first = tf.cumsum(lengths, exclusive=True)  # [B]
    kept = tf.cast(tf.where(is_kept), tf.int32)  # [n, 2]
    count = tf.shape(kept)[0]
    row_of_text, begin, rows = _begins(lengths, length, batch, divided)
    columns = place + tf.expand_dims(begin, 1)  # [B, T]
    text, position = tf.unstack(kept, axis=1)
    row, column = tf.gather(row_of_text, text), tf.gather_nd(columns, kept)  # [n]
    # Each place of a row gets the number of its token, and the number of the text whose keys its query sees and whose
    # queries see its key. Texts count from 1. At unused places all three are 0; -1 is a key that no query sees.
    of_query = text + 1
    of_key = tf.where(tf.gather_nd(is_key, kept), of_query, -1)
    found = tf.scatter_nd(
        tf.stack([row, column], 1), tf.stack([tf.range(count), of_query, of_key], 1), tf.stack([rows, length, 3])
    )
    borrowed, of_query, of_key = tf.unstack(found, axis=2)  # each [R, S]
    parts = tf.constant(np.arange(3 * heads, dtype=np.int32).reshape(3, 1, heads, 1))
    head = tf.constant(np.arange(heads, dtype=np.int32))
    return Packed(
        kept=kept,
        position=position,
        first=first,
        spread=tf.where(real, place + tf.expand_dims(first, 1), count),
        split=tf.expand_dims(borrowed * (3 * heads), 1) + parts,
        joined=tf.expand_dims(row * (heads * length) + column, 1) + head * length,
        scores_mask=_scores_mask(of_query, of_key, shared=rows < batch),
        row=row_of_text,
        column=columns,
        real=real,
    )


def _begins(
    lengths: tf.Tensor, length: tf.Tensor, batch: tf.Tensor, divided: Division
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the row of each text [B], its first place in that row [B], and the number of rows R.

    A text's share of a row is 1/16, 1/8, 1/4, 1/2 or the whole. Shares are laid side by side, the largest first. Since
    all are powers of two, each share ends in the row in which it begins.
    """
    smaller = tf.constant(_TOO_SMALL)
    too_small = tf.expand_dims(lengths, 1) > divided(smaller * length, _PARTS)  # [B, 4]
    shares = 1 + tf.reduce_sum(tf.where(too_small, smaller, 0), 1)  # in sixteenths: 1 + 1 + 2 + 4 + 8 is the whole row
    descending, order = tf.math.top_k(shares, batch)  # the earlier of two equal shares comes first
    begins = tf.gather(tf.cumsum(descending, exclusive=True), tf.math.invert_permutation(order))  # in sixteenths
    rows = divided(tf.reduce_sum(shares) + _PARTS - 1, _PARTS)
    row = divided(begins, _PARTS)
    return row, divided((begins - row * _PARTS) * length, _PARTS), rows


def _scores_mask(of_query: tf.Tensor, of_key: tf.Tensor, shared: tf.Tensor) -> tf.Tensor:
    """Return 0 where a query and a key are of the same text, else MASKED; the numbers of their texts are [R, S] each.

    The mask is [R, 1, S, S]. If no row is shared, all queries of a row see the same keys, and [R, 1, 1, S] is enough.
    """
    lines = tf.where(shared, tf.shape(of_query)[1], 1)
    of_query = tf.slice(of_query, [0, 0], tf.stack([-1, lines]))
    other = tf.not_equal(tf.expand_dims(of_query, 2), tf.expand_dims(of_key, 1))  # [R, 1 or S, S]
    return tf.expand_dims(tf.cast(other, tf.float32) * MASKED, 1)
