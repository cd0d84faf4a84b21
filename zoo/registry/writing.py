"""Changes registry.json: one process at a time, and readers find the old file or the new one, both whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zoo.basics.files import cannot_write, move_into_place, read_regular, real_path, written_file
from zoo.basics.locks import locked
from zoo.basics.urls import local_path
from zoo.contract import SCHEMA_FILE
from zoo.errors import BadRegistry, DownloadFailed
from zoo.registry.entry import Entry
from zoo.registry.registry import (
    MOST_REGISTRY,
    Registry,
    json_schema,
    parse_registry,
    registry_text,
)


def own_registry(path: Path) -> Registry:
    """Return the registry at `path`, signed or not, fresh or not: for those who write it. Raises BadRegistry."""
    with readable(str(path)):
        content = read_regular(path, MOST_REGISTRY)
    return placed(content, str(path.absolute()), str(path))


def placed(content: bytes, place: str, source: str) -> Registry:
    """Return the registry that was read from `place`; errors call it `source`. Raises BadRegistry."""
    registry = parse_registry(content, source, from_afar=local_path(place) is None)
    registry._place = place
    return registry


@contextmanager
def readable(source: str, advice: str = "") -> Iterator[None]:
    """Raise BadRegistry, with the advice behind it, in place of an OSError."""
    try:
        yield
    except OSError as error:  # DownloadFailed is one, and names its source
        reason = error if isinstance(error, DownloadFailed) else f"{source}: {error.strerror or error}."
        raise BadRegistry(f"no registry to read. {reason}{advice}") from error


def update_registry(
    path: Path, entries: Mapping[str, Entry], moves: Mapping[Path, Path] | None = None, *, try_only: bool = False
) -> Registry:
    """Add or replace entries in the registry at `path` and return the new one; all other entries stay.

        update_registry(Path("dist/registry.json"), {"albert_tiny": entry})

    `moves` are archives (from, to) that go to their places under the same lock; while they do, the entries that change
    name no archive, so that the registry never names a missing or different one. With `try_only` nothing is written.
    A missing file is created, with its JSON Schema beside it. Safe with several processes at once.

    Raises BadRegistry, and leaves the file alone, when what is there is not a registry or the result would not be one;
    CannotWrite when there is no permission or no space.
    """
    path = real_path(path)  # a link stays a link
    if try_only and not path.parent.is_dir():
        return Registry()
    with cannot_write(path), locked(path.with_name(".registry.lock")):
        before = own_registry(path) if path.exists() else Registry()
        after = _checked(before.model_copy(update={"models": {**before.models, **entries}}), path)
        if try_only:
            return after
        changed = {name for name, entry in before.models.items() if after.models.get(name) != entry}
        if moves and changed:
            unsettled = {
                name: entry.model_copy(update={"archive": None}) if name in changed else entry
                for name, entry in before.models.items()
            }
            _write(registry_text(_checked(before.model_copy(update={"models": unsettled}), path)), path)
        for source, target in (moves or {}).items():
            move_into_place(source, target)
        _write(registry_text(after), path)
        _write(json_schema(), path.with_name(SCHEMA_FILE))
    return after


def renumber(path: Path, number: int, expires: str | None) -> None:
    """Give the registry at `path` a number and an expiry, '2027-01-31T00:00:00Z'. Raises BadRegistry, CannotWrite."""
    path = real_path(path)  # a link stays a link
    with cannot_write(path), locked(path.with_name(".registry.lock")):
        registry = own_registry(path).model_copy(update={"number": number, "expires": expires})
        _write(registry_text(_checked(registry, path)), path)


def _checked(registry: Registry, path: Path) -> Registry:
    """Return a registry as readers will find it at `path`. Raises BadRegistry if they would refuse it."""
    return placed(registry_text(registry).encode(), str(path), str(path))


def _write(text: str, path: Path) -> None:
    with written_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
