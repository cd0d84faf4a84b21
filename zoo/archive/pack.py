"""Directories to tar.gz and back: the same bytes for the same files, nothing unpacked that is damaged or unsafe."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Container, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from zoo.archive.card import EncoderCard, FileDigest, TokenizerCard
from zoo.archive.gz import compressor
from zoo.archive.tar_reader import damaged, read_members
from zoo.basics.background import Aside
from zoo.basics.files import open_regular, written_directory, written_file
from zoo.basics.progress import progress
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive, CannotWrite, DamagedArchive

_CHUNK = 1 << 20
_MOST_RATIO = 50  # unpacked to packed size
_MOST_WITHOUT_RATIO = 256 << 20  # bytes that any archive may hold
_MOST_MEMBERS = 10_000  # a SavedModel has a dozen; empty ones cost a bomb nothing


# -- writing ------------------------------------------------------------------------------------------------------


def pack(directory: Path, archive: Path) -> FileDigest:
    """Return the digest of `archive`, a tar.gz of everything in `directory`.

        digest = pack(Path("build/albert_tiny"), Path("dist/albert_tiny.tar.gz"))

    Members are sorted, directories have members of their own (hub's extractor makes no parents), and no times, owners
    or modes of this machine are kept, so that equal directories give equal archives. (gzip's bytes may still differ
    between compressors: see zoo.archive.gz.)

    Raises BadArchive when the directory is empty or holds a link or device, CannotWrite when there is no permission
    or no space; nothing is left then.
    """
    members = _members(directory)
    total = sum(path.stat().st_size for path in members if path.is_file())
    with written_file(archive) as temporary, progress(f"packing {archive.name}", total) as advance:
        with (
            temporary.open("xb") as raw,
            closing(_Gzip(raw)) as packed,
            tarfile.open(
                fileobj=cast(BinaryIO, packed), mode="w|", format=tarfile.USTAR_FORMAT, encoding="utf-8"
            ) as tar,
        ):
            for path in members:
                _add(tar, path, path.relative_to(directory).as_posix())
                advance(path.stat().st_size if path.is_file() else 0)
        return sha256_and_size(temporary)


class _Gzip:
    """Writes gzip without name or time. Unlike gzip.GzipFile it tries nothing again after a write that failed."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._compressor = raw, compressor()

    def write(self, data: bytes) -> int:
        self._raw.write(self._compressor.compress(data))
        return len(data)

    def close(self) -> None:
        self._raw.write(self._compressor.flush())


def _members(directory: Path) -> list[Path]:
    members = sorted(directory.rglob("*"), key=lambda path: path.relative_to(directory).as_posix())
    odd = [str(path) for path in members if path.is_symlink() or not (path.is_file() or path.is_dir())]
    if odd:
        raise BadArchive(f"{directory} cannot be packed, these are neither files nor directories: {', '.join(odd)}.")
    if not any(path.is_file() for path in members):
        raise BadArchive(f"{directory} cannot be packed: there are no files in it.")
    return members


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tarfile.TarInfo(name)  # mtime, uid and gid are 0, user and group empty
    try:
        if path.is_dir():
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
            return
        info.mode, info.size = 0o644, path.stat().st_size
        with path.open("rb") as file:
            tar.addfile(info, file)
    except ValueError as error:  # a name or a size that the format has no room for
        raise BadArchive(f"{path} does not fit into a tar: {error}.") from error


# -- reading ------------------------------------------------------------------------------------------------------


def unpack(
    archive: Path, directory: Path, limit: int | None = None, sha256: str | None = None
) -> dict[str, FileDigest]:
    """Unpack `archive` into `directory`, which must not exist or be empty, and which appears whole or not at all.

    `limit` is what the members may have together, in bytes; without it, what a model can need: 50 times the archive,
    or 256 MiB where that is more. With `sha256` the bytes that were unpacked are those of that digest. Returned is what
    `file_digests` would return, of the bytes as they were written: nothing is read twice.

    Raises BadArchive when anything is damaged, unsafe or beyond the limit; CannotWrite when the disk has no room.
    """
    with (
        written_directory(directory) as temporary,
        progress(f"unpacking {archive.name}", None) as advance,
        Aside() as aside,
    ):
        most = _most(archive) if limit is None else limit
        room, total = shutil.disk_usage(temporary).free, 0
        whole, digests = hashlib.sha256(), {}
        members = read_members(archive, seen=partial(aside.do, whole.update))
        for number, (member, chunks) in enumerate(members, start=1):
            target = temporary / member.name
            total += member.size
            if total > most:
                raise BadArchive(f"{archive} holds more than the {most} bytes allowed: refused at {member.name}.")
            if number > _MOST_MEMBERS:
                raise BadArchive(f"{archive} holds more than {_MOST_MEMBERS} members: refused at {member.name}.")
            if total > room:
                raise CannotWrite(f"{archive} needs {total} bytes up to {member.name}, {directory.parent} has {room}.")
            if member.is_directory:
                target.mkdir()
            else:
                digests[str(member.name)] = FileDigest(sha256=_write(chunks, target, aside), size=member.size)
            advance(member.size)
        aside.wait()
        if sha256 not in (None, whole.hexdigest()):
            raise damaged(archive, f"it became another file while it was read, sha256 {whole.hexdigest()[:12]}…")
    return digests


def _most(archive: Path) -> int:
    """Return a bound that stops bombs and no model: weights shrink by a tenth, graphs to a tenth."""
    packed = archive.stat().st_size if archive.is_file() else 0
    return max(_MOST_RATIO * packed, _MOST_WITHOUT_RATIO)


def _write(chunks: Iterable[bytes], target: Path, aside: Aside) -> str:
    """Return the sha256 of what was written."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for chunk in chunks:
            aside.do(file.write, chunk)
            aside.do(digest.update, chunk)
        aside.wait()
    return digest.hexdigest()


# -- digests ------------------------------------------------------------------------------------------------------


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file, read in constant memory."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_and_size(path: Path) -> FileDigest:
    """Return the digest record of one file."""
    return FileDigest(sha256=sha256_of(path), size=path.stat().st_size)


def file_digests(directory: Path, without: Container[str] = ()) -> dict[str, FileDigest]:
    """Return relative posix name -> digest of every file below `directory`, sorted, some left out."""
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    return {name: sha256_and_size(directory / name) for name in names if name not in without}


def check_files(
    directory: Path, card: EncoderCard | TokenizerCard, digests: Mapping[str, FileDigest] | None = None
) -> None:
    """Compare every file of an unpacked archive with its card, the card itself excepted.

    `digests` are those of the files, where they are known; else all files are read. Raises DamagedArchive, which lists
    all files that are missing, too many or different.
    """
    found = dict(file_digests(directory) if digests is None else digests)
    found.pop(CARD_FILE, None)
    problems = [f"{name} is missing" for name in sorted(card.files.keys() - found.keys())]
    problems += [f"{name} is not on the card" for name in sorted(found.keys() - card.files.keys())]
    for name in sorted(card.files.keys() & found.keys()):
        is_, should = found[name], card.files[name]
        if is_.size != should.size:
            problems.append(f"{name} has {is_.size} bytes, the card says {should.size}")
        elif is_.sha256 != should.sha256:
            problems.append(f"{name} is sha256 {is_.sha256[:12]}…, the card says {should.sha256[:12]}…")
    if problems:
        raise DamagedArchive(f"{card.name} in {directory} is damaged: {'; '.join(problems)}. Fetch or build it again.")
