"""The registry of the models that were installed from bundles, and how their names join the packaged registry."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cache
from itertools import count
from pathlib import Path

from zoo.basics.files import cannot_write, set_aside
from zoo.basics.locks import locked
from zoo.basics.urls import local_path
from zoo.contract import REGISTRY_FILE
from zoo.errors import BadRegistry
from zoo.fetching.cache import cache_directory
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry, update_registry

_log = logging.getLogger("zoo")


def installed_place() -> Path:
    """Return the path of the registry of installed models, whether there is one or not."""
    return cache_directory() / "installed" / REGISTRY_FILE


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


def conflicts(entries: Mapping[str, Entry], packaged: Registry) -> list[str]:
    """Return, in words, the names that mean another model in the packaged registry: "'bert' is 'bert' there"."""
    return [
        f"{name!r} is {packaged.canonical(name)!r} there"
        for name, entry in entries.items()
        if name in _taken(packaged) and _digest(packaged.entry(name)) != _digest(entry)
    ]


def with_installed(packaged: Registry) -> Registry:
    """Return the packaged registry with the installed models added.

    A name or alias of the packaged registry keeps its meaning there if its archive has been built. An installed model
    is left out when it is no longer in the cache and has no remote URL.
    """
    place = installed_place()
    if not os.path.lexists(place):
        return packaged
    try:
        installed, taken = own_registry(place), _taken(packaged)
    except BadRegistry as error:
        _tell_once(" ".join(f"Installed models are left out: {error} `zoo install FILE` begins a new list.".split()))
        return packaged
    models = dict(packaged.models)
    for name, entry in installed.models.items():
        if name in taken or entry.archive is None:
            continue
        remote = [url for url in entry.archive.urls if local_path(url) is None]
        if not remote and not (cache_directory() / str(entry.archive.sha256)).is_dir():
            continue
        before = packaged.models[name].aliases if name in packaged.models else []
        aliases = [alias for alias in entry.aliases if alias not in taken and alias not in packaged.models]
        archive = entry.archive.model_copy(update={"urls": remote or installed.urls(entry)})
        models[name] = entry.model_copy(update={"archive": archive, "aliases": [*before, *aliases]})
    return packaged.model_copy(update={"models": models})


def _problem(place: Path) -> BadRegistry | None:
    """Return why the registry there cannot be read, None when it can or there is none."""
    try:
        if os.path.lexists(place):
            own_registry(place)
    except BadRegistry as error:
        return error
    return None


@cache
def _tell_once(text: str) -> None:
    _log.warning("%s", text)


def _taken(registry: Registry) -> set[str]:
    """Return the names of built models and every alias."""
    built = {name for name, entry in registry.models.items() if entry.archive is not None}
    return built | {alias for entry in registry.models.values() for alias in entry.aliases}


def _digest(entry: Entry) -> str | None:
    return entry.archive.sha256 if isinstance(entry.archive, ArchiveRecord) else None
