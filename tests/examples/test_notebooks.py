"""The notebooks are made of the examples, in both languages."""

from __future__ import annotations

import json
import re

import pytest

from scripts.notebooks import notebook, notebooks
from tests.conftest import ROOT


def test_notebooks_are_in_step_with_the_examples() -> None:
    wanted = notebooks()
    assert {*wanted} == {*(ROOT / "examples/notebooks").glob("*")}
    behind = [file.name for file, text in wanted.items() if file.read_text(encoding="utf-8") != text]
    assert not behind, "run python -m scripts.notebooks"


def test_notebooks_are_well_formed_and_of_the_same_code() -> None:
    code: dict[str, list[list[str]]] = {}
    for file, text in notebooks().items():
        content = json.loads(text)
        cells = [cell["source"] for cell in content["cells"] if cell["cell_type"] == "code"]
        assert code.setdefault(file.name.partition(".")[0], cells) == cells
        assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
        names = [cell["id"] for cell in content["cells"]]
        assert len(set(names)) == len(names) and all(re.fullmatch("[a-zA-Z0-9-_]{1,64}", name) for name in names)
        for cell in content["cells"]:
            more = {"outputs", "execution_count"} if cell["cell_type"] == "code" else set()
            assert {*cell} == {"cell_type", "id", "metadata", "source"} | more


def test_what_has_no_translation_is_listed() -> None:
    source = '"""Title.\n"""\n# %% Known\n# Said\n# twice.\nx = 1\n\n\ndef f():\n    # %% New\n    y = 2\n'
    cells = json.loads(notebook(source))["cells"]
    assert ["".join(cell["source"]) for cell in cells][1:] == [
        "## Known\n\nSaid twice.",
        "x = 1\n\n\ndef f():",
        "## New",
        "y = 2",
    ]
    with pytest.raises(KeyError, match="Said twice.*New"):
        notebook(source, {"Title.": "", "Known": ""})
