"""The models that were installed from files, and the directories; how their names join the packaged registry."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path

from zoo.archive.card import to_json
from zoo.basics.files import cannot_write, read_regular, set_aside, written_file
from zoo.basics.locks import locked
from zoo.basics.untrusted import parse_json
from zoo.basics.urls import local_path
from zoo.contract import REGISTRY_FILE
from zoo.errors import BadRegistry, Stale, Untrusted
from zoo.fetching.places import cache_directory, directories_place, installed_place
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry, update_registry

_log = logging.getLogger("zoo")

_MOST_DIRECTORIES = 1 << 20  # bytes of their list


def add_installed(entries: Mapping[str, Entry]) -> None:
    """Add models to the registry of installed ones. A model of the same name that was installed before is replaced.

    If that registry cannot be read, because it is damaged or of a newer bert-zoo, it is renamed and a new one begun.
    """
    place = installed_place()
    with cannot_write(place), locked(place.with_name(".installed.lock")):
        if (problem := _problem(place)) is not None:
            names = (place.with_name(f"unreadable-{number}.json") for number in count(1))
            kept = next(path for path in names if not os.path.lexists(path))
            set_aside(place, kept)
            _log.warning("%s It was renamed to %s, and a new one was begun.", problem, kept)
        update_registry(place, entries)


def add_directory(directory: Path) -> None:
    """Add a directory, whose registry.json is read each time from now on."""
    place = directories_place()
    with cannot_write(place), locked(place.with_name(".installed.lock")):
        known = [each for each in _directories() if each != str(directory)]
        with written_file(place) as temporary:
            temporary.write_text(to_json([*known, str(directory)]), encoding="utf-8")


def _directories() -> list[str]:
    """Return the directories that were installed, the last one last."""
    try:
        known = parse_json(read_regular(directories_place(), _MOST_DIRECTORIES), 10_000)
    except (OSError, ValueError):
        return []
    return [each for each in known if isinstance(each, str)] if isinstance(known, list) else []


def conflicts(entries: Mapping[str, Entry], packaged: Registry) -> list[str]:
    """Return, in words, the names that mean another model in the packaged registry: "'bert' is 'bert' there"."""
    return [
        f"{name!r} is {packaged.canonical(name)!r} there"
        for name, entry in entries.items()
        if name in _taken(packaged) and _digest(packaged.entry(name)) != _digest(entry)
    ]


def with_installed(packaged: Registry, read: Callable[[Path], Registry]) -> Registry:
    """Return the packaged registry with the installed models added; `read` reads and checks a directory's registry.

    A name or alias of the packaged registry keeps its meaning there if its archive has been built. An installed model
    is left out when it is no longer in the cache, has no remote URL, and the file that it came from is gone.
    """
    models, taken = dict(packaged.models), _taken(packaged)
    for place in (installed_place(), *(Path(each) / REGISTRY_FILE for each in _directories())):
        if not os.path.lexists(place):
            continue
        try:
            installed = own_registry(place) if place == installed_place() else read(place)
        except (BadRegistry, Untrusted, Stale) as error:
            advice = "`zoo install FILE` begins a new list." if place == installed_place() else "Export into it again."
            tell_once(" ".join(f"Installed models are left out: {error} {advice}".split()))
            continue
        for name, entry in installed.models.items():
            if name in taken or entry.archive is None:
                continue
            urls = [url for url in installed.urls(entry) if (path := local_path(url)) is None or path.is_file()]
            if not urls and not (cache_directory() / str(entry.archive.sha256)).is_dir():
                continue
            aliases = [alias for alias in entry.aliases if alias not in taken and alias not in packaged.models]
            models[name] = joined(entry, urls or installed.urls(entry), packaged.models.get(name), aliases)
    return packaged.model_copy(update={"models": models})


def joined(entry: Entry, urls: Sequence[str], before: Entry | None, aliases: Sequence[str]) -> Entry:
    """Return a row with its archive at `urls`, the aliases of the row that it takes the place of, and `aliases`."""
    archive = entry.archive.model_copy(update={"urls": [*urls]}) if entry.archive else None
    return entry.model_copy(update={"archive": archive, "aliases": [*(before.aliases if before else []), *aliases]})


def _problem(place: Path) -> BadRegistry | None:
    """Return why the registry there cannot be read, None when it can or there is none."""
    try:
        if os.path.lexists(place):
            own_registry(place)
    except BadRegistry as error:
        return error
    return None


@cache
def tell_once(text: str) -> None:
    """Log a warning, the same one only once in a process."""
    _log.warning("%s", text)


def _taken(registry: Registry) -> set[str]:
    """Return the names of built models and every alias."""
    built = {name for name, entry in registry.models.items() if entry.archive is not None}
    return built | {alias for entry in registry.models.values() for alias in entry.aliases}


def _digest(entry: Entry) -> str | None:
    return entry.archive.sha256 if isinstance(entry.archive, ArchiveRecord) else None
