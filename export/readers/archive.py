"""Upstream's .zip and .tar.gz to a temporary directory: only what a checkpoint needs, nothing outside of it.

(zoo/tarstream reads our own archives and is stricter; upstream's carry PAX headers and files without directories.)
"""

from __future__ import annotations

import gzip
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from zoo.building import ARCHIVES
from zoo.errors import BadCheckpoint, CannotWrite
from zoo.files import cannot_write

_NEEDED = ("*.index", "*.data-*-of-*", "*.safetensors", "*.bin", "*.h5", "*.json", "*.txt")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    kind: str  # "file", "directory", or what else it is
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES) and path.is_file()


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
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, gzip.BadGzipFile) as error:
        shutil.rmtree(own, ignore_errors=True)
        raise BadCheckpoint(f"{archive} is damaged: {error}. Fetch it again.") from None
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    members = _zip_members if archive.suffix.lower() == ".zip" else _tar_members
    room, taken = shutil.disk_usage(folder).free, 0
    for member in members(archive):
        name = _checked(archive, member)
        if member.kind == "directory" or not _is_needed(name):
            continue
        taken += member.size
        if taken > room:
            raise CannotWrite(
                f"{archive} claims {taken:,} bytes up to '{name}', {folder.parent} has room for {room:,}. "
                "Set TMPDIR to a larger disk."
            )
        target = folder / name
        if target.exists():
            raise BadCheckpoint(f"{archive} holds '{name}' twice; refused.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(member, target)


def _copy(member: _Member, target: Path) -> None:
    source = member.open()
    assert source is not None  # of a file it never is
    with source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            with cannot_write(target):
                file.write(chunk)


def _checked(archive: Path, member: _Member) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if ".." in name.parts or "\\" in member.name or PureWindowsPath(member.name).anchor:  # "/" is an anchor too
        raise BadCheckpoint(f"{archive} holds '{member.name}', which leads outside of its directory; refused.")
    if member.kind not in ("file", "directory"):
        raise BadCheckpoint(f"{archive} holds '{member.name}', which is {member.kind}, not a file; refused.")
    return name


def _is_needed(name: PurePosixPath) -> bool:
    ours = any(name.match(pattern) for pattern in _NEEDED)
    return ours and "__MACOSX" not in name.parts and not name.name.startswith("._")


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = "directory" if info.is_dir() else "file"
            if stat.S_ISLNK(info.external_attr >> 16):
                kind = "a symbolic link"
            elif info.flag_bits & 1:
                kind = "encrypted"
            yield _Member(info.filename, info.file_size, kind, partial(opened.open, info))


def _tar_members(archive: Path) -> Iterator[_Member]:
    with _SmallReads(archive) as stream:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for info in tar:
                kind = "directory" if info.isdir() else "file"
                if not (info.isdir() or info.isreg()) or info.issparse():
                    kind = "a link, a device or a sparse file"
                yield _Member(info.name, info.size, kind, partial(tar.extractfile, info))
        while stream.read(_CHUNK):
            pass  # gzip compares its checksum at its end, which lies behind that of the tar


class _SmallReads(gzip.GzipFile):
    """Is never asked for more than a little at once, whatever sizes a tar's headers claim."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= 16 * _CHUNK:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return super().read(size)
