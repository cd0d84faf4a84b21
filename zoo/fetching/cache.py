"""The cache on disk: one directory for each archive, named by its sha256. Nothing here knows of names or networks.

The cache directory holds, where D is the sha256 of an archive and K a key made of a URL:

    D/                    the unpacked archive, whole and read-only; its modification time is the time of its last use
    .D.part/              the archive while it is downloaded; the next run continues from there
    .D.<random>.tmp/      the archive while it is unpacked
    url-K.json            which archive the URL sent last
    .url-K.part/          the archive that the URL is sending
    built-K.json          which archive a model has become that was built here
    .built-K.part/        archives that are being built
    sources/              checkpoints that were fetched to build from them, and records of what was fetched first
    registry-K.json       the registry that the URL sent last
    registry-K.C.minisig  the signature of that registry; C is the digest of its bytes
    number-K.json         the highest number of a trusted registry; K is made of its URL and of the key that signed it
    installed/            the registry of the models that were installed
    .D.lock, .url-K.lock, .built-K.lock
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zoo.archive.card import Card, read_card
from zoo.archive.digests import check_files
from zoo.archive.permissions import make_read_only, make_writable
from zoo.archive.unpack import unpack
from zoo.basics.files import cannot_write, move_into_place, set_aside, unique_beside
from zoo.basics.locks import delete, locked_if_free, part_of
from zoo.errors import BadArchive, CannotWrite, DamagedArchive

_log = logging.getLogger("zoo")
_LEFTOVER = re.compile(r"\.?(?P<stem>[0-9a-f]{64}|(url|built)-[0-9a-f]{32})\.(part|json|.*tmp)")


def check_cache(root: Path) -> None:
    """Raise CannotWrite when the cache directory, or a directory above it, is a file."""
    if file := next((path for path in (root, *root.parents) if path.exists() and not path.is_dir()), None):
        raise CannotWrite(f"{file} is a file, and the cache should be at {root}. ZOO_CACHE names another directory.")


# -- one archive --------------------------------------------------------------------------------------------------


def keep(place: Path, name: str, archive: Path, thorough: bool = False) -> Path:
    """Return `place`, a directory of the cache; if it is missing or damaged, the file `archive` is unpacked there.

    Raises BadArchive when the archive is damaged or its sha256 is not the name of `place`.
    """
    with vacant(place, name, thorough) as part:
        if part is not None:
            fill(place, archive)
    return place


@contextmanager
def vacant(place: Path, name: str, thorough: bool = False) -> Iterator[Path | None]:
    """Yield None if `place` holds a whole archive. Otherwise lock it and yield `.D.part`, for the block to `fill` it.

    `.D.part` is the directory in which the archive arrives; see `zoo.basics.locks.part_of`.
    """
    if damage(place, thorough) is None:
        with suppress(OSError):  # the cache may be read-only
            os.utime(place)
        yield None
        return
    check_cache(place.parent)
    with cannot_write(place), part_of(place, waiting_for(name)) as part:
        found = damage(place, thorough)  # again: another process may have filled it while this one waited
        if found and place.exists():
            _log.warning("%s Fetching %s again.", found, name)
        yield part if found else None


def waiting_for(name: str) -> str:
    """Return the warning while another process holds a lock of the cache."""
    return f"Another process fetches {name}: waiting for it."


def fill(place: Path, archive: Path) -> None:
    """Unpack an archive in a temporary directory, check it, and move it to `place`. What was there is removed.

    Raises BadArchive.
    """
    work = unique_beside(place)
    work.mkdir()
    try:
        digests = unpack(archive, work / "model", sha256=place.name)
        check_files(work / "model", read_card(work / "model"), digests)
        if os.path.lexists(place):  # a file or a link too
            make_writable(place)  # or it could not be moved
            set_aside(place, work / "damaged")
        move_into_place(work / "model", place)
        make_read_only(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def damage(place: Path, thorough: bool = False) -> BadArchive | None:
    """Return an error that says how an unpacked archive is damaged, None when it is whole.

    The sizes of its files are compared with its card; with `thorough` their digests too.
    """
    try:
        card = read_card(place)
        if thorough:
            check_files(place, card)
        else:
            check_sizes(place, card)
    except BadArchive as error:
        return error
    return None


def check_sizes(place: Path, card: Card) -> None:
    """Raise DamagedArchive unless the files of an unpacked archive have the sizes that its card states.

    That is quick. Their digests are compared when the model is loaded.
    """
    wrong = [name for name, digest in card.files.items() if _size(place / name) != digest.size]
    if wrong:
        raise DamagedArchive(f"{place} is damaged: {', '.join(sorted(wrong))} missing or of another size.")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


# -- all of them --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """One model of the cache. `problem` says how its files differ from its card, '' when it is whole."""

    path: Path
    name: str
    kind: str
    size: int
    used: float
    problem: str

    @property
    def sha256(self) -> str:
        """The digest of the archive that was unpacked there."""
        return self.path.name


def kept(root: Path) -> list[Kept]:
    """Return the models of a cache directory, sorted by name. Raises CannotWrite when the directory is a file."""
    check_cache(root)
    places = [path for path in root.glob("*") if re.fullmatch("[0-9a-f]{64}", path.name) and path.is_dir()]
    return sorted((_described(place) for place in places), key=lambda model: (model.name, model.sha256))


def leftovers(root: Path) -> list[Path]:
    """Return the paths that `zoo cache clean` may remove, as `.D.part` or `.D.0123456789ab.tmp`.

    They belong to runs that were killed or have not ended yet, or are records of models that are no longer in the
    cache, or have a sha256 as their name and are no directory.
    """
    found = sorted(path for path in root.glob("*") if _LEFTOVER.fullmatch(path.name) or _is_no_model(path))
    return [path for path in found if path.suffix != ".json" or not (root / _recorded(path)).is_dir()]


def _is_no_model(path: Path) -> bool:
    return bool(re.fullmatch("[0-9a-f]{64}", path.name)) and not path.is_dir()


def checkpoints(root: Path) -> list[Path]:
    """Return the directories of the checkpoints that were fetched to build from them, and parts of such."""
    return sorted(path for path in (root / "sources").glob("*") if path.is_dir())


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a directory. Files that vanish meanwhile count as empty."""
    return sum(_size(file) or 0 for file in [path, *path.rglob("*")])


def remove(path: Path) -> bool:
    """Remove a model or a leftover; return False, and leave it, when another process works on it.

    A model is renamed first, so that no other process sees it half removed.
    """
    leftover = _LEFTOVER.fullmatch(path.name)
    stem = leftover["stem"] if leftover else path.name.removeprefix(".").removesuffix(".part")
    lock_file = path.with_name(f".{stem}.lock")
    with cannot_write(path), locked_if_free(lock_file) as is_free:
        if is_free:
            make_writable(path)
            doomed = path if leftover else unique_beside(path)
            if doomed != path:
                set_aside(path, doomed)
            delete(doomed)
    return is_free


def _described(place: Path) -> Kept:
    facts = (size_of(place), place.stat().st_mtime, str(damage(place) or ""))
    try:
        card = read_card(place)
    except BadArchive:
        return Kept(place, "?", "?", *facts)
    return Kept(place, card.name, card.kind, *facts)


def _recorded(record: Path) -> str:
    """Return the sha256 that the record of a URL names, '?' when the record is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        digest = json.loads(record.read_bytes())["sha256"]
        return digest if re.fullmatch("[0-9a-f]{64}", digest) else "?"
    return "?"
