"""A hidden directory to work in, beside the results; what killed processes left of theirs is removed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from zoo.basics.files import unique_beside


@contextmanager
def owned_directory(out: Path) -> Iterator[Path]:
    """Yield a new hidden directory in `out`, nothing of which stays; first goes what killed processes left there.

    Its lock says that its owner lives: the system releases it, however the process ends.
    """
    remove_abandoned(out)
    work = unique_beside(out / "work")
    lock_file = work.with_suffix(".lock")
    try:
        with FileLock(lock_file):  # before there is a directory, so that nobody takes it for abandoned
            try:
                work.mkdir()
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
    finally:
        lock_file.unlink(missing_ok=True)


def remove_abandoned(out: Path) -> None:
    """Remove the directories in `out` whose owners live no longer."""
    for lock_file in out.glob(".work.*.lock"):
        try:
            with FileLock(lock_file, timeout=0):
                shutil.rmtree(lock_file.with_suffix(".tmp"), ignore_errors=True)
        except Timeout:
            continue
        lock_file.unlink(missing_ok=True)
