"""Packs a directory into a tar.gz. Equal directories give equal archives."""

from __future__ import annotations

import tarfile
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

from zoo.archive.card import FileDigest
from zoo.archive.digests import sha256_and_size
from zoo.archive.gz import compressor
from zoo.basics.files import written_file
from zoo.basics.progress import progress
from zoo.errors import BadArchive


def pack(directory: Path, archive: Path) -> FileDigest:
    """Return the digest of `archive`, a tar.gz of everything in `directory`.

        digest = pack(Path("build/albert_tiny"), Path("dist/albert_tiny.tar.gz"))

    Members are sorted, and times, owners and modes of this machine are left out, so that equal directories give equal
    archives. (Compressors still differ: see zoo.archive.gz.) Every directory has a member of its own, because
    tensorflow_hub does not create parent directories when it unpacks.

    Raises BadArchive if the directory is empty or holds a link or device, CannotWrite if there is no permission or no
    space; an error leaves nothing behind.
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
    """Writes gzip without name or time. After a failed write it does not try again, as gzip.GzipFile would."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._compressor = raw, compressor()

    def write(self, data: bytes) -> int:
        self._raw.write(self._compressor.compress(data))
        return len(data)

    def close(self) -> None:
        self._raw.write(self._compressor.flush())


def _members(directory: Path) -> list[Path]:
    """Return everything in a directory, sorted. Raises BadArchive for links, devices, and a directory without files."""
    members = sorted(directory.rglob("*"), key=lambda path: path.relative_to(directory).as_posix())
    odd = [str(path) for path in members if path.is_symlink() or not (path.is_file() or path.is_dir())]
    if odd:
        raise BadArchive(f"{directory} cannot be packed: {', '.join(odd)} are neither files nor directories.")
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
    except ValueError as error:  # the name or the size is too large for the format
        raise BadArchive(f"{path} does not fit into a tar: {error}.") from error
