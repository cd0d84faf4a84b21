"""Ragged rows regrouped, without the checks and masks of tf.RaggedTensor's own methods.

Shapes: B texts, P values of all texts together.
"""

from __future__ import annotations

import tensorflow as tf


def by_word(values: tf.Tensor, row_splits: tf.Tensor, word_splits: tf.Tensor) -> tf.RaggedTensor:
    """Return flat values as (B, (words), (pieces))."""
    words = tf.cast(tf.searchsorted(word_splits, row_splits), tf.int64)  # every row begins with a word
    return tf.RaggedTensor.from_nested_row_splits(values, [words, word_splits], validate=False)


def by_text(ids: tf.RaggedTensor) -> tf.RaggedTensor:
    """Return (B, (words), (pieces)) or (B, (pieces)) as (B, (pieces))."""
    if ids.shape.rank == 2:
        return ids
    row_splits = tf.gather(ids.values.row_splits, ids.row_splits)
    return tf.RaggedTensor.from_row_splits(ids.flat_values, row_splits, validate=False)


def owners(row_splits: tf.Tensor) -> tf.Tensor:
    """Return the row that each value is in, (P,), of the row splits' dtype.

    tf.repeat and RaggedTensor.value_rowids build a mask of rows times the longest row: one long text among many short
    ones would cost gigabytes.
    """
    values = tf.range(row_splits[-1])
    return tf.searchsorted(row_splits, values, side="right", out_type=row_splits.dtype) - 1
