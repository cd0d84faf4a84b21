"""Pieces into rows: round-robin trimming, [CLS] and [SEP], padding, the three keys. Nothing here knows about text.

Shapes: S segments, B rows, P pieces of all segments together, L columns. Segments come one after another, every row of
the first, then every row of the second, so that S need not be known when the graph is built.
"""

from __future__ import annotations

import tensorflow as tf

from tokenizer.ragged import spread
from zoo.contract import INPUT_MASK, INPUT_TYPE_IDS, INPUT_WORD_IDS


def trim(lengths: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """Return how many pieces of each segment stay when a row has room for so many: (S, B) int32.

    Round robin, as tensorflow_text.RoundRobinTrimmer: one piece of each segment in turn, from the first segment on,
    until the room is used. That is a water level: segments up to it stay whole, the others are cut there, and what is
    left over goes one by one to the first of those. The level is the highest m with sum(min(length, m)) <= room.
    """
    count = tf.shape(lengths)[0]
    ascending = tf.transpose(tf.sort(tf.transpose(lengths)))  # (S, B)
    whole = tf.cumsum(ascending, exclusive=True)  # (S, B) pieces of the k shortest segments
    level = tf.reduce_max((room - whole) // (count - tf.range(count))[:, tf.newaxis], axis=0)  # (B,)
    kept = tf.minimum(lengths, level)
    left_over = room - tf.reduce_sum(kept, axis=0)
    is_cut = tf.cast(lengths > level, tf.int32)
    turn = tf.cumsum(is_cut, exclusive=True)
    return kept + is_cut * tf.cast(turn < left_over, tf.int32)


def lay_out(
    pieces: tf.Tensor, lengths: tf.Tensor, kept: tf.Tensor, columns: tf.Tensor, cls: int, sep: int, pad: int
) -> dict[str, tf.Tensor]:
    """Return [CLS] a [SEP] b [SEP] … padded to `columns`, as the dict that encoders take, each (B, L) int32.

    pieces (P,) int32, lengths and kept (S, B) int32: the first `kept` pieces of each segment are used.
    """
    rows = tf.shape(lengths)[1]
    start = 1 + tf.cumsum(kept + 1, exclusive=True)  # (S, B) column of the first piece
    end = start + kept  # (S, B) column of the [SEP]
    first_cell = columns * tf.range(rows)  # (B,)

    place, begin = tf.range(tf.size(pieces)), tf.cumsum(tf.reshape(lengths, [-1]), exclusive=True)
    is_kept = place < spread(begin + tf.reshape(kept, [-1]), begin, tf.size(pieces))
    piece_cell = place + spread(tf.reshape(first_cell + start, [-1]) - begin, begin, tf.size(pieces))

    outside = rows * columns  # where pieces go that are not kept
    cells = [tf.where(is_kept, piece_cell, outside), first_cell, tf.reshape(first_cell + end, [-1])]
    values = [pieces, tf.fill([rows], cls), tf.fill([tf.size(end)], sep)]
    ids = tf.tensor_scatter_nd_update(
        tf.fill([outside + 1], pad), tf.concat(cells, axis=0)[:, tf.newaxis], tf.concat(values, axis=0)
    )[:-1]

    column = tf.range(columns)
    mask = tf.cast(column <= end[-1][:, tf.newaxis], tf.int32)  # (B, L)
    types = tf.reduce_sum(
        tf.cast(column > end[:, :, tf.newaxis], tf.int32), axis=0
    )  # (B, L) segments that ended before
    return {INPUT_WORD_IDS: tf.reshape(ids, [rows, columns]), INPUT_MASK: mask, INPUT_TYPE_IDS: types * mask}
