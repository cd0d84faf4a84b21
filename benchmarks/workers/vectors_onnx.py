"""Texts to vectors as ONNX Runtime's users write it: Hugging Face's tokenizers, the padded model, the mean."""

from __future__ import annotations

import serve

# isort: split
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from onnx_runtime import NAMES, OnnxRuntime
from tokenizers import BertWordPieceTokenizer


class OnnxRuntimeOfTexts(OnnxRuntime):
    distributions = (*OnnxRuntime.distributions, "tokenizers")

    def prepare(self, source: Path, target: Path) -> None:
        super().prepare(source, target)
        shutil.copy(source / "checkpoint" / "vocab.txt", target)

    def load(self, directory: Path) -> None:
        super().load(directory)
        self._tokenizer = BertWordPieceTokenizer(str(directory / "vocab.txt"), lowercase=True)
        self._tokenizer.enable_truncation(serve.TEXT_LENGTH)
        self._tokenizer.enable_padding()

    def inputs(self, batch: np.ndarray) -> Any:
        return batch.tolist()

    def call(self, inputs: Any) -> Any:
        rows = self._tokenizer.encode_batch(inputs)
        arrays = ([row.ids for row in rows], [row.attention_mask for row in rows], [row.type_ids for row in rows])
        ids, mask, types = (np.array(array, np.int64) for array in arrays)
        (sequence,) = self._session.run(["sequence"], dict(zip(NAMES, (ids, mask, types), strict=True)))
        real = mask[:, :, None].astype(np.float32)
        return (sequence * real).sum(axis=1) / real.sum(axis=1)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"vectors": result}


serve.serve(OnnxRuntimeOfTexts())
