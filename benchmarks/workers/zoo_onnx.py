"""Ours in ONNX Runtime: what `zoo convert --to onnx` makes of the archive, in float32 or int8."""

from __future__ import annotations

import serve

# isort: split
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

NAMES = ("input_word_ids", "input_mask", "input_type_ids")
OUTPUTS = {"sequence": "sequence_output", "pooled": "pooled_output"}


class OursInOnnx(serve.Model):
    distributions = ("onnxruntime", "tf2onnx")

    def __init__(self, convert: Sequence[str] = ()) -> None:
        self._convert = convert

    def prepare(self, source: Path, target: Path) -> None:
        _zoo("export", f"{source}/checkpoint", "--name", "model", "--out", str(target), "--heads", "none")
        words = ("--to", "onnx", "--tokenizer", "none", "--out", str(target / "onnx"))
        _zoo("convert", str(target / "model.tar.gz"), *words, *self._convert)
        (target / "model.tar.gz").unlink()

    def load(self, directory: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = serve.THREADS
        file = str(directory / "onnx" / "model.onnx")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def inputs(self, batch: np.ndarray) -> Any:
        return dict(zip(NAMES, batch, strict=True))

    def call(self, inputs: Any) -> Any:
        return self._session.run([*OUTPUTS.values()], inputs)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return dict(zip(OUTPUTS, result, strict=True))


def _zoo(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "zoo", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


serve.serve(OursInOnnx(**serve.SETTINGS))
