"""Our preprocess archive: texts to packed ids."""

from __future__ import annotations

import serve

# isort: split
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401 - registers its operations

from zoo.archive.unpack import unpack


class OurTokenizer(serve.TextModel):
    distributions = ("tensorflow", "tensorflow-text")

    def prepare(self, source: Path, target: Path) -> None:
        command = [sys.executable, "-m", "zoo", "export-tokenizer", str(source / "checkpoint"), "--name", "tokenizer"]
        subprocess.run([*command, "--out", str(target)], check=True)
        unpack(target / "tokenizer_preprocess.tar.gz", target / "saved_model")

    def load(self, directory: Path) -> None:
        self._model = hub.load(str(directory / "saved_model"))

    def call(self, inputs: Any) -> Any:
        packed = self._model(tf.constant(inputs))  # [B, 128] if nothing else is asked for, TEXT_LENGTH
        return {key: value.numpy() for key, value in packed.items()}

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"ids": result["input_word_ids"]}


serve.serve(OurTokenizer(**serve.SETTINGS))
