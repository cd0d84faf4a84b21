"""The rows that a build begins with: what an earlier run found, what people wrote, and what nobody here knows."""

from __future__ import annotations

import json
from pathlib import Path

from export.release.build import write_rows
from zoo.registry.registry import parse_registry

ARCHIVE = {"urls": ["a.tar.gz"], "sha256": "a" * 64, "size": 7}
GIVEN = {"kind": "encoder", "description": "new words", "layers": 3, "tokenizer": "w", "colours": ["red"]}
KNOWN = {
    "kind": "encoder",
    "description": "old words",
    "layers": 4,
    "parameters": 9,
    "licence": "MIT",
    "tokenizer": "v",
    "mood": "good",
    "archive": ARCHIVE,
}


def rows_after(out: Path, *, is_there: bool) -> dict[str, object]:
    """Return the rows of `out` after the given registry was written into it; with `is_there` the archive lies there."""
    (out / "registry.json").write_text(json.dumps({"models": {"a": KNOWN, "later": {"kind": "program"}}}))
    if is_there:
        (out / "a.tar.gz").write_bytes(b"x" * 7)
    write_rows(parse_registry(json.dumps({"models": {"a": GIVEN}}).encode(), "r.json"), out)
    rows: dict[str, object] = json.loads((out / "registry.json").read_bytes())["models"]
    return rows


def test_what_was_found_in_an_archive_that_is_there_stays(tmp_path: Path) -> None:
    found = {"layers": 4, "parameters": 9, "licence": "MIT", "archive": ARCHIVE}
    assert rows_after(tmp_path, is_there=True) == {
        "a": {**GIVEN, **found, "mood": "good"},
        "later": {"kind": "program"},
    }


def test_without_the_archive_the_row_is_the_given_one(tmp_path: Path) -> None:
    assert rows_after(tmp_path, is_there=False) == {"a": {**GIVEN, "mood": "good"}, "later": {"kind": "program"}}
