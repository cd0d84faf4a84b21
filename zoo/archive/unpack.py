"""A tar.gz to a directory, which appears whole or not at all. Nothing is unpacked that is damaged or unsafe."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from zoo.archive.card import FileDigest
from zoo.archive.tar_reader import damaged, read_members
from zoo.basics.background import BackgroundCalls
from zoo.basics.files import written_directory
from zoo.basics.progress import progress
from zoo.errors import BadArchive, CannotWrite

_MOST_RATIO = 50  # unpacked to packed size
_MOST_WITHOUT_RATIO = 256 << 20  # bytes that any archive may hold
_MOST_MEMBERS = 10_000  # a SavedModel has a dozen; empty ones cost a bomb nothing


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
        BackgroundCalls() as background,
    ):
        most = _most(archive) if limit is None else limit
        room, total = shutil.disk_usage(temporary).free, 0
        whole, digests = hashlib.sha256(), {}
        members = read_members(archive, seen=partial(background.do, whole.update))
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
                digests[str(member.name)] = FileDigest(sha256=_write(chunks, target, background), size=member.size)
            advance(member.size)
        background.wait()
        if sha256 not in (None, whole.hexdigest()):
            raise damaged(archive, f"it became another file while it was read, sha256 {whole.hexdigest()[:12]}…")
    return digests


def _most(archive: Path) -> int:
    """Return a bound that stops bombs and no model: weights shrink by a tenth, graphs to a tenth."""
    packed = archive.stat().st_size if archive.is_file() else 0
    return max(_MOST_RATIO * packed, _MOST_WITHOUT_RATIO)


def _write(chunks: Iterable[bytes], target: Path, background: BackgroundCalls) -> str:
    """Return the sha256 of what was written."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for chunk in chunks:
            background.do(file.write, chunk)
            background.do(digest.update, chunk)
        background.wait()
    return digest.hexdigest()
