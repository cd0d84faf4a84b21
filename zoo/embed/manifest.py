"""The manifest of a directory of vectors, and JSON that is read back: it may be damaged, and None then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Manifest:
    """What became of a corpus: every row has a vector or is among the bad ones, and `rows` is the sum."""

    rows: int
    vectors: int
    bad: int
    parts: int
    hidden_size: int
    job: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what `_manifest.json` holds."""
        return asdict(self)


def read_manifest(path: Path) -> Manifest | None:
    """Return what a file says, None when it is not there or is no manifest."""
    found, names = read_json_or_none(path), [field.name for field in fields(Manifest)]
    if not isinstance(found, dict) or found.keys() != {*names} or not isinstance(found["job"], dict):
        return None
    return Manifest(**found) if all(type(found[name]) is int for name in names if name != "job") else None


def read_json_or_none(path: Path) -> Any:
    """Return what a JSON file holds, None when it is not there or is no JSON."""
    try:
        return parsed(path.read_bytes())
    except OSError:
        return None


def parsed(text: bytes) -> Any:
    """Return the value of a JSON text, None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
