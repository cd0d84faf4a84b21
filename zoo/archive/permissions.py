"""Makes unpacked models read-only, so that nobody changes them by accident, and writable again."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def make_read_only(directory: Path) -> None:
    """Take away the right to write to a directory and to everything in it.

    This prevents accidents only: the owner can give the right back. File systems without permissions are left alone.
    """
    for path in _paths(directory):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_WRITE)


def make_writable(directory: Path) -> None:
    """Give the owner the right to write, so that a tree can be changed, moved or removed. A link is left alone."""
    if directory.is_symlink():
        return
    with suppress(OSError):
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IRWXU)
    for path in _paths(directory):
        with suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWUSR)


def _paths(directory: Path) -> Iterator[Path]:
    """Yield the files and directories of a tree, a directory after its content. Links are not followed."""
    for folder, _, files in os.walk(directory, topdown=False):
        yield from (Path(folder, name) for name in files if not Path(folder, name).is_symlink())
        yield Path(folder)
