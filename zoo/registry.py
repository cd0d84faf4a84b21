"""registry.json: which models there are, what they are and where their archives lie."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from zoo.building import not_built
from zoo.card import to_json
from zoo.contract import REGISTRY_FILE, SCHEMA_FILE
from zoo.download import local_path
from zoo.entry import ArchiveRecord, Entry, Name, Record
from zoo.errors import BadRegistry, DownloadFailed, NotBuilt, UnknownModel
from zoo.files import cannot_write, move_into_place, written_file
from zoo.trust import check_registry_signature, read_twice

PACKAGED = Path(__file__).with_name(REGISTRY_FILE)


class Registry(Record):
    """The models of a zoo by name."""

    model_config = ConfigDict(title="Registry of a zoo of BERT models")

    schema_file: str = Field(default=SCHEMA_FILE, alias="$schema")
    models: dict[Name, Entry] = Field(default={})

    _place: str = PrivateAttr(default=str(PACKAGED))

    @model_validator(mode="after")
    def _each_name_means_one_model(self) -> Registry:
        owners, problems = {name: name for name in self.models}, []
        for name, entry in self.models.items():
            for alias in entry.aliases:
                if owners.setdefault(alias, name) != name or alias == name:
                    problems.append(f"alias {alias!r} of {name!r} already means {owners[alias]!r}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def place(self) -> str:
        """Where this registry was read from; relative URLs start there."""
        return self._place

    def names(self) -> list[str]:
        """Return the names of all models, sorted, aliases left out."""
        return sorted(self.models)

    def canonical(self, name: str) -> str:
        """Return the name that `name`, or the alias `name`, stands for. Raises UnknownModel with the closest ones."""
        if name in self.models:
            return name
        aliases = {alias: owner for owner, entry in self.models.items() for alias in entry.aliases}
        if name in aliases:
            return aliases[name]
        if not self.models:
            raise UnknownModel(f"no model {name!r}: {self.place} holds no models yet.")
        closest = difflib.get_close_matches(name, [*self.models, *aliases], n=3)
        hint = f" Did you mean {' or '.join(map(repr, closest))}?" if closest else ""
        raise UnknownModel(f"no model {name!r}.{hint} `zoo list` shows all {len(self.models)}.")

    def entry(self, name: str) -> Entry:
        """Return the entry of a name or alias. Raises UnknownModel with the closest ones."""
        return self.models[self.canonical(name)]

    def tokenizer(self, name: str) -> str | None:
        """Return the tokenizer of an encoder: the one its entry names, else the only one of the same vocabulary."""
        entry = self.entry(name)
        if entry.kind != "encoder" or entry.tokenizer or entry.vocabulary_sha256 is None:
            return entry.tokenizer
        tokenizers = [other for other in self.names() if self.models[other].kind == "tokenizer"]
        same = [other for other in tokenizers if self.models[other].vocabulary_sha256 == entry.vocabulary_sha256]
        return same[0] if len(same) == 1 else None

    def archive(self, name: str) -> ArchiveRecord:
        """Return the archive of a name or alias, its URLs absolute. Raises UnknownModel or NotBuilt."""
        entry = self.entry(name)
        if entry.archive is None:
            raise NotBuilt(not_built(name, self))
        return entry.archive.model_copy(update={"urls": self.urls(entry)})

    def urls(self, entry: Entry) -> list[str]:
        """Return the absolute URLs of an entry's archive, mirrors in order; file URLs where the registry is local."""
        return [_resolve(url, self.place) for url in entry.archive.urls] if entry.archive else []


# -- reading ------------------------------------------------------------------------------------------------------


