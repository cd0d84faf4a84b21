"""A hidden directory to work in, beside the results. The directories that killed processes left are removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.basics.files import unique_beside
from zoo.basics.locks import delete, locked, locked_if_free


@contextmanager
def owned_directory(out: Path) -> Iterator[Path]:
    """Yield a new hidden directory in `out`, which is removed after the block.

    A process holds the lock of its directory as long as it lives: without a lock, a directory is abandoned.
    """
    remove_abandoned(out)
    work = unique_beside(out / "work")
    lock_file = work.with_suffix(".lock")
    try:
        with locked(lock_file):  # before there is a directory, or another process could take it for abandoned
            try:
                work.mkdir()
                yield work
            finally:
                delete(work)
    finally:
        lock_file.unlink(missing_ok=True)


def remove_abandoned(out: Path) -> None:
    """Remove the directories in `out` whose processes have ended."""
    for lock_file in out.glob(".work.*.lock"):
        with locked_if_free(lock_file) as is_free:
            if is_free:
                delete(lock_file.with_suffix(".tmp"))
        if is_free:
            lock_file.unlink(missing_ok=True)
