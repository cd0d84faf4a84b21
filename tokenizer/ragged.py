"""Ragged rows regrouped, without the checks and masks of tf.RaggedTensor's own methods.

Shapes: B texts, P values of all texts together.
"""

from __future__ import annotations

import tensorflow as tf


def by_word(values: tf.Tensor, row_splits: tf.Tensor, word_splits: tf.Tensor) -> tf.RaggedTensor:
    """Return flat values as (B, (words), (pieces))."""
    words = tf.cast(tf.searchsorted(word_splits, row_splits), tf.int64)  # every row's first piece begins a word
    return tf.RaggedTensor.from_nested_row_splits(values, [words, word_splits], validate=False)


def by_text(ids: tf.RaggedTensor) -> tf.RaggedTensor:
    """Return ids (B, (words), (pieces)) without the level of words, as (B, (pieces)). Ids (B, (pieces)) stay."""
    if ids.shape.rank == 2:
        return ids
    row_splits = tf.gather(ids.values.row_splits, ids.row_splits)
    return tf.RaggedTensor.from_row_splits(ids.flat_values, row_splits, validate=False)


def spread(rows: tf.Tensor, begin: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return `size` values: every place of a row gets the row's number in `rows` (B,). Rows start at `begin` (B,).

        spread(rows=[7, 5], begin=[0, 3], size=4)  # [7, 7, 7, 5]

    tf.repeat and RaggedTensor.value_rowids build a mask of rows times the longest row: one long text among many short
    ones would cost gigabytes. Here the differences between rows, [7, 0, 0, -2], are summed up.
    """
    steps = rows - tf.concat([tf.zeros([1], rows.dtype), rows[:-1]], axis=0)
    return tf.cumsum(tf.scatter_nd(begin[:, tf.newaxis], steps, tf.reshape(size + 1, [1])))[:-1]


def owners(row_splits: tf.Tensor) -> tf.Tensor:
    """Return the number of the row that each value is in, (P,), in the dtype of the row splits."""
    return spread(tf.range(tf.size(row_splits, row_splits.dtype) - 1), row_splits[:-1], row_splits[-1])
