"""Which package may import which, and that naming and downloading models loads no TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# A class of Keras 3, engines and pyarrow, which nobody imports who does not ask for them.
ON_DEMAND = {"zoo.keras.layer", "zoo.embed.beam", "zoo.embed.parquet", "zoo.embed.spark"}
HEAVY = {"tensorflow", "tensorflow_hub", "tensorflow_text", "keras", "pyarrow", "pandas", "apache_beam", "pyspark"}
MAY_IMPORT = {"zoo": {"zoo"}, "tokenizer": {"tokenizer", "zoo"}, "export": {"export", "tokenizer", "zoo"}}
OURS = {"zoo", "tokenizer", "export", "scripts"}


def imported(path: Path) -> Iterator[str]:
    """Yield the top-level package of every import of a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are absolute"
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(path): found for path in files if (found := {*imported(path)} & OURS - MAY_IMPORT[package])}
    assert not wrong


def test_every_module_of_the_zoo_is_imported_without_tensorflow() -> None:
    files = [path for path in (ROOT / "zoo").rglob("*.py") if not path.stem.startswith("__")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files} - ON_DEMAND
    code = f"""
import importlib, sys
import zoo
assert "pydantic" not in sys.modules and "requests" not in sys.modules, "import zoo is to be light"
for module in {sorted(modules)!r}:
    importlib.import_module(module)
loaded = {{name.partition(".")[0] for name in sys.modules}}
heavy = loaded & {HEAVY!r}
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "zoo").rglob("*.py")), ids=lambda path: path.name)
def test_files_say_what_lives_there_and_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "the first line says what lives there"
    assert len(text.splitlines()) <= 400
