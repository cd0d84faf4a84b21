"""CTranslate2, which drops padding too: what its converter makes of transformers' directory. It has no ALBERT."""

from __future__ import annotations

import serve

# isort: split
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ctranslate2
import numpy as np


class CTranslate2(serve.Model):
    distributions = ("ctranslate2", "transformers", "torch")

    def __init__(self, compute_type: str = "float32") -> None:
        self._compute_type = compute_type

    def prepare(self, source: Path, target: Path) -> None:
        from ctranslate2.converters import TransformersConverter

        with TemporaryDirectory() as directory:  # the converter wants the tokenizer's files beside the weights
            for file in (*(source / "transformers").iterdir(), source / "checkpoint" / "vocab.txt"):
                shutil.copy(file, directory)
            TransformersConverter(directory).convert(str(target / "model"), quantization=self._compute_type)

    def load(self, directory: Path) -> None:
        path, threads = str(directory / "model"), {"inter_threads": 1, "intra_threads": serve.THREADS}
        self._encoder = ctranslate2.Encoder(path, device="cpu", compute_type=self._compute_type, **threads)

    def inputs(self, batch: np.ndarray) -> Any:
        ids, mask, _ = batch
        lengths = mask.sum(axis=1, dtype=np.int32)
        return tuple(ctranslate2.StorageView.from_array(np.ascontiguousarray(each)) for each in (ids, lengths))

    def call(self, inputs: Any) -> Any:
        ids, lengths = inputs
        return self._encoder.forward_batch(ids, lengths)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"sequence": np.array(result.last_hidden_state), "pooled": np.array(result.pooler_output)}


serve.serve(CTranslate2(**serve.SETTINGS))
