"""Upstream's .zip and .tar.gz to a temporary directory: only what a checkpoint needs, nothing outside of it.

(zoo/tarstream reads our own archives and is stricter; upstream's carry PAX headers and files without directories.)
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

from export.readers.limits import ZIP_ERRORS, most_unpacked, opened_zip
from zoo.basics.files import cannot_write
from zoo.errors import BadCheckpoint, CannotWrite, ZooError
from zoo.registry.recipes import ARCHIVES

_NEEDED = ("*.index", "*.data-*-of-*", "*.safetensors", "*.bin", "*.h5", "*.json", "*.txt")
_CHUNK = 1 << 20
_MOST_MEMBERS = 10_000
_MOST_DEPTH = 32  # directories within directories; what walks through them calls itself
_TAR_ERRORS = (tarfile.TarError, *ZIP_ERRORS)  # tarfile lets the others through, too


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "directory", or what else it is
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    try:
        return path.name.lower().endswith(ARCHIVES) and path.is_file()
    except OSError:  # a name that no file system takes
        return False


def unpack(archive: Path, work: Path | None = None) -> Path:
    """Return a new temporary directory, in `work` if given, named after the archive, with the files of its checkpoint.

    The caller removes its parent. Raises BadCheckpoint when the archive is damaged or not safe to unpack, CannotWrite
    when there is no room; nothing is left behind then.
    """
    own = Path(tempfile.mkdtemp(prefix="zoo-", dir=work))
    try:
        folder = own / archive.name  # so that messages about what is inside name the archive
        folder.mkdir()
        _unpack(archive, folder)
    except ZooError:
        shutil.rmtree(own, ignore_errors=True)
        raise
    except (OSError, *_TAR_ERRORS) as error:  # of reading; what writing raises is a ZooError
        shutil.rmtree(own, ignore_errors=True)
        raise BadCheckpoint(f"{archive} is damaged: {error}. Fetch it again.") from None
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    members = _zip_members if archive.suffix.lower() == ".zip" else _tar_members
    room, most, taken = shutil.disk_usage(folder).free, most_unpacked(archive), 0
    for number, member in enumerate(members(archive), start=1):
        if number > _MOST_MEMBERS:
            raise BadCheckpoint(f"{archive} holds more than {_MOST_MEMBERS:,} members; refused.")
        name = _checked(archive, member)
        if member.kind == "directory" or not _is_needed(name):
            continue
        taken += member.size
        if taken > room:
            raise CannotWrite(
                f"{archive} claims {taken:,} bytes up to '{name}', {folder.parent} has room for {room:,}. "
                "Set TMPDIR to a larger disk."
            )
        if taken > most:
            raise BadCheckpoint(
                f"{archive} claims {taken:,} bytes up to '{name}', and has {archive.stat().st_size:,} itself: "
                "no weights shrink so far; refused."
            )
        target = folder / name
        if target.exists() or any((folder / parent).is_file() for parent in name.parents):
            raise BadCheckpoint(f"{archive} holds '{name}' twice; refused.")
        with cannot_write(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        _copy(member, target)


def _copy(member: _Member, target: Path) -> None:
    source = member.open()
    assert source is not None  # of a file it never is
    with cannot_write(target):
        file = target.open("xb")
    with source, file:
        while chunk := source.read(_CHUNK):
            with cannot_write(target):
                file.write(chunk)


def _checked(archive: Path, member: _Member) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if not _MOST_DEPTH >= len(name.parts) >= (member.kind != "directory") or not all(map(_is_file_name, name.parts)):
        raise BadCheckpoint(f"{archive} holds {member.name[:80]!r}, which is not the name of a file; refused.")
    if ".." in name.parts or "\\" in member.name or PureWindowsPath(member.name).anchor:  # "/" is an anchor too
        raise BadCheckpoint(f"{archive} holds '{member.name}', which leads outside of its directory; refused.")
    if member.kind not in ("file", "directory"):
        raise BadCheckpoint(f"{archive} holds '{member.name}', which is {member.kind}, not a file; refused.")
    return name


def _is_file_name(part: str) -> bool:
    return not re.search(r"[\0-\x1f\x7f]", part) and len(os.fsencode(part)) < 256


def _is_needed(name: PurePosixPath) -> bool:
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
                kind = "compressed in an unusual way"
            yield _Member(info.filename, info.file_size, kind, partial(opened.open, info))


def _tar_members(archive: Path) -> Iterator[_Member]:
    with archive.open("rb") as file, _SmallReads(file, most_unpacked(archive)) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for info in tar:
                kind = "directory" if info.isdir() else "file"
                if not (info.isdir() or info.isreg()) or info.issparse():
                    kind = "a link, a device or a sparse file"
                yield _Member(info.name, info.size, kind, partial(tar.extractfile, info))
        while stream.read(_CHUNK):
            pass  # gzip compares its checksum at its end, which lies behind that of the tar


class _SmallReads(gzip.GzipFile):
    """Is never asked for more than a little at once, nor for more than `most` bytes in all, whatever headers claim."""

    def __init__(self, packed: IO[bytes], most: int) -> None:
        super().__init__(fileobj=cast(BinaryIO, _FewReads(packed)), mode="rb")
        self._most = most

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= 16 * _CHUNK:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return super().read(self._checked(self.tell() + size) and size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(self._checked(offset), whence)

    def _checked(self, end: int) -> int:
        if end > self._most + 16 * _CHUNK:
            raise tarfile.ReadError(f"it unpacks to more than {self._most:,} bytes; no weights shrink so far")
        return end


class _FewReads:
    """A gzip file as packed. gzip reads a name in its header byte by byte, and there may be millions of headers."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._left = 10_000 + os.fstat(packed.fileno()).st_size // 1024

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise gzip.BadGzipFile("it consists of headers")
        return self._packed.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._packed, name)
