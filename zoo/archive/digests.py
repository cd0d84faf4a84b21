"""Computes the sha256 of files, and compares an unpacked archive with the digests on its card."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping
from pathlib import Path

from zoo.archive.card import Card, FileDigest
from zoo.basics.files import open_regular
from zoo.contract import CARD_FILE
from zoo.errors import DamagedArchive

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file, read in constant memory."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_and_size(path: Path) -> FileDigest:
    """Return the sha256 and the size of one file."""
    return FileDigest(sha256=sha256_of(path), size=path.stat().st_size)


def file_digests(directory: Path, without: Container[str] = ()) -> dict[str, FileDigest]:
    """Return name -> digest of every file below `directory`, sorted: "variables/variables.index". Skips `without`."""
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    return {name: sha256_and_size(directory / name) for name in names if name not in without}


def check_files(directory: Path, card: Card, digests: Mapping[str, FileDigest] | None = None) -> None:
    """Compare every file of an unpacked archive, except the card itself, with the card.

    `digests` are the digests of the files, if they are known already; without them all files are read. Raises
    DamagedArchive, which lists all files that are missing, unexpected or different.
    """
    found = dict(file_digests(directory) if digests is None else digests)
    found.pop(CARD_FILE, None)
    problems = [f"{name} is missing" for name in sorted(card.files.keys() - found.keys())]
    problems += [f"{name} is not on the card" for name in sorted(found.keys() - card.files.keys())]
    for name in sorted(card.files.keys() & found.keys()):
        is_, should = found[name], card.files[name]
        if is_.size != should.size:
            problems.append(f"{name} has {is_.size} bytes, but the card says {should.size}")
        elif is_.sha256 != should.sha256:
            problems.append(f"{name} is sha256 {is_.sha256[:12]}…, but the card says {should.sha256[:12]}…")
    if problems:
        raise DamagedArchive(f"{card.name} in {directory} is damaged: {'; '.join(problems)}. Fetch or build it again.")
