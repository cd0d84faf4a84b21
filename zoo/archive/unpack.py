"""Unpacks a tar.gz into a directory that appears whole or not at all. Refuses damaged and unsafe archives."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

from zoo.archive.card import FileDigest
from zoo.archive.tar_reader import damaged, read_members
from zoo.basics.background import BackgroundCalls
from zoo.basics.files import written_directory
from zoo.basics.progress import progress
from zoo.contract import CARD_FILE
from zoo.errors import BadArchive, CannotWrite

_MOST_RATIO = 50  # unpacked size divided by packed size
_MOST_WITHOUT_RATIO = 256 << 20  # bytes that any archive may unpack to, however small it is
_MOST_CARD = 16 << 20  # bytes
_MOST_MEMBERS = 10_000  # a SavedModel has a dozen; a hostile archive could hold millions of empty ones


def unpack(
    archive: Path, directory: Path, limit: int | None = None, sha256: str | None = None
) -> dict[str, FileDigest]:
    """Unpack `archive` into `directory`, which must be missing or empty. Return name -> digest of every file.

    `limit` bounds the bytes of all members together; the default is 50 times the archive, 256 MiB at least. `sha256` is
    the digest that the archive must have; it is computed from the very bytes that are unpacked. The result is that of
    `file_digests`, computed while the files are written, so that nothing is read twice.

    Raises BadArchive if anything is damaged, unsafe or beyond the limit, CannotWrite if the disk has no room.
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
                raise BadArchive(f"{archive} unpacks to more than {most} bytes: stopped at {member.name}.")
            if number > _MOST_MEMBERS:
                raise BadArchive(f"{archive} holds more than {_MOST_MEMBERS} members: stopped at {member.name}.")
            if total > room:
                raise CannotWrite(
                    f"{archive} needs {total} bytes up to {member.name}, but {directory.parent} has {room} free. "
                    "Make room or choose another place."
                )
            if member.is_directory:
                target.mkdir()
            else:
                digests[str(member.name)] = FileDigest(sha256=_write(chunks, target, background), size=member.size)
            advance(member.size)
        background.wait()
        if sha256 not in (None, whole.hexdigest()):
            raise damaged(archive, f"the file changed while it was read, its sha256 is {whole.hexdigest()[:12]}…")
    return digests


def packed_card(archive: Path) -> bytes:
    """Return the bytes of an archive's card. Reading stops there, before the weights. Raises BadArchive without one."""
    card = packed_file(archive, CARD_FILE, _MOST_CARD)
    if card is None:
        raise BadArchive(f"{archive.name} has no {CARD_FILE}: not an archive of this zoo.")
    return card


def packed_file(archive: Path, name: str, most: int) -> bytes | None:
    """Return the bytes of a file in an archive, read up to there; None without it, or if it has more than `most`."""
    with closing(read_members(archive)) as members:
        for member, chunks in members:
            if str(member.name) == name:
                return b"".join(chunks) if member.size <= most else None
    return None


def _most(archive: Path) -> int:
    """Return how many bytes an archive may unpack to: far more than models need, since only graphs compress well."""
    packed = archive.stat().st_size if archive.is_file() else 0
    return max(_MOST_RATIO * packed, _MOST_WITHOUT_RATIO)


def _write(chunks: Iterable[bytes], target: Path, background: BackgroundCalls) -> str:
    """Write a file and return the sha256 of its bytes."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for chunk in chunks:
            background.do(file.write, chunk)
            background.do(digest.update, chunk)
        background.wait()
    return digest.hexdigest()
