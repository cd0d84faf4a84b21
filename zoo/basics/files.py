"""Files and directories that appear whole or not at all, and files that are read because they are files.

What is written goes under a unique name beside its place and is then moved. A power cut is no exception: a file system
may put a new name on the disk before the bytes that it names, and after the cut the name would be there with an empty
file. So the bytes are synced before the name is given; a test keeps that nothing else in the project renames.

What comes from outside is opened by `open_regular`: a pipe in the place of a file would block for ever, a device never
end.
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
# What file systems without fsync answer; EIO, a disk that has lost bytes, is not among them.
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}

_ODD = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_MOST = 64 << 20  # bytes of what is read at once


# -- reading ------------------------------------------------------------------------------------------------------


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Return an ordinary file, opened for reading: at once, whatever lies there.

    Raises OSError, for a pipe, a device, a socket or a directory too.
    """
    return open(path, "rb", opener=_opened)


def read_regular(path: str | os.PathLike[str], most: int = _MOST) -> bytes:
    """Return what an ordinary file holds. Raises OSError as `open_regular` does, and when it is longer than `most`."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"is longer than {most:,} bytes", os.fspath(path))
    return content


def _opened(path: str, flags: int) -> int:
    _refuse_odd(Path(path).stat().st_mode, path)  # before it is opened: to open a device may do something
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # it may have become a pipe since
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
        kind = _ODD.get(stat.S_IFMT(mode), "no file")
        raise OSError(errno.EINVAL, f"is {kind}, and only ordinary files are read", path)


# -- writing ------------------------------------------------------------------------------------------------------


@contextmanager
def cannot_write(path: Path, kept: Path | None = None) -> Iterator[None]:
    """Turn an OSError of the block into CannotWrite, which names `path`, the reason and the next move.

    `kept` is a file that stays for the next run; the error says how much of it there is.
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
    """Yield a name beside `path`; the file written there becomes `path` when the block ends well, else it is removed.

        with written_file(Path("registry.json")) as temporary:
            temporary.write_text("{}")

    Raises CannotWrite for any OSError of the block.
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
    """Yield an empty directory beside `path`; it becomes `path` when the block ends well, else it is removed.

    Raises CannotWrite for any OSError of the block, and when `path` exists and is not an empty directory.
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
    """Rename a file or directory to `target` when its bytes are on the disk; a file that is there is replaced."""
    folders = [source, *(path for path in source.rglob("*") if path.is_dir())] if source.is_dir() else []
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()] if folders else [source]
    for path in files:
        sync_file(path)
    for folder in reversed(folders):
        sync_directory(folder)
    source.replace(target)
    sync_directory(target.parent)


def set_aside(path: Path, aside: Path) -> None:
    """Rename what is to be removed, or may come back, to `aside`. Its bytes are not read: they may be damaged."""
    path.rename(aside)


def sync_file(path: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    handle = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0) if os.name == "nt" else os.O_RDONLY)
    _sync(handle)


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk, where the system can do that. (Windows cannot.)"""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows; or one that may be written to and not be listed
        return
    _sync(handle)


def _sync(handle: int) -> None:
    """Wait until what a descriptor stands for is on the disk, and close it."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def unique_beside(path: Path) -> Path:
    """Return a hidden name in the directory of `path` that nobody else uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
