"""The manifest of a directory of vectors, and JSON files that may be damaged: those are read as None."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Manifest:
    """The result of a finished run. Every row has a vector or is a bad row: `rows` = `vectors` + `bad`."""

    rows: int
    vectors: int
    bad: int
    parts: int
    hidden_size: int
    job: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `_manifest.json`."""
        return asdict(self)


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest in a file, or None if the file is missing or is not a manifest."""
    found, names = read_json_or_none(path), [field.name for field in fields(Manifest)]
    if not isinstance(found, dict) or found.keys() != {*names} or not isinstance(found["job"], dict):
        return None
    return Manifest(**found) if all(type(found[name]) is int for name in names if name != "job") else None


def read_json_or_none(path: Path) -> Any:
    """Return the value in a JSON file, or None if the file is missing or is not JSON."""
    try:
        return parsed(path.read_bytes())
    except OSError:
        return None


def parsed(text: bytes) -> Any:
    """Return the value of a JSON text, or None if the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
