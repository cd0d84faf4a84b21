"""Hugging Face's Rust tokenizers: texts to packed ids."""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import BertWordPieceTokenizer


class RustTokenizer(serve.TextModel):
    distributions = ("tokenizers",)

    def load(self, directory: Path) -> None:
        tokenizer = BertWordPieceTokenizer(str(directory / "vocab.txt"), lowercase=True)
        tokenizer.enable_truncation(serve.TEXT_LENGTH)
        tokenizer.enable_padding(length=serve.TEXT_LENGTH)
        inner = tokenizer._tokenizer
        self._encode = getattr(inner, "encode_batch_fast", inner.encode_batch)  # the fast one keeps no offsets

    def call(self, inputs: Any) -> Any:
        ids = np.array([encoding.ids for encoding in self._encode(inputs)], np.int32)
        return ids, (ids != 0).astype(np.int32), np.zeros_like(ids)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"ids": result[0]}


serve.serve(RustTokenizer(**serve.SETTINGS))
