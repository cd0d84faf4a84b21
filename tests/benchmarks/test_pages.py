"""The one command line of the benchmarks, and the pages of docs/ that its commands write."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import _arguments, main
from benchmarks.sections import exports
from tests.conftest import ROOT


def test_a_page_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(model: str, directory: Path, slots: bool) -> list[object]:
        return [f"{model} {slots}", *range(len(exports.COLUMNS) - 1)]

    monkeypatch.setattr(exports, "_measure", measured)
    words = ["benchmarks", "exports", "bert", "albert_tiny", "--slots", "--out", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", words)
    assert main() == 0
    text = (tmp_path / "docs" / "exports.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text + "\n"
    assert text.startswith("# Exports at true size\n\nWritten by `python -m benchmarks exports --out docs`")
    assert "| bert True | 0 | 1 | 2 | 3 | 4 | 5 |\n| albert_tiny True | 0 |" in text
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    assert main() == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["bert True", "albert_tiny True"] and rows[0]["bound MiB"] == 5


@pytest.mark.parametrize(
    "name",
    [
        "benchmarks",
        "converted",
        "embed-numbers",
        "exactness",
        "exports",
        "runtime-numbers",
        "runtime-numbers-avx2",
        "one-text-numbers",
        "text-numbers",
        "tokenizer-numbers",
        "vector-numbers",
        "wordpiece-numbers",
    ],
)
def test_every_page_names_a_command_that_there_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    found = re.search("Written by `python -m (benchmarks [^`]*)`", text)
    assert found
    monkeypatch.setattr(sys, "argv", shlex.split(found[1]))
    assert _arguments().out
