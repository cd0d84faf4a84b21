"""OpenVINO on transformers' model: in float32, in the precision that it takes by itself, or in int8 by NNCF.

NNCF's quantisation is static: scales of activations are chosen once, by batches like those that are timed.
"""

from __future__ import annotations

import serve

# isort: split
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino

NAMES = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = ("sequence", "pooled")
CALIBRATION = (32, 8, 64)  # batches, rows, tokens


class OpenVino(serve.Model):
    distributions = ("openvino", "nncf", "torch", "transformers")

    def __init__(self, int8: bool = False, precision: str | None = None) -> None:
        self._int8, self._precision = int8, precision

    def prepare(self, source: Path, target: Path) -> None:
        model = _converted(source / "transformers")
        if self._int8:
            import nncf

            vocabulary = len((source / "checkpoint" / "vocab.txt").read_text(encoding="utf-8").splitlines())
            texts = nncf.Dataset(list(_calibration(vocabulary)))
            model = nncf.quantize(model, texts, model_type=nncf.ModelType.TRANSFORMER)
        openvino.save_model(model, target / "model.xml", compress_to_fp16=False)

    def load(self, directory: Path) -> None:
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": serve.THREADS, "NUM_STREAMS": 1}
        if self._precision:
            settings["INFERENCE_PRECISION_HINT"] = self._precision
        self._model = openvino.Core().compile_model(directory / "model.xml", "CPU", settings)

    def inputs(self, batch: np.ndarray) -> Any:
        return dict(zip(NAMES, batch.astype(np.int64), strict=True))

    def call(self, inputs: Any) -> Any:
        return self._model(inputs)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {name: result[name] for name in OUTPUTS}


def _converted(directory: Path) -> Any:
    """Return OpenVINO's form of the model, of any batch and length."""
    import torch
    import transformers

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = transformers.AutoModel.from_pretrained(directory).eval()

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            result = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return {"sequence": result.last_hidden_state, "pooled": result.pooler_output}

    example = dict(zip(NAMES, map(torch.from_numpy, _batch(np.random.default_rng(1), 2, 8, 100)), strict=True))
    inputs = [(name, [-1, -1], openvino.Type.i64) for name in NAMES]
    return openvino.convert_model(Outputs(), example_input=example, input=inputs)


def _calibration(vocabulary: int) -> Iterator[dict[str, np.ndarray]]:
    batches, rows, tokens = CALIBRATION
    generator = np.random.default_rng(1)
    for _ in range(batches):
        yield dict(zip(NAMES, _batch(generator, rows, tokens, vocabulary), strict=True))


def _batch(generator: np.random.Generator, rows: int, tokens: int, vocabulary: int) -> np.ndarray:
    """Return ids, mask and types [3, B, T] of rows of one token to `tokens`."""
    mask = np.arange(tokens) < generator.integers(1, tokens + 1, rows)[:, None]
    ids = generator.integers(1, vocabulary, mask.shape) * mask
    return np.stack([ids, mask, np.zeros_like(ids)]).astype(np.int64)


serve.serve(OpenVino(**serve.SETTINGS))
