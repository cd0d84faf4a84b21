"""Unpacked models that nobody writes into by accident: read-only trees, and how they are made writable again."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def make_read_only(directory: Path) -> None:
    """Take the right to write from a directory and from everything in it.

    It keeps out accidents, not owners, who can give it back. File systems without such rights are left as they are.
    """
    for path in _paths(directory):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_WRITE)


def make_writable(directory: Path) -> None:
    """Give the owner the right to write back, so that a tree can be changed, moved or removed. A link is left alone."""
    if directory.is_symlink():
        return
    with suppress(OSError):
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IRWXU)
    for path in _paths(directory):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWUSR)


def _paths(directory: Path) -> Iterator[Path]:
    """Yield files before the directories that hold them, the directory itself last; links are not followed."""
    for folder, _, files in os.walk(directory, topdown=False):
        yield from (Path(folder, name) for name in files if not Path(folder, name).is_symlink())
        yield Path(folder)
