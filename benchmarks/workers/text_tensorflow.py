"""tensorflow-text's BertTokenizer and FastBertTokenizer, with its packing, in a tf.function."""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as text


class TensorFlowText(serve.TextModel):
    distributions = ("tensorflow-text", "tensorflow")

    def __init__(self, fast: bool = False) -> None:
        self._fast = fast

    def load(self, directory: Path) -> None:
        vocabulary = (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
        if self._fast:
            tokenizer = text.FastBertTokenizer(vocabulary, lower_case_nfd_strip_accents=True)
        else:
            entries = tf.constant(vocabulary)
            ids = tf.range(len(vocabulary), dtype=tf.int64)
            table = tf.lookup.StaticVocabularyTable(tf.lookup.KeyValueTensorInitializer(entries, ids), 1)
            tokenizer = text.BertTokenizer(table, token_out_type=tf.int32, lower_case=True)
        start, end = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def pack(texts: tf.Tensor) -> Any:
            pieces = tf.cast(tokenizer.tokenize(texts).merge_dims(1, -1), tf.int32)
            segments, types = text.combine_segments([pieces[:, : serve.TEXT_LENGTH - 2]], start, end)
            ids, mask = text.pad_model_inputs(segments, serve.TEXT_LENGTH)
            return ids, mask, text.pad_model_inputs(types, serve.TEXT_LENGTH)[0]

        self._pack = pack

    def call(self, inputs: Any) -> Any:
        return [array.numpy() for array in self._pack(tf.constant(inputs))]

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"ids": result[0]}


serve.serve(TensorFlowText(**serve.SETTINGS))
