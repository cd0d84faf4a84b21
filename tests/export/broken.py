"""Formats whose readers are broken, each in its way, as soon as a file is damaged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from scripts.fuzz.child import Format
from zoo.errors import BadCheckpoint

_GOOD = bytes(range(256))


def _raises() -> object:
    return 1 // 0


def _aborts() -> object:
    return os.abort()


def _refuses() -> object:
    raise BadCheckpoint("it is damaged")


def _make(folder: Path) -> None:
    (folder / "file").write_bytes(_GOOD)


def _format(what: Callable[[], object]) -> Format:
    def read(file: Path) -> None:
        if file.read_bytes() != _GOOD:
            what()

    return Format(_make, read, ("file",))


FORMATS = {
    "refuses": _format(_refuses),
    "accepts": _format(lambda: None),
    "raises": _format(_raises),
    "aborts": _format(_aborts),
    "takes memory": _format(lambda: b"x" * (3 << 29)),
    "hangs": _format(lambda: time.sleep(1000)),
}
