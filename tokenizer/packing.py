"""Pieces into rows: round-robin trimming, [CLS] and [SEP], padding, the three keys. Nothing here knows about text.

Shapes: B rows, S segments of a row, P pieces of all segments together, L columns. S is not known when the graph is
built. Rows are short, so the time depends on the number of operations, not on the work of one operation.
"""

from __future__ import annotations

import tensorflow as tf

from zoo.contract import INPUT_MASK, INPUT_TYPE_IDS, INPUT_WORD_IDS


def trim(lengths: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """Return how many pieces of each segment stay in a row that has room for `room` pieces: (B, S) int32.

    Round robin, as tensorflow_text.RoundRobinTrimmer: segments take one piece each in turn until the room is used.
    The result is computed as a water level, the highest m with sum(min(length, m)) <= room. A segment of at most m
    pieces stays whole, a longer one keeps m; the pieces left over go one each to the first of the longer segments.
    Example: lengths [2, 9, 9] and room 11 give the level 4 and one piece left over, so [2, 5, 4].
    """

    def cut() -> tf.Tensor:
        count = tf.shape(lengths)[1]
        whole = tf.cumsum(tf.sort(lengths), axis=1, exclusive=True)  # (B, S) pieces of the k shortest segments
        level = tf.reduce_max((room - whole) // (count - tf.range(count)), axis=1, keepdims=True)  # (B, 1)
        kept = tf.minimum(lengths, level)
        left_over = room - tf.reduce_sum(kept, axis=1, keepdims=True)
        is_cut = tf.cast(lengths > level, tf.int32)
        turn = tf.cumsum(is_cut, axis=1, exclusive=True)
        return kept + is_cut * tf.cast(turn < left_over, tf.int32)

    return tf.cond(tf.reduce_all(tf.reduce_sum(lengths, axis=1) <= room), lambda: lengths, cut)


def trim_longest_first(lengths: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """Return how many pieces of each text of a pair stay, (B, 2) int32, as Hugging Face's tokenizers cut pairs.

    A pair that is too long keeps as many pieces of both; if the shorter text needs fewer, the longer one gets the rest.
    A piece that is left over goes to the longer text, to the second one of equals. Source: `truncate_encodings` there,
    of the strategy LongestFirst.
    """
    first, second = lengths[:, 0], lengths[:, 1]
    short, long = tf.minimum(first, second), tf.maximum(first, second)
    kept_short = tf.minimum(short, room // 2)
    kept_long = tf.minimum(long, room - kept_short)
    swapped = first > second
    return tf.stack([tf.where(swapped, kept_long, kept_short), tf.where(swapped, kept_short, kept_long)], 1)


def trim_only_second(lengths: tf.Tensor, room: tf.Tensor) -> tf.Tensor:
    """Return how many pieces of each text of a pair stay, (B, 2) int32, if the first one is cut last of all."""
    first = tf.minimum(lengths[:, 0], room)
    return tf.stack([first, tf.minimum(lengths[:, 1], room - first)], 1)


def lay_out_rows(
    pieces: tf.Tensor,
    begins: tf.Tensor,
    kept: tf.Tensor,
    columns: tf.Tensor,
    separators: int,
    has_types: bool,
    cls: int,
    sep: int,
    pad: int,
) -> dict[str, tf.Tensor]:
    """Return [CLS] a [SEP] b [SEP] … padded to `columns`, as the dict that encoders take, each tensor (B, L) int32.

    `pieces` (P,) int32 holds the pieces of all segments. The pieces of a segment start at its number in `begins`
    (B, S) int32; its first `kept` (B, S) int32 pieces are used. With two `separators` there are as many between two
    segments, and one behind the last. Without types all of them are 0.
    """
    head = [cls, *[sep] * separators]
    before = len(head)
    source = tf.concat([head, pieces], axis=0)
    # A row is a range of the source for [CLS], and two for each segment: its pieces and [SEP].
    ranges = tf.raw_ops.RaggedRange(
        starts=_of_rows(begins + before, sep=1, cls=0),
        limits=_of_rows(begins + before + kept, sep=_separator_limits(tf.shape(kept), separators), cls=1),
        deltas=1,
        Tsplits=tf.int32,
    )
    places = ranges.rt_dense_values
    rows, segments = tf.unstack(tf.shape(kept))
    shape, splits = tf.stack([rows, columns]), ranges.rt_nested_splits[:: 1 + 2 * segments]

    def padded(values: tf.Tensor, padding: int) -> tf.Tensor:
        return tf.raw_ops.RaggedTensorToTensor(
            shape=shape,
            values=values,
            default_value=padding,
            row_partition_tensors=[splits],
            row_partition_types=["ROW_SPLITS"],
        )

    mask = padded(tf.ones_like(places), 0)

    def types() -> tf.Tensor:
        ends = tf.cumsum(kept + 1, axis=1)[:, :-1]  # the column of every [SEP] except the last
        after = tf.range(columns) > tf.expand_dims(ends, 2)  # (B, S - 1, L)
        return tf.reduce_sum(tf.cast(after, tf.int32), axis=1) * mask

    return {
        INPUT_WORD_IDS: padded(tf.gather(source, places), pad),
        INPUT_MASK: mask,
        INPUT_TYPE_IDS: tf.cond(segments > 1, types, lambda: tf.zeros_like(mask)) if has_types else tf.zeros_like(mask),
    }


def lay_out_texts(
    pieces: tf.Tensor, row_splits: tf.Tensor, columns: tf.Tensor | int, cls: int, sep: int, pad: int
) -> dict[str, tf.Tensor]:
    """Return [CLS] a [SEP] for rows of one segment, trimmed and padded; needs a third of `lay_out_rows`'s operations.

    `pieces` (P,) int32 holds the pieces of all rows; row b has those from row_splits[b] to row_splits[b + 1].
    """

    def inner(values: tf.Tensor, padding: int) -> tf.Tensor:
        """Return the columns between [CLS] and the last column, (B, L - 2)."""
        return tf.raw_ops.RaggedTensorToTensor(
            shape=tf.stack([-1, columns - 2]),
            values=values,
            default_value=padding,
            row_partition_tensors=[row_splits],
            row_partition_types=["ROW_SPLITS"],
        )

    mask = tf.pad(inner(tf.ones_like(pieces), 0), [[0, 0], [2, 0]], constant_values=1)
    # `ids` holds every id minus `step`, and `step * mask` is added at the end. Where the mask is 1 but the row holds
    # padding, which is one column behind the last piece, that makes pad + (sep - pad) = [SEP].
    step = sep - pad
    ids = tf.pad(inner(pieces - step, pad), [[0, 0], [1, 0]], constant_values=cls - step)
    ids = tf.pad(ids, [[0, 0], [0, 1]], constant_values=pad)
    return {INPUT_WORD_IDS: ids + step * mask, INPUT_MASK: mask, INPUT_TYPE_IDS: tf.zeros_like(mask)}


def _separator_limits(shape: tf.Tensor, separators: int) -> tf.Tensor | int:
    """Return where the range of a segment's separators ends, if it begins with 1: (B, S), or the same number for all.

    The last segment of a row has one separator behind it.
    """
    if separators == 1:
        return 2
    return tf.where(tf.range(shape[1]) < shape[1] - 1, 1 + separators, 2) + tf.zeros(shape, tf.int32)


def _of_rows(pieces: tf.Tensor, sep: tf.Tensor | int, cls: int) -> tf.Tensor:
    """Return one flat vector: for every row the value `cls`, then for every segment its value (B, S) and `sep`."""
    if isinstance(sep, int):
        both = tf.pad(tf.expand_dims(pieces, 2), [[0, 0], [0, 0], [0, 1]], constant_values=sep)  # (B, S, 2)
    else:
        both = tf.stack([pieces, sep], axis=2)
    rows, segments = tf.unstack(tf.shape(pieces))
    return tf.reshape(tf.pad(tf.reshape(both, [rows, 2 * segments]), [[0, 0], [1, 0]], constant_values=cls), [-1])
