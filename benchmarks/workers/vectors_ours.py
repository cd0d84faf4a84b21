"""Ours, texts to vectors: a text archive in TensorFlow, its conversions in ONNX Runtime, and `zoo embed`."""

from __future__ import annotations

import serve

# isort: split
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

import zoo
from benchmarks.sections.corpus import read
from zoo.embed.encoder import EncoderSpec
from zoo.embed.run import plan_corpus, run_plan

ARCHIVE, CONVERTED = "model.tar.gz", "onnx"
SEEDED = ("--task", "vector", "--pooling", "mean", "--max-length", "128")  # of checkpoints that do not say


class OursOfTexts(serve.TextModel):
    distributions = ("tensorflow", "tensorflow-text", "onnxruntime", "tokenizers")

    def __init__(self, onnx: Sequence[str] | None = None) -> None:
        self._onnx = onnx  # the archive itself if None, else its conversion with these words

    def prepare(self, source: Path, target: Path) -> None:
        real = source / "transformers" / "modules.json"  # of sentence-transformers
        where, how = (real.parent, ()) if real.exists() else (source / "checkpoint", SEEDED)
        _zoo("export", where, "--name", "model", "--out", target, "--heads", "none", *how)
        if self._onnx is not None:
            _zoo("convert", target / ARCHIVE, "--to", "onnx", "--out", target / CONVERTED, *self._onnx)

    def form(self, directory: Path) -> tuple[str, str]:
        """Return where the model is, and the runtime for it."""
        form, runtime = (ARCHIVE, "tensorflow") if self._onnx is None else (CONVERTED, "onnx")
        return str(directory / form), runtime

    def load(self, directory: Path) -> None:
        place, runtime = self.form(directory)
        self._encode = zoo.TextEncoder(place, runtime=runtime)

    def call(self, inputs: Any) -> Any:
        return self._encode(inputs, show_progress=False)

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"vectors": result}


class Embed(OursOfTexts):
    """What the command `zoo embed` does once its model is loaded: a file of lines in, a directory of Parquet out."""

    def load(self, directory: Path) -> None:
        place, runtime = self.form(directory)
        self._spec = EncoderSpec(place, runtime=runtime)
        self._spec.load()

    def inputs(self, batch: np.ndarray) -> Any:
        here = Path(mkdtemp())
        texts = here / "texts.txt"
        texts.write_text("".join(f"{text}\n" for text in batch.tolist()), encoding="utf-8")
        return plan_corpus(self._spec, texts, here / "vectors")

    def call(self, inputs: Any) -> Any:
        run_plan(inputs, restart=True)
        return inputs.job.output.directory

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        return {"vectors": read(Path(result))}


def _zoo(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", "zoo", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


serve.serve((Embed if serve.SETTINGS.pop("embed", False) else OursOfTexts)(**serve.SETTINGS))
