"""Checks of the inputs, in the graph: wrong shapes and ids give an error and not wrong numbers."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from export.weights.config import EncoderConfig


def of_one_shape(ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, limit: int) -> tf.Tensor:
    """Return the mask, after a check that all three have one shape [B, T] with 1 <= T <= limit.

    Every computation of the encoder starts from the mask returned here, so nothing runs before the check.
    """
    shapes = [tf.shape(each) for each in (ids, mask, types)]
    length = shapes[0][1]
    alike = tf.reduce_all(tf.equal(tf.stack(shapes[1:]), shapes[0]))
    holds = tf.logical_and(alike, tf.logical_and(length >= 1, length <= limit))
    message = (
        f"this model takes 1 to {limit} tokens a row (cut or split longer rows), and ids, mask and types of one "
        "shape. The shapes of input_word_ids, input_mask and input_type_ids here:"
    )
    with tf.control_dependencies([tf.debugging.Assert(holds, [message, *shapes])]):
        return tf.identity(mask)


def in_tables(ids: tf.Tensor, types: tf.Tensor, config: EncoderConfig) -> Sequence[tf.Tensor]:
    """Return ids and types [n], after a check that each number has a row in its table.

    On a CPU tf.gather refuses such a number itself, on a GPU it returns zeros for it.
    """
    sizes = (config.vocab_size, config.type_vocab_size)
    both = tf.stack([ids, types])  # [2, n]
    outside = tf.logical_or(both < 0, both >= tf.constant(sizes, shape=[2, 1]))
    wrong = tf.gather_nd(both, tf.where(outside))
    message = (
        f"input_word_ids of this model are 0 to {sizes[0] - 1}, input_type_ids 0 to {sizes[1] - 1}; take the "
        "tokenizer of its vocabulary. Outside of that are here:"
    )
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(tf.size(wrong), 0), [message, wrong])]):
        checked: Sequence[tf.Tensor] = tf.unstack(both)
    return checked
