"""Which package and room may import which, and that names and downloads load no TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import zoo
from tests.conftest import ROOT

# A class of Keras 3, engines and pyarrow, which nobody imports who does not ask for them.
ON_DEMAND = {"zoo.keras.layer", "zoo.keras.models", "zoo.embed.beam", "zoo.embed.parquet", "zoo.embed.spark"}
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


def test_commands_and_plans_of_the_builder_import_no_tensorflow() -> None:
    modules = [
        "export.command",
        "export.convert.command",
        "export.release.command",
        "export.inspect",
        "export.planning",
    ]
    code = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
    print(module, *sorted({{name.partition(".")[0] for name in sys.modules}} & {HEAVY!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines() == modules, done.stdout + done.stderr


# -- circles ------------------------------------------------------------------------------------------------------

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in MAY_IMPORT
    for path in sorted((ROOT / package).rglob("*.py"))
}


def modules_of(tree: ast.AST) -> Iterator[str]:
    """Yield our modules that a file imports, inside of functions too, but not for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            found = (f"{node.module}.{name.name}" for name in node.names)
            yield from (name if name in MODULES else str(node.module) for name in found)
        yield from modules_of(node)


def imports() -> dict[str, set[str]]:
    found = {name: {*modules_of(ast.parse(path.read_text(encoding="utf-8")))} for name, path in MODULES.items()}
    return {name: others & MODULES.keys() - {name} for name, others in found.items()}


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """Return what is left when all that imports nothing more is taken away, again and again: [] without a circle."""
    left = {name: set(others) for name, others in graph.items()}
    while done := [name for name, others in left.items() if not others & left.keys()]:
        for name in done:
            del left[name]
    return sorted(left)


def room(module: str) -> str:
    """Return the folder of a module, 'zoo.fetching'. A module in front of the rooms stands for itself."""
    if module == "zoo.errors":  # its words go through zoo.basics.display, and files raise its errors
        return "zoo.basics"
    package, _, rest = module.partition(".")
    is_front = "." not in rest and MODULES[module].name != "__init__.py"
    return module if is_front else f"{package}.{rest.partition('.')[0]}"


def test_no_circle_of_modules() -> None:
    assert circles(imports()) == []


def test_no_circle_of_rooms() -> None:
    rooms: dict[str, set[str]] = {}
    for module, others in imports().items():
        rooms.setdefault(room(module), set()).update(room(other) for other in others)
    assert circles({name: others - {name} for name, others in rooms.items()}) == []


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    source = "if TYPE_CHECKING:\n    import zoo.model\ndef f():\n    from zoo.basics import files"
    assert [*modules_of(ast.parse(source))] == ["zoo.basics.files"]


# -- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_say_what_lives_there_and_hold_one_idea(module: str) -> None:
    text = MODULES[module].read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "the first line says what lives there"
    assert len(text.splitlines()) <= 400, "more than one idea?"


def test_no_room_has_the_name_of_a_public_function() -> None:
    rooms = {path.name for path in (ROOT / "zoo").iterdir()}
    assert not rooms & {*zoo.__all__}, "a folder would shadow it"
