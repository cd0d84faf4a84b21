"""A directory to a tar.gz: equal directories give equal archives."""

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