def read_registry(place: str | Path | None = None) -> Registry:
    """Return the registry at a path or URL; without one, that of ZOO_REGISTRY, else the packaged and installed models.

        read_registry("https://host/zoo/registry.json").entry("albert_tiny").layers  # 4

    Raises BadRegistry with everything that is wrong with it, Untrusted when no key of ZOO_TRUSTED_KEY has signed it.
    """
    given = place or os.environ.get("ZOO_REGISTRY")
    source = str(given or PACKAGED)
    try:
        path = local_path(source)
    except ValueError as error:
        raise BadRegistry(
            f"{source!r} is neither a path nor a URL: {error}. Check --registry and ZOO_REGISTRY."
        ) from None
    with _readable(source):
        content = read_twice(lambda: _read_local(path) if path else _read_remote(source))
    registry = _placed(content, str(path.absolute()) if path else source, source)
    from zoo.installed import with_installed  # which reads a registry itself

    return registry if given else with_installed(registry)


def own_registry(path: Path) -> Registry:
    """Return the registry at `path`, signed or not: for those who write it. Raises BadRegistry."""
    with _readable(str(path)):
        content = path.read_bytes()
    return _placed(content, str(path.absolute()), str(path))


def _placed(content: bytes, place: str, source: str) -> Registry:
    registry = parse_registry(content, source)
    registry._place = place
    return registry


@contextmanager
def _readable(source: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # DownloadFailed is one, and names its source
        reason = error if isinstance(error, DownloadFailed) else f"{source}: {error.strerror or error}."
        raise BadRegistry(f"no registry to read. {reason} Check --registry and ZOO_REGISTRY.") from error


def _read_local(path: Path) -> bytes:
    content = path.read_bytes()
    if path != PACKAGED:  # which came with the code that would check it
        check_registry_signature(content, str(path))
    return content


def _read_remote(url: str) -> bytes:
    from zoo.remembered import read_remembered, signature_of  # which bring the cache

    def check(content: bytes) -> None:
        parse_registry(content, url)
        check_registry_signature(content, url, signature_of(url, content))

    return read_remembered(url, check)


def parse_registry(text: bytes, source: str) -> Registry:
    """Return the registry that a file's bytes hold; relative URLs are not resolved. Raises BadRegistry."""
    try:
        return Registry.model_validate_json(text)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors())
        raise BadRegistry(f"{source} is not a registry: {'; '.join(problems)}.") from None


def _resolve(url: str, place: str) -> str:
    if urlsplit(url).scheme in ("http", "https", "file"):
        return url
    if local_path(place) is None:
        return urljoin(place, url)
    return (Path(place).parent / unquote(url)).absolute().as_uri()


# -- writing ------------------------------------------------------------------------------------------------------


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
    return _change(path, lambda models: {**models, **entries}, moves or {}, try_only)


def json_schema() -> str:
    """Return the text of registry.schema.json."""
    return to_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Registry.model_json_schema()})


def to_record(model: BaseModel) -> dict[str, Any]:
    """Return what of a registry or entry is written to JSON: everything that is not at its default."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _change(
    path: Path,
    change: Callable[[Mapping[str, Entry]], Mapping[str, Entry]],
    moves: Mapping[Path, Path] | None = None,
    try_only: bool = False,
) -> Registry:
    path = path.resolve()  # a link stays a link
    if try_only and not path.parent.is_dir():
        return Registry()
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(".registry.lock")):
            before = own_registry(path) if path.exists() else Registry()
            after = _with_models(before, change(before.models), path)
            if try_only:
                return after
            changed = {name for name, entry in before.models.items() if after.models.get(name) != entry}
            if moves and changed:
                unsettled = {
                    name: entry.model_copy(update={"archive": None}) if name in changed else entry
                    for name, entry in before.models.items()
                }
                _write(registry_text(_with_models(before, unsettled, path)), path)
            for source, target in (moves or {}).items():
                move_into_place(source, target)
            _write(registry_text(after), path)
            _write(json_schema(), path.with_name(SCHEMA_FILE))
    return after


def _with_models(registry: Registry, models: Mapping[str, Entry], path: Path) -> Registry:
    return _placed(registry_text(registry.model_copy(update={"models": models})).encode(), str(path), str(path))


def registry_text(registry: Registry) -> str:
    """Return the text of a registry.json in its one form: sorted, without what is at its default."""
    models = {name: to_record(entry) for name, entry in registry.models.items()}
    return to_json({"$schema": registry.schema_file, "models": models})


def _write(text: str, path: Path) -> None:
    with written_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
