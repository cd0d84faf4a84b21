"""A model in ONNX as a function, by ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from export.convert.check import Batch


def answering(model: Path | bytes) -> Callable[[Batch], Batch]:
    """Return a model, a file or its bytes, as a function from inputs by name to outputs by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(names, dict(batch)), strict=True))
