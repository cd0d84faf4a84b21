"""The registry of what was installed from bundles, beside the cache, and how its names join the packaged ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zoo.contract import REGISTRY_FILE
from zoo.registry import ArchiveRecord, Entry, Registry, own_registry, update_registry
from zoo.store import cache_directory
from zoo.web import local_path


def installed_place() -> Path:
    """Return where the registry of installed models lies, whether there is one or not."""
    return cache_directory() / "installed" / REGISTRY_FILE


def add_installed(entries: Mapping[str, Entry]) -> None:
    """Add models whose archives are in the cache; one of the same name that was installed before is replaced."""
    update_registry(installed_place(), entries)


def conflicts(entries: Mapping[str, Entry], packaged: Registry) -> list[str]:
    """Return which names mean another model in the packaged registry, in words."""
    return [
        f"{name!r} is {packaged.canonical(name)!r} there"
        for name, entry in entries.items()
        if name in _taken(packaged) and _digest(packaged.entry(name)) != _digest(entry)
    ]


def with_installed(packaged: Registry) -> Registry:
    """Return the packaged registry with the installed models under it.

    A name or alias that the packaged one knows stays what it is there, as long as its archive has been built; a model
    that has left the cache and cannot be fetched again is no longer installed.
    """
    place = installed_place()
    if not place.is_file():
        return packaged
    installed, taken = own_registry(place), _taken(packaged)
    models = dict(packaged.models)
    for name, entry in installed.models.items():
        if name in taken or entry.archive is None:
            continue
        remote = [url for url in entry.archive.urls if local_path(url) is None]
        if not remote and not (cache_directory() / str(entry.archive.sha256)).is_dir():
            continue
        before = packaged.models[name].aliases if name in packaged.models else []
        aliases = [alias for alias in entry.aliases if alias not in taken and alias not in packaged.models]
        archive = entry.archive.model_copy(update={"urls": installed.urls(entry)})
        models[name] = entry.model_copy(update={"archive": archive, "aliases": [*before, *aliases]})
    return packaged.model_copy(update={"models": models})


def _taken(registry: Registry) -> set[str]:
    """Return the names of built models and every alias."""
    built = {name for name, entry in registry.models.items() if entry.archive is not None}
    return built | {alias for entry in registry.models.values() for alias in entry.aliases}


def _digest(entry: Entry) -> str | None:
    return entry.archive.sha256 if isinstance(entry.archive, ArchiveRecord) else None
