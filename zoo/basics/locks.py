"""Locks between processes, directories for files that are on their way, and the removal of what killed processes left.

The operating system releases a lock when its process ends, however it ends. The lock file itself stays.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from filelock import FileLock, Timeout

_log = logging.getLogger("zoo")
_SILENCE = 2.0  # seconds to wait for another process before the user is told


@contextmanager
def locked(lock_file: Path, waiting: str = "") -> Iterator[None]:
    """Hold a lock during the block. While another process holds it, wait; after two seconds log `waiting`, if given."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=_SILENCE if waiting else -1)
    except Timeout:
        _log.warning("%s", waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_if_free(lock_file: Path) -> Iterator[bool]:
    """Yield True and hold a lock during the block; yield False, without waiting, when another process holds it."""
    lock = FileLock(lock_file)
    with suppress(Timeout):
        lock.acquire(timeout=0)
    try:
        yield lock.is_locked
    finally:
        lock.release()  # which does nothing if the lock was not acquired


@contextmanager
def part_of(place: Path, waiting: str = "") -> Iterator[Path]:
    """Lock `place` by `.NAME.lock` and yield `.NAME.part`, the directory for files on their way to `place`.

    The directory may be missing, or hold what an earlier run left: a download continues from there. It is removed when
    the block ends well. After an error it stays for the next run, unless it is empty.
    """
    part = place.with_name(f".{place.name}.part")
    with locked(place.with_name(f".{place.name}.lock"), waiting):
        remove_temporary(place)
        if part.is_symlink() or part.is_file() or any(path.is_dir() for path in part.glob("*")):
            delete(part)  # no run leaves this: a part is a directory of files
        try:
            yield part
        except BaseException:
            with suppress(OSError):
                part.rmdir()  # fails, as it should, when the directory is not empty
            raise
        delete(part)


def remove_temporary(place: Path) -> None:
    """Remove what killed processes were writing beside `place`, as `zoo.basics.files.unique_beside` names it.

    Call it while you hold the lock of all who write `place`, or you remove the work of a living process.
    """
    for path in place.parent.glob(f".{escape(place.name)}.{'[0-9a-f]' * 12}.tmp"):
        delete(path)


def delete(path: Path) -> None:
    """Remove a file, a link, or a directory with everything in it; do nothing when there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
