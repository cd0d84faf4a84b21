"""TFLite: model.tflite of built-in operations alone, run in TFLite's interpreter."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.convert.check import Batch
from export.convert.rebuilding import PlainRoot
from zoo.contract import SERVING_SIGNATURE

FILE = "model.tflite"


def write_tflite(root: PlainRoot, directory: Path, samples: Sequence[Batch] | None) -> None:
    """Write model.tflite; with `samples` matrices are int8 and activations are quantised at each call."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as saved:
        tf.saved_model.save(root, saved, signatures=root.encode)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[SERVING_SIGNATURE])
        if samples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        (directory / FILE).write_bytes(converter.convert())


def run_tflite(directory: Path, asked: Sequence[Batch]) -> Sequence[Batch]:
    """Return what the interpreter computes for each batch, through the signature `serving_default`."""
    encode = load_tflite(directory)
    return [encode(batch) for batch in asked]


def load_tflite(directory: Path) -> Callable[[Batch], Batch]:
    """Return the loaded model as a function from inputs by name to outputs by name."""
    encode = interpreter(directory / FILE).get_signature_runner(SERVING_SIGNATURE)
    return lambda batch: encode(**batch)


def interpreter(file: Path) -> Any:
    """Return an interpreter of the package ai-edge-litert if it is installed, else of TensorFlow."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow warns that it will remove its interpreter
        return Interpreter(model_path=str(file))
