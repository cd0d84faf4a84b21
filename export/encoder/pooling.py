"""The vector of a text, made of an encoder's outputs: one function for each kind of `zoo.contract.Pooling`.

B texts, T tokens, H hidden size. Padding is 0 in `mask` (B, T), and zero in the sequence output (B, T, H). Source:
Pooling in sentence_transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from zoo.contract import POOLED_OUTPUT, SEQUENCE_OUTPUT, Pooling

_TINY = 1e-12  # the least length that a vector is divided by; as torch.nn.functional.normalize


def pooled(pooling: str, outputs: Mapping[str, Any], mask: tf.Tensor) -> tf.Tensor:
    """Return (B, n · H): the vectors of all n kinds in `pooling`, such as "first+max", beside each other."""
    found = [_KINDS[kind](outputs, tf.cast(mask, tf.float32)) for kind in pooling.split("+")]  # type: ignore[index]
    return found[0] if len(found) == 1 else tf.concat(found, -1)


def unit(x: tf.Tensor) -> tf.Tensor:
    """Return vectors [B, D] of the length 1."""
    return x / tf.maximum(tf.sqrt(tf.reduce_sum(x * x, -1, keepdims=True)), _TINY)


def _mean(outputs: Mapping[str, Any], mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(outputs[SEQUENCE_OUTPUT], 1) / tf.reduce_sum(mask, 1, keepdims=True)


def _mean_sqrt_len(outputs: Mapping[str, Any], mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(outputs[SEQUENCE_OUTPUT], 1) / tf.sqrt(tf.reduce_sum(mask, 1, keepdims=True))


def _max(outputs: Mapping[str, Any], mask: tf.Tensor) -> tf.Tensor:
    hidden = outputs[SEQUENCE_OUTPUT]
    return tf.reduce_max(tf.where(tf.expand_dims(mask, -1) != 0, hidden, hidden.dtype.min), 1)


def _weightedmean(outputs: Mapping[str, Any], mask: tf.Tensor) -> tf.Tensor:
    """The mean in which token number n, from 1, counts n times."""
    weights = tf.cumsum(mask, 1) * mask
    total = tf.reduce_sum(outputs[SEQUENCE_OUTPUT] * tf.expand_dims(weights, -1), 1)
    return total / tf.reduce_sum(weights, 1, keepdims=True)


def _lasttoken(outputs: Mapping[str, Any], mask: tf.Tensor) -> tf.Tensor:
    last = tf.cast(tf.reduce_sum(mask, 1), tf.int32) - 1
    return tf.gather(outputs[SEQUENCE_OUTPUT], last, batch_dims=1)


_KINDS: Mapping[Pooling, Callable[[Mapping[str, Any], tf.Tensor], tf.Tensor]] = {
    "first": lambda outputs, mask: outputs[SEQUENCE_OUTPUT][:, 0],
    "mean": _mean,
    "pooled": lambda outputs, mask: outputs[POOLED_OUTPUT],
    "max": _max,
    "mean_sqrt_len": _mean_sqrt_len,
    "weightedmean": _weightedmean,
    "lasttoken": _lasttoken,
}
