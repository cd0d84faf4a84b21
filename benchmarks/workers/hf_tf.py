"""Hugging Face transformers in TensorFlow: its Keras model in a tf.function, or the SavedModel it writes."""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_common import TensorFlowModel, TensorFlowTrainer
from transformers import AutoConfig, TFAlbertModel, TFBertModel  # here, so that loading is not charged for it

NAMES = ("input_ids", "attention_mask", "token_type_ids")


class TransformersTensorFlow(TensorFlowModel):
    distributions = ("transformers", "tensorflow", "tf_keras")
    keys, sequence, pooled = NAMES, "last_hidden_state", "pooler_output"

    def __init__(self, saved_model: bool = False, trainable: str = "all") -> None:
        self._saved_model = saved_model
        self._trainable = trainable

    def prepare(self, source: Path, target: Path) -> None:
        model = _read(source / "transformers")
        model.save_pretrained(target, saved_model=self._saved_model, safe_serialization=True)

    def load(self, directory: Path) -> None:
        if self._saved_model:
            self._loaded = tf.saved_model.load(str(directory / "saved_model" / "1"))  # kept: it owns the variables
            signature = self._loaded.signatures["serving_default"]
            self._encode = lambda inputs: signature(**inputs)
            return
        model = _read(directory)
        spec = {name: tf.TensorSpec([None, None], tf.int32, name) for name in NAMES}
        self._encode = tf.function(lambda inputs: dict(model(inputs, training=False)), input_signature=[spec])

    def trainer(self, source: Path, directory: Path, head: np.ndarray) -> serve.Trainer:
        model = _read(directory)
        variables = model.trainable_variables if self._trainable == "all" else []
        pooled = lambda inputs, training: model(inputs, training=training).pooler_output  # noqa: E731
        return TensorFlowTrainer(pooled, variables, head, tf_keras, NAMES)


def _read(directory: Path) -> Any:
    config = AutoConfig.from_pretrained(directory)
    classes = {"bert": TFBertModel, "albert": TFAlbertModel}
    return classes[config.model_type].from_pretrained(directory)


serve.serve(TransformersTensorFlow(**serve.SETTINGS))
