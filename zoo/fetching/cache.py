"""The cache on disk: a directory per digest, locks, and what killed runs left. Knows nothing of names or networks.

Below the cache directory, `D` being an archive's digest:

    D/                  an unpacked archive, whole and read-only; its time is when it was last used
    .D.part/            an archive on its way, gone on with by the next run
    .D.<random>.tmp/    an archive being unpacked
    url-K.json          which archive the URL with the key K gave last
    registry-K.json     what a registry said last
    registry-K.C.minisig  the signature of it, C being the digest of what it said
    number-K.json       the highest number that was trusted of a registry, K being of its URL and key
    installed/          the registry of models from bundles
    .D.lock, .url-K.lock
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from zoo.archive.card import EncoderCard, TokenizerCard, read_card
from zoo.archive.digests import check_files
from zoo.archive.permissions import make_read_only, make_writable
from zoo.archive.unpack import unpack
from zoo.basics.files import cannot_write, move_into_place, set_aside, unique_beside
from zoo.errors import BadArchive, CannotWrite, DamagedArchive

_log = logging.getLogger("zoo")
_PATIENCE = 2.0  # seconds to wait for another process before we say so
_LEFTOVER = re.compile(r"\.?(?P<stem>[0-9a-f]{64}|url-[0-9a-f]{32})\.(part|json|.*tmp)")


def cache_directory() -> Path:
    """Return ZOO_CACHE, or the directory where this platform keeps such things."""
    if given := os.environ.get("ZOO_CACHE"):
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError:
            raise CannotWrite(f"ZOO_CACHE={given}: there is no such home directory. Name another one.") from None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "zoo" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "zoo"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"


def check_cache(root: Path) -> None:
    """Raise CannotWrite when a file is where the cache directory should be."""
    if file := next((path for path in (root, *root.parents) if path.exists() and not path.is_dir()), None):
        raise CannotWrite(f"{file} is a file, and the cache should be at {root}. ZOO_CACHE names another directory.")


# -- one digest ---------------------------------------------------------------------------------------------------


def keep(place: Path, name: str, packed: AbstractContextManager[Path], thorough: bool = False) -> Path:
    """Return `place`, a directory of the cache named by a digest, filled from the archive `packed` unless it is whole.

    `packed` is entered only when it is needed. Raises BadArchive when the archive is damaged or not of that digest.
    """
    if damage(place, thorough) is None:
        return _used(place)
    check_cache(place.parent)
    with cannot_write(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place, name):  # saves a second download; the digest and the rename make it right
            found = damage(place, thorough)
            if found is None:
                return place
            if place.exists():
                _log.warning("%s Fetching %s again.", found, name)
            with packed as archive:
                _fill(place, archive)
    return place


def damage(place: Path, thorough: bool = False) -> BadArchive | None:
    """Return what is wrong with an unpacked archive, None when it is whole: sizes, `thorough` digests too."""
    try:
        card = read_card(place)
        if thorough:
            check_files(place, card)
        else:
            check_sizes(place, card)
    except BadArchive as error:
        return error
    return None


@contextmanager
def locked(place: Path, name: str) -> Iterator[None]:
    """Let one process at a time work on `place`; what others left of it when they were killed is removed."""
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        _log.warning("Another process fetches %s: waiting for it.", name)
        lock.acquire()
    try:
        for path in place.parent.glob(f".{place.name}.*tmp"):
            _delete(path)
        yield
    finally:
        lock.release()


def part_of(place: Path) -> Path:
    """Return `.D.part`, where an archive is on its way; anything there but a directory of files is removed."""
    part = place.with_name(f".{place.name}.part")
    if part.is_symlink() or part.is_file() or any(path.is_dir() for path in part.glob("*")):
        _delete(part)
    return part


def _fill(place: Path, archive: Path) -> None:
    """Put the archive's files at `place`; everything on the way there happens in a directory of its own."""
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


def _used(place: Path) -> Path:
    with suppress(OSError):  # a cache that others may only read
        os.utime(place)
    return place


def check_sizes(place: Path, card: EncoderCard | TokenizerCard) -> None:
    """Compare the sizes of an unpacked archive's files with its card; their digests are compared when they are loaded.

    Raises DamagedArchive.
    """
    wrong = [name for name, digest in card.files.items() if _size(place / name) != digest.size]
    if wrong:
        raise DamagedArchive(f"{place} is damaged: {', '.join(sorted(wrong))} missing or of another size.")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


# -- all of them --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """One directory of the cache. `problem` says what is wrong with its sizes or its card, '' when nothing is."""

    path: Path
    name: str
    kind: str
    size: int
    used: float
    problem: str

    @property
    def sha256(self) -> str:
        """Digest of the archive it was unpacked from."""
        return self.path.name


def kept(root: Path) -> list[Kept]:
    """Return every model of a cache directory, by name. Raises CannotWrite when a file is in its place."""
    check_cache(root)
    places = [path for path in root.glob("*") if re.fullmatch("[0-9a-f]{64}", path.name) and path.is_dir()]
    return sorted((_described(place) for place in places), key=lambda model: (model.name, model.sha256))


def leftovers(root: Path) -> list[Path]:
    """Return what runs, over or still going on, have not brought to an end, and records of models that are gone.

    What has the name of a model and is no directory is one too.
    """
    found = sorted(path for path in root.glob("*") if _LEFTOVER.fullmatch(path.name) or _is_no_model(path))
    return [path for path in found if path.suffix != ".json" or not (root / _recorded(path)).is_dir()]


def _is_no_model(path: Path) -> bool:
    return bool(re.fullmatch("[0-9a-f]{64}", path.name)) and not path.is_dir()


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a directory; those that go meanwhile do not count."""
    return sum(_size(file) or 0 for file in [path, *path.rglob("*")])


def remove(path: Path) -> bool:
    """Remove a model or a leftover, at once for everybody else; False when another process works on it."""
    leftover = _LEFTOVER.fullmatch(path.name)
    lock = FileLock(path.with_name(f".{leftover['stem'] if leftover else path.name}.lock"))
    with cannot_write(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        try:
            make_writable(path)
            doomed = path if leftover else unique_beside(path)
            if doomed != path:
                set_aside(path, doomed)
            _delete(doomed)
        finally:
            lock.release()
    return True


def _described(place: Path) -> Kept:
    facts = (size_of(place), place.stat().st_mtime, str(damage(place) or ""))
    try:
        card = read_card(place)
    except BadArchive:
        return Kept(place, "?", "?", *facts)
    return Kept(place, card.name, card.kind, *facts)


def _recorded(record: Path) -> str:
    """Return the digest in a URL's record, a name that nothing has when there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        digest = json.loads(record.read_bytes())["sha256"]
        return digest if re.fullmatch("[0-9a-f]{64}", digest) else "?"
    return "?"


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        make_writable(path)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
