"""Builds a model that is published nowhere, at its first use: from its checkpoint into the cache.

The code that fetches and exports checkpoints is in the package `export`. It is found by its entry point in the group
`zoo.builders`, because `zoo` imports nothing of `export`. Here are the rules of the cache: one process builds, the
archive is unpacked into the directory that its sha256 names, and a record says which archive a row has become.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.archive.card import to_json
from zoo.archive.kinds import KINDS
from zoo.basics.files import cannot_write, written_file
from zoo.basics.locks import part_of
from zoo.basics.urls import is_offline
from zoo.contract import REGISTRY_FILE
from zoo.errors import DownloadFailed, NotBuilt, ZooError
from zoo.fetching.cache import check_cache, damage, keep
from zoo.fetching.hub_ids import hub_source
from zoo.fetching.places import cache_directory
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.recipes import is_by_hand, is_on_request, origin
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry
from zoo.trust.signatures import refuse_unsigned

_log = logging.getLogger("zoo")

GROUP = "zoo.builders"
VARIABLE = "ZOO_BUILD"
_NEVER = ("never", "0", "no", "false", "off")


@dataclass(frozen=True)
class Order:
    """What is to be built: the row `name` of `models`, with what its export also makes.

    A checkpoint in the folder `sources` is taken first. With `as_found` the row is made up for a handle such as
    hf://owner/name and states its source alone; the checkpoint then decides what becomes of it, as in `zoo export`.
    """

    name: str
    models: Mapping[str, Entry]
    sources: Path | None = None
    as_found: bool = False

    def identity(self) -> dict[str, Any]:
        """Return everything that decides which model this is: the name, and source, recipe and licence of its rows."""
        chain, name = [], self.name
        while True:
            row = self.models[name]
            chain.append(row.model_dump(mode="json", include={"kind", "sources", "recipe", "licence"}))
            parent = row.derivation.parent if row.derivation else None
            if parent not in self.models or len(chain) > len(self.models):
                return {"name": self.name, "rows": chain, "as_found": self.as_found}
            name = str(parent)


class Builder(Protocol):
    """What an entry point of `zoo.builders` is: writes archives and their registry.json into a directory."""

    def __call__(self, order: Order, out: Path) -> None:
        """Raises DownloadFailed when no source delivers the checkpoint, and what an export raises."""


class _Built(BaseModel):
    """The record of an archive that was built here. Its file is `built-K.json`; K is made of the order and the name."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")  # it becomes a path
    size: int | None = None


def built(
    name: str,
    registry: Registry,
    command: str,
    *,
    sources: Path | None = None,
    requested: bool = False,
    thorough: bool = False,
) -> Path:
    """Return the directory of a row without an archive, built at the first call; its tokenizer is built with it.

    `command` is the one that errors name; it builds with `requested` what a row calls `on_request`. Raises
    NotBuilt when ZOO_BUILD forbids to build or no program can fetch the checkpoint; DownloadFailed, also when
    ZOO_OFFLINE forbids the network; and what an export raises.
    """
    models, name = registry.models, registry.canonical(name)
    order = _order_of(name, models, sources)
    if found := _found(order, name, thorough):
        return found
    _check_allowed(name, command)
    if is_on_request(name, models) and not requested:
        raise NotBuilt(
            f"{name} is built only on request, because of its licence: {models[name].licence}. `{command}` builds it "
            "for yourself."
        )
    if sources is None and is_by_hand(name, models):
        registry.archive(name)  # which raises NotBuilt, with what a person has to do
    place = _build(order, name, command)
    tokenizer = registry.tokenizer(name)
    if tokenizer in models and models[tokenizer].archive is None:
        its = _order_of(tokenizer, models, sources)
        try:
            _place(its, tokenizer) or _build(its, tokenizer, command)
        except ZooError as error:  # the encoder works without it
            _log.warning("%s is there, its tokenizer %s is not yet: %s", name, tokenizer, error)
    return place


def with_built(registry: Registry, names: Sequence[str], *, build: bool = True) -> Registry:
    """Return a registry in which the models of `names` and their tokenizers have archives: those that were built here.

    What was not built yet is built, unless `build` is False; then its row stays without an archive. Since the caller
    puts the archives into a file, the log names each licence that lets nobody hand it on. It raises what `built` does.
    """
    models = dict(registry.models)
    wanted = [registry.canonical(name) for name in names]
    for name in wanted:
        if is_on_request(name, models):
            _log.warning("%s is for yourself: its licence (%s) lets nobody hand it on.", name, models[name].licence)
    for name in dict.fromkeys((*wanted, *filter(None, map(registry.tokenizer, wanted)))):
        if models[name].archive is None:
            if build:
                built(name, registry, registry.fetch_command(name))
            if (known := _read(_record(_order_of(name, models, None), name))) is not None:
                archive = ArchiveRecord(urls=[f"{name}.tar.gz"], sha256=known.sha256, size=known.size)
                models[name] = models[name].model_copy(update={"archive": archive})
    return registry.model_copy(update={"models": models})


def built_of_hub(handle: str, *, thorough: bool = False) -> Path:
    """Return the directory of what `zoo export` makes of a hub's repository, built at the first call.

    It raises what `built` does, and BadArgument for an id that is none.
    """
    order = _hub_order(handle)
    if found := _found(order, order.name, thorough):
        return found
    return _allowed(order, handle, order.name)


