"""The best labels of a text's tokens together, by a conditional random field: Viterbi's algorithm in the graph.

The chance of a label is that of the token's label over all sequences of labels (forward-backward), so the best sequence
may hold labels that are not the best of their token. Both passes keep their scores around zero, because float32 has
seven digits and the score of 512 tokens would need four of them.

B texts, T tokens of the longest, C labels.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Field(NamedTuple):
    """The scores of a CRF: of a label behind another [from, to], of the first and of the last label."""

    transitions: tf.Tensor  # (C, C)
    start: tf.Tensor  # (C,)
    end: tf.Tensor  # (C,)


def best_labels(logits: tf.Tensor, lengths: tf.Tensor, field: Field, limit: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the numbers of the best labels and their chances, (B, T) int32 and float32; no gradient goes through.

    `logits` (B, T, C) are of texts with `lengths` (B,) tokens, of which `limit` is the most; zoo.safety reads it in
    the conditions of the loops.
    """
    logits, *scores = (tf.stop_gradient(each) for each in (logits, *field))

    def some() -> tuple[tf.Tensor, tf.Tensor]:
        emitted = tf.transpose(logits, [1, 0, 2])  # (T, B, C)
        pointers, forward, best = _forward(emitted, lengths, Field(*scores), limit)
        numbers, chances = _backward(emitted, lengths, Field(*scores), limit, pointers, forward, best)
        # Not tf.transpose: of integers, oneDNN's prints an error on most machines.
        tokens, texts = tf.unstack(tf.shape(numbers))
        places = tf.range(texts)[:, tf.newaxis] + texts * tf.range(tokens)  # (B, T)
        return tf.gather(tf.reshape(numbers, [-1]), places), tf.gather(tf.reshape(chances, [-1]), places)

    def none() -> tuple[tf.Tensor, tf.Tensor]:  # nothing can be written to an empty tensor
        shape = tf.shape(logits)[:2]
        return tf.zeros(shape, tf.int32), tf.zeros(shape)

    numbers, chances = tf.cond(tf.size(lengths) > 0, some, none)
    return numbers, tf.stop_gradient(chances)


def _forward(
    emitted: tf.Tensor, lengths: tf.Tensor, field: Field, limit: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return of each token the best label before each label, the sum over all ways to it, and the last best scores."""
    tokens, texts, count = tf.unstack(tf.shape(emitted))
    itself = tf.broadcast_to(tf.range(count), [texts, count])
    first = field.start + emitted[0]  # (B, C)

    def step(number: tf.Tensor, best: tf.Tensor, pointers: tf.Tensor, ways: tf.Tensor) -> tuple[tf.Tensor, ...]:
        at = number + 1
        through = best[:, :, tf.newaxis] + field.transitions  # (B, from, to)
        is_on = (at < lengths)[:, tf.newaxis]
        pointer = tf.where(is_on, tf.argmax(through, 1, output_type=tf.int32), itself)
        best = tf.where(is_on, _around_zero(tf.reduce_max(through, 1) + emitted[at]), best)
        summed = _summed(ways[number][:, :, tf.newaxis] + field.transitions, 1) + emitted[at]
        return at, best, _with(pointers, at, pointer), _with(ways, at, _around_zero(summed))

    state = [
        0,
        _around_zero(first),
        tf.broadcast_to(itself, [tokens, texts, count]),
        _with(tf.zeros_like(emitted), 0, _around_zero(first)),
    ]
    _, best, pointers, ways = _looped(step, state, tokens - 1, limit)
    return pointers, ways, best


def _backward(
    emitted: tf.Tensor,
    lengths: tf.Tensor,
    field: Field,
    limit: int,
    pointers: tf.Tensor,
    forward: tf.Tensor,
    best: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return labels and chances (T, B), from the last token to the first."""
    tokens, texts = tf.unstack(tf.shape(emitted)[:2])
    label = tf.argmax(best + field.end, 1, output_type=tf.int32)  # (B,)
    ways = tf.broadcast_to(field.end, tf.shape(best))  # (B, C) from a label to the end

    def chance(at: tf.Tensor, label: tf.Tensor, ways: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.nn.softmax(forward[at] + ways), label, batch_dims=1)

    def step(
        number: tf.Tensor, label: tf.Tensor, ways: tf.Tensor, labels: tf.Tensor, chances: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        at = tokens - 1 - number  # from this token to the one before it
        label = tf.gather(pointers[at], label, batch_dims=1)
        before = _summed(field.transitions + (emitted[at] + ways)[:, tf.newaxis], 2)
        ways = tf.where((at < lengths)[:, tf.newaxis], _around_zero(before), ways)
        now = chance(at - 1, label, ways)
        return number + 1, label, ways, _with(labels, at - 1, label), _with(chances, at - 1, now)

    labels = tf.zeros([tokens, texts], tf.int32)
    state = [
        0,
        label,
        ways,
        _with(labels, tokens - 1, label),
        _with(tf.zeros([tokens, texts]), tokens - 1, chance(tokens - 1, label, ways)),
    ]
    return tuple(_looped(step, state, tokens - 1, limit)[-2:])


def _looped(step: object, state: list[tf.Tensor], steps: tf.Tensor, limit: int) -> list[tf.Tensor]:
    def some_left(number: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape((number < limit) & (number < steps), [])  # see zoo.safety.loops

    return tf.while_loop(some_left, step, state)


def _with(rows: tf.Tensor, number: tf.Tensor | int, row: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_update(rows, tf.reshape(number, [1, 1]), row[tf.newaxis])


def _around_zero(scores: tf.Tensor) -> tf.Tensor:
    return scores - tf.reduce_max(scores, -1, keepdims=True)


def _summed(scores: tf.Tensor, axis: int) -> tf.Tensor:
    """Return the logarithm of the sum of the powers of e along an axis."""
    most = tf.reduce_max(scores, axis, keepdims=True)
    return tf.math.log(tf.reduce_sum(tf.exp(scores - most), axis)) + tf.squeeze(most, axis)
