"""Pythons with other versions of TensorFlow, and what a signature's tensors are called in a saved graph."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OLD_PYTHONS = [path for path in os.environ.get("ZOO_OLD_PYTHONS", "").split(":") if path]
NO_OLD_PYTHONS = "ZOO_OLD_PYTHONS names no Python with an older TensorFlow; `scripts/test-runtimes` makes some"

_PLACES = "import sysconfig; print(sysconfig.get_paths()['platlib'], sysconfig.get_config_var('LIBDIR'), sep='\\n')"


@dataclass(frozen=True)
class Installed:
    """Where a Python keeps its packages, TensorFlow among them, and its own library."""

    packages: Path
    libraries: Path

    @classmethod
    def of(cls, python: str = sys.executable) -> Installed:
        done = subprocess.run([python, "-c", _PLACES], check=True, capture_output=True, text=True)
        return cls(*map(Path, done.stdout.splitlines()))


# name -> case of tests/export/tasks/conftest.py: text archives that runtimes are asked
TEXT_ARCHIVES = {
    "vectors": "vector: cls and mean",
    "classes": "classifier: electra",
    "entities": "tokens: bert with a crf",
    "spans": "span: albert",
    "masks": "masks: bert",
}


def save_texts(name: str, place: Path) -> Path:
    """Return the SavedModel of a text archive, without card and comparison."""
    from export.pipeline import save_text
    from tests.export.tasks.conftest import planned_text, write_case

    write_case(TEXT_ARCHIVES[name], place / f"{name}_saved")
    task = {"task": "fill_mask"} if name == "masks" else {}
    save_text(planned_text(place / f"{name}_saved", **task), place / name)
    return place / name


@dataclass(frozen=True)
class Signature:
    """The tensors of a signature: name in the contract -> name in the graph."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @classmethod
    def of(cls, directory: Path, name: str = "serving_default") -> Signature:
        from tensorflow.core.protobuf import saved_model_pb2

        model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
        signature = model.meta_graphs[0].signature_def[name]
        sides = (signature.inputs, signature.outputs)
        return cls(*({name: side[name].name for name in sorted(side)} for side in sides))
