"""Reads a tar.gz or a tar from front to back, and checks everything that it states."""

from __future__ import annotations

import tarfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from zoo.archive import gz
from zoo.basics.files import open_regular
from zoo.errors import BadArchive

_CHUNK = 1 << 19
_PACKED_CHUNK = 3 << 17  # bytes; packed weights of this size unpack to less than _CHUNK
_BLOCK = tarfile.BLOCKSIZE
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_OTHER_TYPES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


@dataclass(frozen=True)
class Member:
    """One file or directory of an archive. `name` is relative to the archive's root and safe to join to a directory."""

    name: PurePosixPath
    is_directory: bool
    size: int


def read_members(
    archive: Path, *, gzipped: bool = True, seen: Callable[[bytes], object] | None = None
) -> Generator[tuple[Member, Iterator[bytes]], None, None]:
    """Yield every member with its bytes. Read the bytes before you ask for the next member.

    Members are plain files and directories; a directory comes before its content, and no name comes twice. When the
    iteration ends without an error, the whole file was read, gzip's checksum (if `gzipped`) is right, and nothing
    follows the last member. `seen` is called with every piece of the file that is read, for a digest.

    Raises BadArchive, which names the archive and the problem.
    """
    with _damage_named(archive), open_regular(archive) as file:
        raw = _Raw(file, seen)
        for member, chunks in _Tar(_Gunzip(raw) if gzipped else _Plain(raw)).members():
            yield member, _chunks_of(archive, chunks)


def damaged(archive: Path, found: object) -> BadArchive:
    """Return the error for a damaged archive; `found` states the problem."""
    return BadArchive(f"{archive} is damaged or was not made by this zoo: {found}. Fetch or build it again.")


def _chunks_of(archive: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a member. They are read outside of `read_members`'s block, so errors are named here again."""
    with _damage_named(archive):
        yield from chunks


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    """Turn _Damage and OSError into BadArchive, which names the archive."""
    try:
        yield
    except FileNotFoundError:
        raise BadArchive(f"{archive}: there is no such file.") from None
    except (_Damage, OSError) as error:
        raise damaged(archive, error) from None


class _Damage(Exception):
    """The message states the problem; `_damage_named` adds the archive's path."""


class _Raw:
    """A file that is read from its beginning; `seen` is called with everything that is read."""

    def __init__(self, file: BinaryIO, seen: Callable[[bytes], object] | None) -> None:
        self._file, self._seen = file, seen

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if self._seen is not None:
            self._seen(data)
        return data

    def tell(self) -> int:
        return self._file.tell()


class _Stream(ABC):
    """The bytes of a tar, packed or not."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Return 1 to `size` bytes, or b'' at the end. Raises _Damage if the stream ends too early."""

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield `size` bytes in pieces. Raises _Damage if there are fewer."""
        while size:
            piece = self.read(min(size, _CHUNK))
            if not piece:
                raise _Damage(f"its tar ends {size} bytes too early")
            size -= len(piece)
            yield piece


class _Plain(_Stream):
    def __init__(self, raw: _Raw) -> None:
        self._raw = raw

    def read(self, size: int) -> bytes:
        return self._raw.read(size)


class _Gunzip(_Stream):
    """The unpacked bytes of a file that is exactly one gzip stream. (Python's gzip module accepts zeros after it.)"""

    def __init__(self, raw: _Raw) -> None:
        self._raw = raw
        self._inflate = gz.decompressor()

    def read(self, size: int) -> bytes:
        while not self._inflate.eof:
            data = self._inflate.unconsumed_tail or self._raw.read(_PACKED_CHUNK)
            try:
                piece = self._inflate.decompress(data, size)
            except gz.errors as error:
                raise _Damage(str(error)) from None
            if piece:
                return piece
            if not data and not self._inflate.eof:
                raise _Damage(f"it is cut off after {self._raw.tell()} bytes")
        if self._inflate.unused_data or self._raw.read(1):
            raise _Damage("bytes follow the end of its gzip stream")
        return b""


class _Tar:
    """The members of a tar, checked one by one."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._seen: dict[PurePosixPath, bool] = {PurePosixPath(): True}  # name -> is it a directory

    def members(self) -> Iterator[tuple[Member, Iterator[bytes]]]:
        while any(block := self._block()):
            info = _header(block)
            member = self._checked(info)
            chunks = self._stream.chunks(info.size)
            if member.name.parts:  # the member "./" is the root itself, which exists already
                yield member, chunks
            for _ in chunks:
                pass  # the caller may not have read all of the bytes
            self._zeros(-info.size % _BLOCK)
        self._end()

    def _block(self) -> bytes:
        return b"".join(self._stream.chunks(_BLOCK))

    def _zeros(self, size: int) -> None:
        if any(any(piece) for piece in self._stream.chunks(size)):
            raise _Damage("the padding of a member is not empty")

    def _end(self) -> None:
        """Check the end of a tar: a second empty block (`members` has read the first), then only zeros."""
        self._zeros(_BLOCK)
        while piece := self._stream.read(_CHUNK):
            if any(piece):
                raise _Damage("bytes follow the end of its tar")

    def _checked(self, info: tarfile.TarInfo) -> Member:
        if info.type not in (*_FILES, tarfile.DIRTYPE):
            kind = _OTHER_TYPES.get(info.type, f"of type {info.type!r}")
            raise _Damage(f"member {info.name!r} is {kind}; only files and directories may be unpacked")
        if info.size < 0 or (info.isdir() and info.size):
            raise _Damage(f"member {info.name!r} has the impossible size {info.size}")
        name = PurePosixPath(info.name)
        if not info.name or name.is_absolute() or ".." in name.parts or _is_windows_path(info.name):
            raise _Damage(f"member {info.name!r} would be unpacked outside of the directory")
        if name in self._seen and name.parts:
            raise _Damage(f"member {info.name!r} comes twice")
        if not self._seen.get(name.parent, False):
            raise _Damage(f"member {info.name!r} has no directory member before it")
        if not name.parts and not info.isdir():
            raise _Damage(f"member {info.name!r} is a file with the name of the root")
        self._seen[name] = info.isdir()
        return Member(name, info.isdir(), info.size)


def _is_windows_path(name: str) -> bool:
    """Return whether a name has a meaning on Windows only: "a\\b", "C:x", or "file:stream", a stream of `file`."""
    return "\\" in name or ":" in name


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise _Damage(f"a member's header is wrong ({error})") from None
