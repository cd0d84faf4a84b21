"""Where the real tokens of a batch are, and how short texts share the rows of attention.

Shapes: B batch, T tokens of a text as given, n tokens kept of the whole batch, A attention heads, D their width; S
tokens of the longest text, R rows of attention of S places each.

Padding is dropped: activations are [n, H], one row per kept token. Attention needs the tokens of a text beside each
other, and its cost grows with rows times S squared; so a text takes a half, a quarter, … of a row when it fits, and
looks at none of its neighbours. Every text keeps its first position, real or not: the pooled output reads it.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

MASKED = -10000.0  # added to the scores of other keys, as in google-research/bert; exp() of it is 0 in fp32
_PARTS = 16  # the smallest share of a row is one of so many; a power of two


class Packing(NamedTuple):
    """Numbers that move tensors between texts [B, T], kept tokens [n] and rows of attention [R, S]."""

    kept: tf.Tensor  # [n] flat place in [B, T]
    first: tf.Tensor  # [B] kept token that each text begins with
    spread: tf.Tensor  # [B, T] kept token, n where the mask is 0
    split: tf.Tensor  # [3, R, A, S] query, key or value of a head in [n * 3 * A, D]; idle places borrow some token's
    joined: tf.Tensor  # [n, A] head of a kept token in [R * A * S, D]
    places: tf.Tensor  # [B, T] place in [R * S], any where the mask is 0
    real: tf.Tensor  # [B, T] bool, whether the mask is not 0
    scores_mask: tf.Tensor  # additive: [R, 1, 1, S] when no row is shared, else [R, 1, S, S]


def pack(mask: tf.Tensor, heads: int) -> Packing:
    """Return where the real tokens of a batch are, from its int32 [B, T] mask."""
    batch, given = tf.shape(mask)[0], tf.shape(mask)[1]
    real = tf.not_equal(mask, 0)
    position = tf.expand_dims(tf.range(given), 0)  # [1, T]
    is_kept = tf.logical_or(real, tf.equal(position, 0))  # [B, T]
    # A text without any real token attends to its first position alone, so that its padding has no say.
    empty = tf.logical_not(tf.reduce_any(real, 1, keepdims=True))
    is_key = tf.logical_or(real, tf.logical_and(empty, tf.equal(position, 0)))  # [B, T]
    counted = tf.cast(is_kept, tf.int32)
    lengths = tf.reduce_sum(counted, 1)  # [B]
    length = tf.maximum(tf.reduce_max(lengths), 1)  # S; 1 when there are no texts
    token = tf.reshape(tf.cumsum(tf.reshape(counted, [-1])) - 1, [batch, given])  # [B, T] number of a kept token
    kept = tf.cast(tf.reshape(tf.where(tf.reshape(is_kept, [-1])), [-1]), tf.int32)  # [n]
    begins, rows = _begins(lengths, length)
    first = tf.cumsum(lengths, exclusive=True)  # [B]
    places = token + tf.where(is_kept, tf.expand_dims(begins - first, 1), -token)  # [B, T]
    place = tf.gather(tf.reshape(places, [-1]), kept)  # [n]
    # What lies at each place; texts are counted from 1, and 0 is none.
    text = kept // given + 1  # [n]
    key = tf.where(tf.gather(tf.reshape(is_key, [-1]), kept), text, -1)
    found = tf.scatter_nd(
        tf.expand_dims(place, 1), tf.stack([tf.range(tf.size(kept)), text, key], 1), [rows * length, 3]
    )
    borrowed, of_query, of_key = tf.unstack(tf.reshape(found, [rows, length, 3]), axis=2)  # each [R, S]
    parts = tf.reshape(tf.range(3 * heads), [3, 1, heads, 1])
    row = tf.expand_dims(place // length * heads, 1) + tf.expand_dims(tf.range(heads), 0)  # [n, A]
    return Packing(
        kept=kept,
        first=first,
        spread=tf.where(real, token, tf.size(kept)),
        split=tf.reshape(borrowed * (3 * heads), [1, rows, 1, length]) + parts,
        joined=row * length + tf.expand_dims(place % length, 1),
        places=places,
        real=real,
        scores_mask=_scores_mask(of_query, of_key, shared=rows < batch),
    )


def unpack(x: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Return [n, H] spread over [B, T, H], float32, zeros wherever the mask is 0."""
    x = tf.pad(tf.cast(x, tf.float32), [[0, 1], [0, 0]])
    return tf.gather(x, packing.spread)


def unpack_scores(scores: tf.Tensor, packing: Packing) -> tf.Tensor:
    """Return [R, A, S, S] as [B, A, T, T], float32, zeros from and to wherever the mask is 0."""
    heads, length = tf.shape(scores)[1], tf.shape(scores)[3]
    real = tf.cast(packing.real, tf.float32)
    row = tf.expand_dims(packing.places // length * heads, 1) + tf.reshape(
        tf.range(heads), [1, -1, 1]
    )  # [B, A, 1 or T]
    queries = row * length + tf.expand_dims(packing.places % length, 1)  # [B, A, T] in [R * A * S]
    scores = tf.gather(tf.reshape(tf.cast(scores, tf.float32), [-1, length]), queries)  # [B, A, T, S]
    scores = tf.gather(scores, packing.places % length, axis=3, batch_dims=1)  # [B, A, T, T]
    return scores * tf.reshape(real, [-1, 1, tf.shape(real)[1], 1]) * tf.expand_dims(tf.expand_dims(real, 1), 1)


def _begins(lengths: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the first place of each text [B] in [R * S], and R.

    Shares are powers of two and the largest come first, so none ends in another row than it begins.
    """
    shares, share = tf.ones_like(lengths), 1
    while share < _PARTS:
        shares += tf.where(lengths > share * length // _PARTS, share, 0)  # each step doubles it
        share *= 2
    order = tf.argsort(shares, direction="DESCENDING", stable=True)
    ends = tf.cumsum(tf.gather(shares, order))
    begins = tf.gather(ends, tf.math.invert_permutation(order)) - shares  # in sixteenths of a row
    rows = -(-tf.reduce_sum(shares) // _PARTS)
    return begins // _PARTS * length + begins % _PARTS * length // _PARTS, rows


def _scores_mask(of_query: tf.Tensor, of_key: tf.Tensor, shared: tf.Tensor) -> tf.Tensor:
    """Return 0 where a query and a key, [R, S] each, are of the same text; one line does for a row with one text."""
    of_query = of_query[:, : tf.where(shared, tf.shape(of_query)[1], 1)]
    same = tf.equal(tf.expand_dims(of_query, 2), tf.expand_dims(of_key, 1))  # [R, 1 or S, S]
    return tf.expand_dims((1.0 - tf.cast(same, tf.float32)) * MASKED, 1)
