"""What all that compute with TensorFlow share: inputs, a call that is over when it returns, a training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import serve
import tensorflow as tf

KEYS = ("input_word_ids", "input_mask", "input_type_ids")
LEARNING_RATE = 2e-5


class TensorFlowModel(serve.Model):
    """An encoder whose `_encode(inputs)`, set by `load`, gives a dict with the outputs `sequence` and `pooled`."""

    keys: Sequence[str] = KEYS  # of the inputs
    sequence, pooled = "sequence_output", "pooled_output"
    _encode: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]

    def inputs(self, batch: np.ndarray) -> Any:
        return tensors(batch, self.keys)

    def call(self, inputs: Any) -> Any:
        result = self._encode(inputs)
        result[self.pooled].numpy()
        return result

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"sequence": result[self.sequence].numpy(), "pooled": result[self.pooled].numpy()}


class TensorFlowTrainer:
    """`pooled(inputs, training)` gives [B, H]; `variables` are those of Keras 2 (tf_keras), or of Keras 3."""

    def __init__(
        self,
        pooled: Callable[[dict[str, tf.Tensor], bool], tf.Tensor],
        variables: Sequence[Any],
        head: np.ndarray,
        keras: Any,
        names: Sequence[str] = KEYS,
    ) -> None:
        self._names = names
        three = keras.__version__.startswith("3")
        make = keras.Variable if three else tf.Variable
        kernel, bias = make(head), make(np.zeros(head.shape[1], np.float32))
        learning = [*variables, kernel, bias]
        self.parameters = sum(int(np.prod(variable.shape)) for variable in learning)
        optimizer = keras.optimizers.Adam(LEARNING_RATE)
        optimizer.build(learning)

        def loss(inputs: dict[str, tf.Tensor], labels: tf.Tensor, training: bool) -> tf.Tensor:
            logits = tf.matmul(pooled(inputs, training), tf.convert_to_tensor(kernel)) + tf.convert_to_tensor(bias)
            return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

        def step(inputs: dict[str, tf.Tensor], labels: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                value = loss(inputs, labels, True)
            gradients = tape.gradient(value, [each.value for each in learning] if three else learning)
            optimizer.apply_gradients(list(zip(gradients, learning, strict=True)))
            return value

        specs = {name: tf.TensorSpec([None, None], tf.int32, name) for name in names}
        signature = [specs, tf.TensorSpec([None], tf.int32)]
        self._loss = tf.function(lambda inputs, labels: loss(inputs, labels, False), input_signature=signature)
        self._step = tf.function(step, input_signature=signature)

    def loss(self, batch: np.ndarray, labels: np.ndarray) -> float:
        return float(self._loss(tensors(batch, self._names), tf.constant(labels)))

    def step(self, batch: np.ndarray, labels: np.ndarray) -> None:
        float(self._step(tensors(batch, self._names), tf.constant(labels)))


def tensors(batch: np.ndarray, names: Sequence[str] = KEYS) -> dict[str, tf.Tensor]:
    """Return a batch [3, B, T] as a dict of int32 tensors [B, T]."""
    return {name: tf.constant(array, tf.int32) for name, array in zip(names, batch, strict=True)}
