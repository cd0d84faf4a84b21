"""PyTorch: Hugging Face transformers' model, eager."""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AlbertModel, AutoConfig, BertModel  # here, so that loading is not charged for it

NAMES = ("input_ids", "attention_mask", "token_type_ids")
LEARNING_RATE = 2e-5


class PyTorch(serve.Model):
    distributions = ("torch", "transformers")

    def __init__(self) -> None:
        torch.set_num_threads(serve.THREADS)

    def prepare(self, source: Path, target: Path) -> None:
        _read(source / "transformers").save_pretrained(target)

    def load(self, directory: Path) -> None:
        self._model = _read(directory).eval()

    def inputs(self, batch: np.ndarray) -> Any:
        return _tensors(batch)

    def call(self, inputs: Any) -> Any:
        with torch.inference_mode():
            return self._model(**inputs)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"sequence": result.last_hidden_state.numpy(), "pooled": result.pooler_output.numpy()}

    def trainer(self, source: Path, directory: Path, head: np.ndarray) -> serve.Trainer:
        return TorchTrainer(_read(directory), head)

    def gemm(self, rows: int, inner: int, columns: int, dtype: str) -> dict[str, float]:
        """Return the rate of one matrix product, in GFLOP/s."""
        kind = getattr(torch, dtype)
        a, b = torch.randn(rows, inner).to(kind), torch.randn(inner, columns).to(kind)
        with torch.inference_mode():
            return {"gflops": serve.gemm_rate(lambda: a @ b, rows * inner * columns)}


class TorchTrainer:
    def __init__(self, model: Any, head: np.ndarray) -> None:
        self._model = model
        self._head = torch.nn.Linear(*head.shape)
        with torch.no_grad():
            self._head.weight.copy_(torch.from_numpy(head.T))
            self._head.bias.zero_()
        learning = [*model.parameters(), *self._head.parameters()]
        self.parameters = sum(parameter.numel() for parameter in learning)
        self._optimizer = torch.optim.Adam(learning, LEARNING_RATE)

    def _value(self, batch: np.ndarray, labels: np.ndarray) -> Any:
        logits = self._head(self._model(**_tensors(batch)).pooler_output)
        return torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long())

    def loss(self, batch: np.ndarray, labels: np.ndarray) -> float:
        self._model.eval()
        with torch.inference_mode():
            return float(self._value(batch, labels))

    def step(self, batch: np.ndarray, labels: np.ndarray) -> None:
        self._model.train()
        self._optimizer.zero_grad()
        self._value(batch, labels).backward()
        self._optimizer.step()


def _read(directory: Path) -> Any:
    classes = {"bert": BertModel, "albert": AlbertModel}
    return classes[AutoConfig.from_pretrained(directory).model_type].from_pretrained(directory)


def _tensors(batch: np.ndarray) -> dict[str, Any]:
    return {name: torch.from_numpy(array.astype(np.int64)) for name, array in zip(NAMES, batch, strict=True)}


if __name__ == "__main__":
    serve.serve(PyTorch(**serve.SETTINGS))
