"""Unpacks upstream's .zip, .whl and .tar.gz to a temporary directory: only the files of a checkpoint, and only into it.

(zoo/archive/tar_reader.py reads our own archives and is stricter. Upstream's archives have PAX headers, and files whose
directories have no entry.)
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, BinaryIO, cast

from export.limits import ZIP_ERRORS, most_unpacked, opened_zip
from zoo.basics.files import cannot_write
from zoo.errors import BadCheckpoint, CannotWrite, ZooError
from zoo.registry.recipes import ARCHIVES

_NEEDED = (
    *("*.index", "*.data-*-of-*", "saved_model.pb", "*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5"),
    *("*.json", "*.txt"),
)
_CHUNK = 1 << 20
_MOST_MEMBERS = 10_000
_MOST_DEPTH = 32  # directories within directories; functions that walk through them are recursive
_TAR_ERRORS = (tarfile.TarError, *ZIP_ERRORS)  # tarfile raises zlib's and gzip's own errors, too


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "directory", or words for anything else: "a symbolic link"
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Return whether `path` is a file that ends as an archive does: "chinese_L-12_H-768_A-12.zip"."""
    try:
        return path.name.lower().endswith(ARCHIVES) and path.is_file()
    except OSError:  # for example a name that is too long for the file system
        return False


def unpack_checkpoint(archive: Path, work: Path | None = None) -> Path:
    """Return a new directory with the files of the checkpoint in an archive: TEMPORARY/bert.zip for bert.zip.

    TEMPORARY is created inside `work`, if given; the caller removes TEMPORARY. Raises BadCheckpoint when the archive is
    damaged or not safe to unpack, CannotWrite when the disk has no room; both leave nothing behind.
    """
    own = Path(tempfile.mkdtemp(prefix="zoo-", dir=work))
    try:
        folder = own / archive.name  # messages name the path of a file inside, and so the archive
        folder.mkdir()
        _unpack(archive, folder)
    except ZooError:
        shutil.rmtree(own, ignore_errors=True)
        raise
    except (OSError, *_TAR_ERRORS) as error:  # of reading; `cannot_write` turns errors of writing into a ZooError
        shutil.rmtree(own, ignore_errors=True)
        raise BadCheckpoint(f"{archive} is damaged: {error}. Fetch it again.") from None
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    members = _zip_members if archive.suffix.lower() in (".zip", ".whl") else _tar_members
    room, most, taken = shutil.disk_usage(folder).free, most_unpacked(archive), 0
    for number, member in enumerate(members(archive), start=1):
        if number > _MOST_MEMBERS:
            raise BadCheckpoint(f"{archive} holds more than {_MOST_MEMBERS:,} members, so it is not unpacked.")
        name = _checked(archive, member)
        if member.kind == "directory" or not _is_needed(name):
            continue
        taken += member.size
        if taken > room:
            raise CannotWrite(
                f"{archive} needs {taken:,} bytes up to '{name}', but {folder.parent} has room for {room:,}. "
                "Set TMPDIR to a directory on a larger disk."
            )
        if taken > most:
            raise BadCheckpoint(
                f"{archive} has {archive.stat().st_size:,} bytes and claims to unpack to {taken:,} up to '{name}'. "
                "Weights do not compress so well, so it is not unpacked."
            )
        target = folder / name
        if target.exists() or any((folder / parent).is_file() for parent in name.parents):
            raise BadCheckpoint(f"{archive} holds '{name}' twice, so it is not unpacked.")
        with cannot_write(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        _copy(member, target)


def _copy(member: _Member, target: Path) -> None:
    source = member.open()
    assert source is not None  # tarfile returns None for a directory only
    with cannot_write(target):
        file = target.open("xb")
    with source, file:
        while chunk := source.read(_CHUNK):
            with cannot_write(target):
                file.write(chunk)


def _checked(archive: Path, member: _Member) -> PurePosixPath:
    """Return the name of a member that is safe to unpack. Raises BadCheckpoint for any other."""
    name = PurePosixPath(member.name)
    if not _MOST_DEPTH >= len(name.parts) >= (member.kind != "directory") or not all(map(_is_file_name, name.parts)):
        raise BadCheckpoint(f"{archive} holds {member.name[:80]!r}, which is not a usable file name. Not unpacked.")
    if ".." in name.parts or "\\" in member.name or PureWindowsPath(member.name).anchor:  # "/" is an anchor too
        raise BadCheckpoint(f"{archive} holds '{member.name}', which leads outside of its directory. Not unpacked.")
    if member.kind not in ("file", "directory"):
        raise BadCheckpoint(f"{archive} holds '{member.name}', which is {member.kind}, not a file. Not unpacked.")
    return name


def _is_file_name(part: str) -> bool:
    return not re.search(r"[\0-\x1f\x7f]", part) and len(os.fsencode(part)) < 256


def _is_needed(name: PurePosixPath) -> bool:
    """Return whether a file may be part of a checkpoint; macOS's `__MACOSX/._name` copies are not."""
    ours = any(name.match(pattern) for pattern in _NEEDED)
    return ours and "__MACOSX" not in name.parts and not name.name.startswith("._")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with opened_zip(archive) as opened:
        for info in opened.infolist():
            kind = "directory" if info.filename.endswith("/") else "file"
            if stat.S_ISLNK(info.external_attr >> 16):
                kind = "a symbolic link"
            elif info.flag_bits & 1:
                kind = "encrypted"
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                kind = "compressed with an unusual method"
            yield _Member(info.filename, info.file_size, kind, partial(opened.open, info))


def _tar_members(archive: Path) -> Iterator[_Member]:
    with archive.open("rb") as file, _BoundedGzip(file, most_unpacked(archive)) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for info in tar:
                kind = "directory" if info.isdir() else "file"
                if not (info.isdir() or info.isreg()) or info.issparse():
                    kind = "a link, a device or a sparse file"
                yield _Member(info.name, info.size, kind, partial(tar.extractfile, info))
        while stream.read(_CHUNK):
            pass  # the tar ends before the gzip stream does; gzip compares its checksum at the end of the stream


class _BoundedGzip(gzip.GzipFile):
    """A gzip file that refuses reads of more than 16 MiB and stops after `most` bytes in all.

    tarfile reads as many bytes as a header claims, so a header of a stranger could ask for gigabytes of memory.
    """

    def __init__(self, packed: IO[bytes], most: int) -> None:
        super().__init__(fileobj=cast(BinaryIO, _CountedReads(packed)), mode="rb")
        self._most = most

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= 16 * _CHUNK:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return super().read(self._checked(self.tell() + size) and size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(self._checked(offset), whence)

    def _checked(self, end: int) -> int:
        if end > self._most + 16 * _CHUNK:
            raise tarfile.ReadError(f"it unpacks to more than {self._most:,} bytes; weights do not compress so well")
        return end


class _CountedReads:
    """The packed bytes of a gzip file, which may be read in a bounded number of calls.

    gzip reads the name in a header byte by byte, and a file may consist of millions of headers: that takes minutes.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._left = 10_000 + os.fstat(packed.fileno()).st_size // 1024

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise gzip.BadGzipFile("it consists of gzip headers without data")
        return self._packed.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._packed, name)
