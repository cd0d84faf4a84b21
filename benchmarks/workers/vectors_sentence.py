"""sentence-transformers in PyTorch and in ONNX Runtime, and FastEmbed on the ONNX file that it exports."""

from __future__ import annotations

import serve

# isort: split
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

MODEL = "model"  # the directory, and the name that FastEmbed is told
FLOAT32, INT8 = "onnx/model.onnx", "onnx/model_qint8_avx512_vnni.onnx"  # names that sentence-transformers gives


class SentenceTransformers(serve.TextModel):
    distributions = ("sentence-transformers", "torch", "transformers", "optimum-onnx", "onnxruntime")

    def __init__(self, file: str = "") -> None:
        self._file = file  # PyTorch if empty
        torch.set_num_threads(serve.THREADS)

    def prepare(self, source: Path, target: Path) -> None:
        from sentence_transformers import export_dynamic_quantized_onnx_model

        directory = target / MODEL
        shutil.copytree(source / "transformers", directory)
        exported = SentenceTransformer(str(directory), backend="onnx", device="cpu")
        exported.save_pretrained(str(directory))
        export_dynamic_quantized_onnx_model(exported, "avx512_vnni", str(directory))
        weights = "model.safetensors"
        if not (directory / weights).exists():
            shutil.copy(source / "transformers" / weights, directory)

    def load(self, directory: Path) -> None:
        onnx: Any = {"backend": "onnx", "model_kwargs": {"file_name": self._file}} if self._file else {}
        self._model = SentenceTransformer(str(directory / MODEL), device="cpu", **onnx)

    def call(self, inputs: Any) -> Any:
        return self._model.encode(inputs, show_progress_bar=False)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"vectors": result}


class FastEmbed(SentenceTransformers):
    distributions = ("fastembed", "onnxruntime")

    def load(self, directory: Path) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        path = directory / MODEL
        width = json.loads((path / "config.json").read_text(encoding="utf-8"))["hidden_size"]
        own: Any = {"pooling": PoolingType.MEAN, "normalization": True, "sources": ModelSource(hf=MODEL)}
        TextEmbedding.add_custom_model(MODEL, dim=width, model_file=FLOAT32, **own)
        self._model = TextEmbedding(MODEL, specific_model_path=str(path), threads=serve.THREADS)

    def call(self, inputs: Any) -> Any:
        return np.stack(list(self._model.embed(inputs)))


serve.serve(FastEmbed() if serve.SETTINGS.pop("fastembed", False) else SentenceTransformers(**serve.SETTINGS))
