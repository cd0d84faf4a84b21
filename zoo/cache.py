"""Unpacked archives on this machine, one directory per digest: fetched once, whole or absent, repaired when damaged."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

from filelock import FileLock

from zoo.archive import check_files, unpack
from zoo.card import EncoderCard, TokenizerCard, read_card
from zoo.download import download, is_offline, local_path
from zoo.errors import BadArchive, DownloadFailed, ZooError
from zoo.files import cannot_write, unique_beside
from zoo.registry import ArchiveRecord, Registry

_log = logging.getLogger("zoo")


def fetch(name: str, registry: Registry, *, cache: Path | None = None, thorough: bool = False) -> Path:
    """Return the directory of a model, fetched, verified and unpacked.

        hub.load(str(fetch("albert_tiny", read_registry())))

    The directory is named by the archive's digest. It is there only after the archive's sha256 and the digest of each
    file have been compared; when it is there, the sizes of its files are compared with its card, and with `thorough`
    their digests again. A directory that fails this is replaced.

    Raises UnknownModel, NotBuilt, DownloadFailed, DigestMismatch, BadArchive, CannotWrite.
    """
    archive = registry.archive(name)
    place = (cache or cache_directory()) / archive.sha256
    if _damage(place, thorough) is None:
        return place
    with cannot_write(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f".{place.name}.lock")):  # saves a second download; the rename makes it right
            damage = _damage(place, thorough)
            if damage is None:
                return place
            if place.exists():
                _log.warning("%s Fetching %s again.", damage, name)
            _fill(place, name, archive)
    return place


def cache_directory() -> Path:
    """Return ZOO_CACHE, or the directory where this platform keeps such things."""
    if given := os.environ.get("ZOO_CACHE"):
        return Path(given).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "zoo" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "zoo"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"


def _fill(place: Path, name: str, archive: ArchiveRecord) -> None:
    """Put the archive's files at `place`; everything on the way there happens in a directory of its own."""
    sources = _reachable(name, archive)
    work = unique_beside(place)
    work.mkdir()
    try:
        packed = work / f"{name}.tar.gz"
        download(sources, packed, archive)
        unpack(packed, work / "model")
        check_files(work / "model", read_card(work / "model"))
        if place.exists():
            place.rename(work / "damaged")
        (work / "model").rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _reachable(name: str, archive: ArchiveRecord) -> list[str]:
    if not is_offline():
        return archive.urls
    local = [url for url in archive.urls if local_path(url) is not None]
    if not local:
        raise DownloadFailed(
            f"{name} is not in {cache_directory()}, and ZOO_OFFLINE forbids the network. "
            f"`ZOO_OFFLINE=0 zoo fetch {name}` fetches it once; after that it is used offline."
        )
    return local


def _damage(place: Path, thorough: bool) -> ZooError | None:
    """Return what is wrong with a cached directory, None when it is whole."""
    try:
        card = read_card(place)
        if thorough:
            check_files(place, card)
        else:
            _check_sizes(place, card)
    except BadArchive as error:
        return error
    return None


def _check_sizes(place: Path, card: EncoderCard | TokenizerCard) -> None:
    wrong = [name for name, digest in card.files.items() if _size(place / name) != digest.size]
    if wrong:
        raise BadArchive(f"{place} is damaged: {', '.join(sorted(wrong))} missing or of another size.")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
