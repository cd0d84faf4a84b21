"""Finds the models that pip installed: every wheel of `zoo wheel` has a registry and archives beside it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from zoo.contract import REGISTRY_FILE
from zoo.errors import BadRegistry
from zoo.fetching.installed import joined, tell_once
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry

GROUP = "zoo.models"  # of entry points, each NAME = MODULE; the module is not imported


def with_wheels(registry: Registry) -> Registry:
    """Return a registry with the models of all installed wheels added.

    A name keeps its meaning if the registry has an archive for it. If a wheel has other bytes under that name, a
    warning says that they are not used.
    """
    models = dict(registry.models)
    taken = {alias for entry in models.values() for alias in entry.aliases}
    for wheel in _registries():
        for name, entry in wheel.models.items():
            if entry.archive is None or name in taken:
                continue
            if (known := models.get(name)) is not None and known.archive is not None:
                if known.archive.sha256 != entry.archive.sha256:
                    tell_once(
                        f"{name} in {wheel.place} is not used: the name means an archive with sha256 "
                        f"{str(known.archive.sha256)[:12]}… already. `zoo info {name}` shows it."
                    )
                continue
            aliases = [alias for alias in entry.aliases if alias not in taken and alias not in models]
            taken.update(aliases)
            models[name] = joined(entry, wheel.urls(entry), known, aliases)
    return registry.model_copy(update={"models": models})


def _registries() -> Iterator[Registry]:
    """Yield the registry of every installed wheel. pip has compared the wheel's digest, as for the code beside it."""
    for point in sorted(entry_points(group=GROUP)):
        place = point.dist.locate_file(Path(point.value) / REGISTRY_FILE) if point.dist else None
        try:
            if place is not None:
                yield own_registry(Path(str(place)))
        except BadRegistry as error:
            tell_once(f"The model {point.name} that pip installed is left out: {error} Install it again.")
