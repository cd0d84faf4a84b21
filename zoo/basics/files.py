"""Writes files and directories that appear whole or not at all, and reads ordinary files only.

A file is written under a unique name in the same directory and then renamed. That must hold in a power cut, too: a file
system may store a new name before the bytes, and then the name would belong to an empty file. So the bytes are synced
before the rename. A test makes sure that no other module renames files.

Files from strangers are opened with `open_regular`: a pipe in the place of a file would block for ever, and a device
might never end.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zoo.errors import CannotWrite, ZooError

_ADVICE = {
    errno.ENOSPC: "The disk is full: make room or choose another place.",
    errno.EDQUOT: "Your quota is used up: make room or choose another place.",
    errno.EACCES: "You have no permission there: choose another place.",
    errno.EPERM: "You have no permission there: choose another place.",
    errno.EROFS: "That file system is read-only: choose another place.",
    errno.ENOTEMPTY: "Something is there already: remove it or choose another place.",
    errno.EEXIST: "Something else is there already: remove it or choose another place.",
    errno.EISDIR: "A directory is where a file should be: remove it or choose another place.",
    errno.ENOTDIR: "A file is where a directory should be: remove it or choose another place.",
}
# Errors of file systems that have no fsync. EIO is missing on purpose: it says that the disk has lost bytes.
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}

_ODD = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_MOST = 64 << 20  # bytes that `read_regular` reads


# -- reading ------------------------------------------------------------------------------------------------------


def real_path(path: Path) -> Path:
    """Return where a path leads, all links followed. (`Path.resolve` raises RuntimeError at a loop of links.)"""
    return Path(os.path.realpath(path))


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Return an ordinary file, opened for reading. Never blocks.

    Raises OSError, also for a pipe, a device, a socket or a directory.
    """
    return open(path, "rb", opener=_opened)


def read_regular(path: str | os.PathLike[str], most: int = _MOST) -> bytes:
    """Return the bytes of an ordinary file. Raises OSError as `open_regular` does, and for more than `most` bytes."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is longer than {most:,} bytes", os.fspath(path))
    return content


def _opened(path: str, flags: int) -> int:
    """Open a file for `open`, which returns a descriptor. Checks before and after: the path may change in between."""
    _refuse_odd(Path(path).stat().st_mode, path)  # opening a device may already do something
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # does not block if a pipe has taken the place
    try:
        _refuse_odd(os.fstat(descriptor).st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_odd(mode: int, path: str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        kind = _ODD.get(stat.S_IFMT(mode), "not a file")
        raise OSError(errno.EINVAL, f"is {kind}; only ordinary files are read", path)


# -- writing ------------------------------------------------------------------------------------------------------


def check_directory(path: Path) -> None:
    """Raise CannotWrite if no directory can be made or filled at `path`: a file is in the way, or no permission.

    It is for what takes long before it writes; the errors of the writing itself stay.
    """
    there = path.absolute()
    with cannot_write(path):
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        if not there.is_dir():
            raise CannotWrite(f"{there} is a file, and {path} should be a directory: choose another place.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(there))


@contextmanager
def cannot_write(path: Path, kept: Path | None = None) -> Iterator[None]:
    """Turn an OSError in the block into CannotWrite, which names `path`, the reason and the next move.

    `kept` is a partial file that the next run continues; the error states its size.
    """
    try:
        yield
    except ZooError:
        raise
    except OSError as error:
        found = error.strerror or str(error)
        if error.filename is not None and Path(os.fsdecode(error.filename)) != path:
            found += f" ({os.fsdecode(error.filename)})"
        advice = [known] if (known := _ADVICE.get(error.errno or 0)) else []
        if kept is not None and kept.is_file() and (size := kept.stat().st_size):
            advice.append(f"{size:,} bytes are kept: run again to go on from there.".replace(",", " "))
        raise CannotWrite(
            f"{path} could not be written: {found}. {' '.join(advice) or 'Nothing was left behind.'}"
        ) from error


@contextmanager
def written_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`. After the block the file is renamed to `path`, or removed on an error.

        with written_file(Path("registry.json")) as temporary:
            temporary.write_text("{}")

    Raises CannotWrite for any OSError in the block.
    """
    temporary = unique_beside(path)
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            move_into_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def written_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory beside `path`. After the block it is renamed to `path`, or removed on an error.

    Raises CannotWrite for any OSError in the block, and if `path` exists and is not an empty directory.
    """
    temporary = unique_beside(path)
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.mkdir()
            yield temporary
            move_into_place(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def move_into_place(source: Path, target: Path) -> None:
    """Write the bytes of a file or directory to the disk, then rename it to `target`. An existing file is replaced."""
    folders = [source, *(path for path in source.rglob("*") if path.is_dir())] if source.is_dir() else []
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()] if folders else [source]
    for path in files:
        sync_file(path)
    for folder in reversed(folders):
        sync_directory(folder)
    source.replace(target)
    sync_directory(target.parent)


def set_aside(path: Path, aside: Path) -> None:
    """Rename `path` to `aside`, to remove it or to bring it back later. Reads no bytes, since they may be damaged."""
    path.rename(aside)


def sync_file(path: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0) if os.name == "nt" else os.O_RDONLY)
    _sync(handle)


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk. (Does nothing on Windows, which cannot do that.)"""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # on Windows, or for a directory that may be written but not listed
        return
    _sync(handle)


def _sync(handle: int) -> None:
    """Wait until the file or directory of a descriptor is on the disk, and close the descriptor."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def unique_beside(path: Path) -> Path:
    """Return an unused hidden path in the directory of `path`: .registry.json.3f9c2a81d004.tmp."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
