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
    segments, rows = tf.shape(lengths)[0], tf.shape(lengths)[1]
    source = tf.concat([[cls, sep], pieces], axis=0)
    begin = 2 + tf.reshape(tf.cumsum(tf.reshape(lengths, [-1]), exclusive=True), tf.shape(lengths))
    # A row is a range of the source for [CLS], and two for each segment: its pieces and [SEP].
    starts = _of_rows(begin, tf.ones_like(begin), first=0)
    limits = _of_rows(begin + kept, tf.fill(tf.shape(begin), 2), first=1)
    ranges = tf.raw_ops.RaggedRange(starts=starts, limits=limits, deltas=1, Tsplits=tf.int32)
    splits = ranges.rt_nested_splits[:: 1 + 2 * segments]

    def padded(values: tf.Tensor, padding: int) -> tf.Tensor:
        return tf.raw_ops.RaggedTensorToTensor(
            shape=tf.stack([rows, columns]),
            values=values,
            default_value=padding,
            row_partition_tensors=[splits],
            row_partition_types=["ROW_SPLITS"],
        )

    def types() -> tf.Tensor:
        number = tf.tile(tf.expand_dims(tf.range(segments), 1), [1, rows])
        of_range, end = _of_rows(number, number, first=0), tf.size(ranges.rt_dense_values)
        return padded(spread(of_range, ranges.rt_nested_splits[:-1], end), 0)

    ids = padded(tf.gather(source, ranges.rt_dense_values), pad)
    mask = padded(tf.ones_like(ranges.rt_dense_values), 0)
    return {
        INPUT_WORD_IDS: ids,
        INPUT_MASK: mask,
        INPUT_TYPE_IDS: tf.cond(segments > 1, types, lambda: tf.zeros_like(mask)),
    }


def _of_rows(pieces: tf.Tensor, seps: tf.Tensor, first: int) -> tf.Tensor:
    """Return what is said of the pieces and the [SEP] of each segment, (S, B) each, row by row, [CLS] before them."""
    both = tf.transpose(tf.stack([pieces, seps], axis=2), [1, 0, 2])  # (B, S, 2)
    both = tf.reshape(both, [tf.shape(pieces)[1], 2 * tf.shape(pieces)[0]])
    return tf.reshape(tf.pad(both, [[0, 0], [1, 0]], constant_values=first), [-1])
