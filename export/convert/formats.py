"""The formats an encoder is converted to: what writes each, what runs it, and which packages that takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from export.convert import to_onnx, to_tfjs, to_tflite
from export.convert.check import Batch
from export.convert.drift import Drift
from export.convert.rebuilding import PlainRoot

Quantized: TypeAlias = "Literal['int8'] | None"


@dataclass(frozen=True)
class Format:
    """One format. `write` fills an empty directory; `run` loads that directory and answers batches.

    `run` raises NoRuntime when its runtime is not on this machine.
    """

    write: Callable[[PlainRoot, Path, Sequence[Batch] | None], Drift | None]  # with samples, int8
    run: Callable[[Path, Sequence[Batch]], Sequence[Batch]]


FORMATS = {
    "onnx": Format(to_onnx.write_onnx, to_onnx.run_onnx),
    "tflite": Format(to_tflite.write_tflite, to_tflite.run_tflite),
    "tfjs": Format(to_tfjs.write_tfjs, to_tfjs.run_tfjs),
}
