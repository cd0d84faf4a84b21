"""Reads a directory of archives: its registry, and the card in each archive. Compares every archive with its sha256."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.archive.card import Card, parse_card
from zoo.archive.digests import sha256_of
from zoo.archive.unpack import packed_card
from zoo.basics.files import real_path
from zoo.contract import CARD_FILE, REGISTRY_FILE
from zoo.errors import BadArchive, BadRegistry
from zoo.registry.entry import ArchiveRecord
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry


@dataclass(frozen=True)
class CheckedArchive:
    """An archive that has the recorded sha256. `card_text` are the bytes of its card.json, `card` is their content."""

    name: str
    file: str
    sha256: str
    card_text: bytes
    card: Card


@dataclass(frozen=True)
class Dist:
    """A directory of archives. `json` is the content of registry.json; the page compares it with the file later."""

    folder: Path
    registry: Registry
    json: Mapping[str, Any]
    built: Mapping[str, CheckedArchive]


def read_dist(folder: Path) -> Dist:
    """Return the registry and the archives of a directory, after comparing every archive with its recorded sha256.

        read_dist(Path("dist")).built["albert_tiny"].card.sizes.layers  # 4

    An archive that has only absolute URLs lies elsewhere and is left alone. Raises BadRegistry with every archive that
    is missing, has other bytes or holds no card.
    """
    path = folder / REGISTRY_FILE
    registry = own_registry(path)
    built, problems = {}, []
    for name in registry.names():
        archive = registry.models[name].archive
        file = archive.file if archive else None
        if archive is None or file is None:
            continue
        found = list(_problems(folder, file, archive))
        if not found:
            try:
                built[name] = _built(folder, name, file, archive)
            except BadArchive as error:
                found = [str(error)]
        problems += [f"{name}: {problem}" for problem in found]
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise BadRegistry(
            f"{path} does not fit the archives beside it:{lines}\nBuild these models again, or remove their rows."
        )
    return Dist(folder, registry, json.loads(path.read_bytes()), built)


def _problems(folder: Path, file: str, archive: ArchiveRecord) -> Iterator[str]:
    """Yield why an archive is not the one that the registry records."""
    path = folder / file
    if not real_path(path).is_relative_to(real_path(folder)):
        yield f"{file} leads out of the directory"
    elif not path.is_file():
        yield f"{file} is missing"
    elif archive.sha256 is None:
        yield f"{file} has no recorded sha256"
    elif archive.size not in (None, path.stat().st_size):
        yield f"{file} has {path.stat().st_size:,} bytes, the registry says {archive.size:,}"
    elif (found := sha256_of(path)) != archive.sha256:
        yield f"{file} is sha256 {found[:12]}…, the registry says {archive.sha256[:12]}…"


def _built(folder: Path, name: str, file: str, archive: ArchiveRecord) -> CheckedArchive:
    assert archive.sha256 is not None  # _problems has compared it
    text = packed_card(folder / file)
    return CheckedArchive(name, file, archive.sha256, text, parse_card(text, f"{CARD_FILE} in {file}"))
