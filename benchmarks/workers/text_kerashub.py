"""KerasHub's BERT preprocessor, in a tf.function."""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import tensorflow as tf


class KerasHubTokenizer(serve.TextModel):
    distributions = ("keras-hub", "tensorflow-text", "tensorflow")

    def load(self, directory: Path) -> None:
        vocabulary = str(directory / "vocab.txt")
        tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True)
        pack = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=serve.TEXT_LENGTH)
        self._pack = tf.function(lambda texts: pack(texts), input_signature=[tf.TensorSpec([None], tf.string)])

    def call(self, inputs: Any) -> Any:
        return {key: value.numpy() for key, value in self._pack(tf.constant(inputs)).items()}

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"ids": result["token_ids"]}


serve.serve(KerasHubTokenizer(**serve.SETTINGS))
