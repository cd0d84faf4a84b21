"""Where the real tokens of a batch are, and how short texts share the rows of attention.

Shapes: B batch, T tokens of a text as given, n tokens kept of the whole batch, A attention heads, D their width; S
tokens of the longest text, R rows of attention of S places each.

Padding is dropped: activations are [n, H], one row per kept token. Attention needs the tokens of a text beside each
other, and its cost grows with rows times S squared; so a text takes a half, a quarter, … of a row when it fits, and
looks at none of its neighbours. Every text keeps its first position, real or not: the pooled output reads it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

MASKED = -10000.0  # added to the scores of other keys, as in google-research/bert; exp() of it is 0 in fp32
_PARTS = 16  # the smallest share of a row is one of so many
_TOO_SMALL = [1, 2, 4, 8]  # shares that a text may be too long for


class Packing(NamedTuple):
    """Numbers that move tensors between texts [B, T], kept tokens [n] and rows of attention [R, S]."""

    kept: tf.Tensor  # [n, 2] text and position of a kept token
    position: tf.Tensor  # [n] that position alone
    first: tf.Tensor  # [B] kept token that each text begins with
    spread: tf.Tensor  # [B, T] kept token, n where the mask is 0
    split: tf.Tensor  # [3, R, A, S] query, key or value of a head in [n * 3 * A, D]; idle places borrow some token's
    joined: tf.Tensor  # [n, A] head of a kept token in [R * A * S, D]
    scores_mask: tf.Tensor  # additive: [R, 1, 1, S] when no row is shared, else [R, 1, S, S]
    row: tf.Tensor  # [B] row of attention that a text lies in
    column: tf.Tensor  # [B, T] place of a kept token in its row, any number elsewhere
    real: tf.Tensor  # [B, T] bool, whether the mask is not 0


def pack(mask: tf.Tensor, heads: int) -> Packing:
    """Return where the real tokens of a batch are, from its int32 [B, T] mask."""
    batch, given = tf.unstack(tf.shape(mask))
    real = tf.not_equal(mask, 0)
    is_first = tf.expand_dims(tf.equal(tf.range(given), 0), 0)  # [1, T]
    is_kept = tf.logical_or(real, is_first)  # [B, T]
    # A text without any real token attends to its first position alone, so that its padding has no say.
    empty = tf.logical_not(tf.reduce_any(real, 1, keepdims=True))
    is_key = tf.logical_or(real, tf.logical_and(empty, is_first))  # [B, T]
    counted = tf.cast(is_kept, tf.int32)
    lengths = tf.reduce_sum(counted, 1)  # [B]
    length = tf.maximum(tf.reduce_max(lengths), 1)  # S; 1 when there are no texts
    place = tf.cumsum(counted, 1, exclusive=True)  # [B, T] of a kept token in its text
    first = tf.cumsum(lengths, exclusive=True)  # [B]
    kept = tf.cast(tf.where(is_kept), tf.int32)  # [n, 2]
    count = tf.shape(kept)[0]
    row_of_text, begin, rows = _begins(lengths, length, batch)
    columns = place + tf.expand_dims(begin, 1)  # [B, T]
    text, position = tf.unstack(kept, axis=1)
    row, column = tf.gather(row_of_text, text), tf.gather_nd(columns, kept)  # [n]
    # What lies at each place; texts are counted from 1, and 0 is none.
    of_query = text + 1
    of_key = tf.where(tf.gather_nd(is_key, kept), of_query, -1)
    found = tf.scatter_nd(
        tf.stack([row, column], 1), tf.stack([tf.range(count), of_query, of_key], 1), tf.stack([rows, length, 3])
    )
    borrowed, of_query, of_key = tf.unstack(found, axis=2)  # each [R, S]
    parts = tf.constant(np.arange(3 * heads, dtype=np.int32).reshape(3, 1, heads, 1))
    head = tf.constant(np.arange(heads, dtype=np.int32))
    return Packing(
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


def unpack(x: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Return [n, H] spread over [B, T, H], float32, zeros wherever the mask is 0."""
    x = tf.pad(tf.cast(x, tf.float32), [[0, 1], [0, 0]])
    return tf.gather(x, packing.spread)


def unpack_scores(scores: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Return [R, A, S, S] as [B, A, T, T], float32, zeros from and to wherever the mask is 0."""
    heads, length = tf.shape(scores)[1], tf.shape(scores)[3]
    column = tf.where(packing.real, packing.column, 0)  # [B, T]
    row = tf.reshape(packing.row * heads, [-1, 1, 1]) + tf.reshape(tf.range(heads), [1, -1, 1])  # [B, A, 1]
    queries = row * length + tf.expand_dims(column, 1)  # [B, A, T] in [R * A * S]
    scores = tf.gather(tf.reshape(tf.cast(scores, tf.float32), [-1, length]), queries)  # [B, A, T, S]
    scores = tf.gather(scores, column, axis=3, batch_dims=1)  # [B, A, T, T]
    real = tf.expand_dims(tf.cast(packing.real, tf.float32), 1)  # [B, 1, T]
    return scores * tf.expand_dims(real, 3) * tf.expand_dims(real, 2)


def _begins(lengths: tf.Tensor, length: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the row [B] of each text and its first place [B] there, and R.

    Shares are powers of two and the largest come first, so none ends in another row than it begins.
    """
    smaller = tf.constant(_TOO_SMALL)
    too_small = tf.expand_dims(lengths, 1) > smaller * length // _PARTS  # [B, 4]
    shares = 1 + tf.reduce_sum(tf.where(too_small, smaller, 0), 1)  # each that is too small doubles it
    descending, order = tf.math.top_k(shares, batch)  # of equals, the first comes first
    begins = tf.gather(tf.cumsum(descending, exclusive=True), tf.math.invert_permutation(order))  # in sixteenths
    rows = (tf.reduce_sum(shares) + _PARTS - 1) // _PARTS
    return begins // _PARTS, begins % _PARTS * length // _PARTS, rows


def _scores_mask(of_query: tf.Tensor, of_key: tf.Tensor, shared: tf.Tensor) -> tf.Tensor:
    """Return 0 where a query and a key, [R, S] each, are of the same text; one line does for a row with one text."""
    lines = tf.where(shared, tf.shape(of_query)[1], 1)
    of_query = tf.slice(of_query, [0, 0], tf.stack([-1, lines]))
    other = tf.not_equal(tf.expand_dims(of_query, 2), tf.expand_dims(of_key, 1))  # [R, 1 or S, S]
    return tf.expand_dims(tf.cast(other, tf.float32) * MASKED, 1)