def tokenizer_of_hub(handle: str) -> Path | None:
    """Return the directory of the tokenizer that was built with the encoder of a hub's id; None if it has none."""
    order = _hub_order(handle)
    name = f"{order.name}_tokenizer"
    if (found := _place(order, name)) is None and _read(_record(order, name)) is not None:
        found = _allowed(order, handle, name)  # it has left the cache, or is damaged
    return found


def _allowed(order: Order, handle: str, name: str) -> Path:
    """Build an order for a hub's id, if that is not forbidden; return the directory of `name`."""
    command = f"zoo fetch {shlex.quote(handle)}"
    _check_allowed(handle, command)
    return _build(order, name, command)


def _hub_order(handle: str) -> Order:
    source = hub_source(handle)
    assert source is not None  # the caller asked
    name = source.repository.partition("/")[2].lstrip("._-") or "model"
    return Order(name, {name: Entry(kind="encoder", sources=[source])}, as_found=True)


def built_here(name: str, registry: Registry) -> Path | None:
    """Return the directory of a row that was built here before; None otherwise. Builds nothing."""
    name = registry.canonical(name)
    return _place(_order_of(name, registry.models, None), name)


def _order_of(name: str, models: Mapping[str, Entry], sources: Path | None) -> Order:
    made_by = origin(name, models) if KINDS[models[name].kind].comes_along else name
    return Order(made_by, models, sources)


def _check_allowed(name: str, command: str) -> None:
    """Raise NotBuilt if ZOO_BUILD forbids to build, Untrusted if ZOO_TRUSTED_KEY asks for a signature."""
    if os.environ.get(VARIABLE, "").strip().lower() in _NEVER:
        raise NotBuilt(
            f"{name} is not published, and {VARIABLE} forbids building it here. `{VARIABLE}=auto {command}` builds it "
            "once; after that it is used like any other."
        )
    refuse_unsigned(name, command)


# -- records ------------------------------------------------------------------------------------------------------


def _key(order: Order) -> str:
    return hashlib.sha256(to_json(order.identity()).encode()).hexdigest()[:32]


def _record(order: Order, name: str) -> Path:
    """Return the path of the record of one archive of an order, whether there is one or not."""
    key = hashlib.sha256(f"{_key(order)} {name}".encode()).hexdigest()[:32]
    return cache_directory() / f"built-{key}.json"


def _found(order: Order, name: str, thorough: bool) -> Path | None:
    """Return what `_place` does; remove the packed archives that a process left which was killed at its very end."""
    found, at = _place(order, name, thorough, tell=True), cache_directory() / f"built-{_key(order)}"
    if found and at.with_name(f".{at.name}.part").exists():
        with suppress(OSError), part_of(at):
            pass
    return found


def _place(order: Order, name: str, thorough: bool = False, tell: bool = False) -> Path | None:
    """Return the directory that a record names, if it is whole; otherwise None."""
    if (known := _read(_record(order, name))) is None:
        return None
    place = cache_directory() / known.sha256
    if (problem := damage(place, thorough)) is not None:
        if tell and place.exists():
            _log.warning("%s Building %s again.", problem, name)
        return None
    with suppress(OSError):  # the cache may be read-only
        os.utime(place)
    return place


# -- one order ----------------------------------------------------------------------------------------------------


def _build(order: Order, name: str, command: str) -> Path:
    """Build an order, unless another process just did; return the directory of `name`.

    What is on its way lies in `.built-K.part`. Every archive gets into the cache before its record is written, so a
    process that is killed leaves a cache in which every record is true; the next call goes on.
    """
    root = cache_directory()
    check_cache(root)
    build = _builder()
    with cannot_write(root), part_of(root / f"built-{_key(order)}", _waiting_for(order.name)) as part:
        if found := _place(order, name, thorough=True):
            return found
        try:
            build(order, part)
        except DownloadFailed as error:
            if not is_offline():
                raise
            raise DownloadFailed(
                f"{name} is not published, its checkpoint is not in {root}, and ZOO_OFFLINE forbids the network. "
                f"`ZOO_OFFLINE=0 {command}` builds it once; after that it is used offline."
            ) from error
        made = own_registry(part / REGISTRY_FILE).models
        for each, entry in made.items():
            if entry.archive is not None and entry.archive.sha256:
                keep(root / entry.archive.sha256, each, part / f"{each}.tar.gz", thorough=True)
        for each, entry in made.items():
            if entry.archive is not None and entry.archive.sha256:
                _remember(_record(order, each), _Built(name=each, sha256=entry.archive.sha256, size=entry.archive.size))
    if (place := _place(order, name)) is None:
        raise NotBuilt(f"the export of {order.name} makes {', '.join(sorted(made))}, and no {name}.")
    return place


def _read(record: Path) -> _Built | None:
    try:
        return _Built.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None


def _remember(record: Path, known: _Built) -> None:
    with written_file(record) as temporary:
        temporary.write_text(to_json(known.model_dump()), encoding="utf-8")


def _waiting_for(name: str) -> str:
    return f"Another process builds {name}: waiting for it."


def _builder() -> Builder:
    """Return the builder. Raises NotBuilt if this installation has none."""
    points = [*entry_points(group=GROUP)]
    if not points:
        raise NotBuilt(
            f"this installation has no builder (entry point of the group {GROUP!r}): it was installed by an earlier "
            "version, or incompletely. `pip install --force-reinstall --no-deps bert-zoo` completes it."
        )
    return cast(Builder, points[0].load())
