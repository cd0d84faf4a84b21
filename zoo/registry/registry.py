"""A registry as an object and as text: its names and URLs, one strict reader, one written form."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from zoo.archive.card import to_json
from zoo.archive.kinds import KINDS
from zoo.basics.display import printable
from zoo.basics.untrusted import BadJson, made_later, parse_strict_json
from zoo.basics.urls import local_path, shown
from zoo.contract import REGISTRY_FILE, REGISTRY_FORMAT, SCHEMA_FILE
from zoo.errors import BadRegistry, NotBuilt, UnknownModel
from zoo.registry.entry import ArchiveRecord, Count, Entry, Moment, Name, Record, Text, check_unknown
from zoo.registry.recipes import is_by_hand, not_built

PACKAGED = Path(__file__).parent.with_name(REGISTRY_FILE)

MOST_REGISTRY = 16 << 20  # bytes: 20,000 rows
_MOST_ROW = 1 << 16  # characters of one row, or of all that is beside the rows
_MOST_PROBLEMS = 20  # which are told; one bad row may have thousands
_MOST_TOLD = 5  # rows that are skipped
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_FROM_AFAR = ("", "http", "https")  # what a registry that is no local file may name
_LATER_WORDS = ("literal_error", "union_tag_invalid")  # pydantic's types for a word that is none of the known ones


class SkippedRow(NamedTuple):
    """A row with a word that only a later version knows, such as its kind; it is kept as it was read."""

    row: dict[str, Any]
    reason: str


class Registry(Record):
    """The models of a zoo by name.

    `number` is 0 for a registry that was never signed; see zoo.fetching.freshness for what it and `expires` are for.
    """

    model_config = ConfigDict(title="Registry of a zoo of BERT models", defer_build=True)

    schema_file: Text = Field(default=SCHEMA_FILE, alias="$schema")
    format: Literal[1] = Field(default=REGISTRY_FORMAT, description="a reader of another format refuses the file")
    number: Count = Field(default=0, description="grows with every signed change: see docs/publishing.md")
    expires: Moment | None = Field(default=None, description="UTC; after it nobody takes this registry for the latest")
    models: dict[Name, Entry] = Field(default={})

    _place: str = PrivateAttr(default=str(PACKAGED))
    _skipped: dict[str, SkippedRow] = PrivateAttr(default={})

    @model_validator(mode="after")
    def _each_name_means_one_model(self) -> Registry:
        owners, problems = {name: name for name in self.models}, []
        for name, entry in self.models.items():
            for alias in entry.aliases:
                if owners.setdefault(alias, name) != name or alias == name:
                    problems.append(f"alias {alias!r} of {name!r} already means {owners[alias]!r}")
        if problems:
            raise ValueError("; ".join(problems[:_MOST_PROBLEMS]))
        return self

    @property
    def place(self) -> str:
        """Where this registry was read from; relative URLs start there."""
        return self._place

    @property
    def skipped(self) -> dict[str, SkippedRow]:
        """The rows that only a later version understands, by name. They name no model here."""
        return {name: row for name, row in self._skipped.items() if name not in self.models}

    def skipped_text(self) -> str:
        """Return one line about the rows that are skipped, '' without any."""
        rows = [f"{name} ({row.reason})" for name, row in sorted(self.skipped.items())]
        more = f" and {len(rows) - _MOST_TOLD} more" if len(rows) > _MOST_TOLD else ""
        told = ", ".join(rows[:_MOST_TOLD])
        return f"{told}{more}: skipped, as a later bert-zoo wrote them. Update bert-zoo." if rows else ""

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
        if row := self.skipped.get(name):
            raise UnknownModel(
                f"the row of {name!r} in {self.place} is skipped, as a later bert-zoo wrote it: {row.reason}. "
                "Update bert-zoo."
            )
        if not self.models:
            raise UnknownModel(f"no model {name!r}: {self.place} holds no models yet.")
        by_letters = {_letters(each): each for each in (*aliases, *self.models)}
        closest = [by_letters[each] for each in difflib.get_close_matches(_letters(name), by_letters, n=3)]
        hint = f" Did you mean {' or '.join(map(repr, closest))}?" if closest else ""
        raise UnknownModel(f"no model {name!r}.{hint} `zoo list` shows all {len(self.models)}.")

    def entry(self, name: str) -> Entry:
        """Return the entry of a name or alias. Raises UnknownModel with the closest ones."""
        return self.models[self.canonical(name)]

    def tokenizer(self, name: str) -> str | None:
        """Return the tokenizer of an encoder: the one its entry names, else the only one of the same vocabulary."""
        entry = self.entry(name)
        kind = KINDS[entry.kind].tokenized_by
        if kind is None or entry.tokenizer or entry.vocabulary_sha256 is None:
            return entry.tokenizer
        tokenizers = [other for other in self.names() if self.models[other].kind == kind]
        same = [other for other in tokenizers if self.models[other].vocabulary_sha256 == entry.vocabulary_sha256]
        return same[0] if len(same) == 1 else None

    def archive(self, name: str) -> ArchiveRecord:
        """Return the archive of a name or alias, its URLs absolute. Raises UnknownModel or NotBuilt."""
        entry = self.entry(name)
        if entry.archive is None:
            name = self.canonical(name)
            raise NotBuilt(not_built(name, self.models, self.place, self.fetch_command(name)))
        return entry.archive.model_copy(update={"urls": self.urls(entry)})

    def fetch_command(self, name: str) -> str:
        """Return the command that brings a model into the cache: 'zoo fetch albert_tiny --registry https://…'."""
        is_known = self.place in (str(PACKAGED), os.environ.get("ZOO_REGISTRY"))
        registry = "" if is_known else f" --registry {shlex.quote(shown(self.place))}"
        name = self.canonical(name)
        by_hand = " --sources DIR" if self.models[name].archive is None and is_by_hand(name, self.models) else ""
        return f"zoo fetch {name}{registry}{by_hand}"

    def urls(self, entry: Entry) -> list[str]:
        """Return the absolute URLs of an entry's archive, mirrors in order; file URLs where the registry is local."""
        return [_resolve(url, self.place) for url in entry.archive.urls] if entry.archive else []


def _letters(name: str) -> str:
    """Return a name without what people get wrong in it: "ALBERT-tiny" and "albert_tiny" are alike."""
    return name.lower().replace("-", "_").replace(".", "_")


def _resolve(url: str, place: str) -> str:
    if urlsplit(url).scheme in ("http", "https", "file"):
        return url
    if local_path(place) is None:
        return urljoin(place, url)
    return (Path(place).parent / unquote(url)).absolute().as_uri()


# -- reading ------------------------------------------------------------------------------------------------------


def parse_registry(text: bytes, source: str, *, from_afar: bool = False) -> Registry:
    """Return the registry that a file's bytes hold; relative URLs are not resolved.

    One that comes `from_afar`, from a server or in a bundle, may name no file of this machine. Rows are read one by one
    and a few problems are told, so that no text, however wrong, costs much more than a right one.

    Fields that this version does not know are kept and have no effect. A row with a word that it does not know, such as
    its kind, is skipped: see `Registry.skipped`. Raises BadRegistry, also for a higher format.
    """
    problems: list[str] = []
    try:
        facts = parse_strict_json(text, MOST_REGISTRY)
    except BadJson as error:
        raise BadRegistry(f"{source} is not a registry: {error}.") from None
    if not isinstance(facts, dict):
        raise BadRegistry(f"{source} is not a registry: the file should be an object, not {type(facts).__name__}.")
    if later := made_later(facts.get("format"), REGISTRY_FORMAT):
        raise BadRegistry(f"{source} {later}")
    rows, entries, skipped = facts.pop("models", {}), {}, {}
    if not isinstance(rows, dict):
        problems.append("models: should be an object of rows by name")
        rows = {}
    for name, row in rows.items():
        try:
            _NAME.validate_python(name)  # first: a row that is skipped needs a name that can be printed, too
            entries[name] = entry = Entry.model_validate(_bounded(row))
            problems += [f"models.{name}.archive: {problem}" for problem in _local_urls(entry) if from_afar]
        except ValidationError as error:
            found = list(_words(f"models.{name}", error))
            if any(each["type"] not in _LATER_WORDS for each in _errors(error)):
                problems += found
            else:
                problems += _unfit(name, row)
                skipped[name] = SkippedRow(row, found[0].removeprefix(f"models.{name}."))
        except BadJson as error:
            problems.append(f"models.{name}: {error}")
        if len(problems) > _MOST_PROBLEMS:
            break
    problems += [
        f"alias {alias!r} of {name!r} already means {alias!r}"
        for name, entry in entries.items()
        for alias in entry.aliases
        if alias in skipped
    ]
    try:
        registry = Registry.model_validate({**_bounded(facts), "models": {} if problems else entries})
        registry._skipped = skipped
    except ValidationError as error:
        problems += _words("", error)
    except BadJson as error:
        problems.append(str(error))
    if problems:
        told = [printable(problem).replace("\n", "\\n")[:300] for problem in problems[:_MOST_PROBLEMS]]
        rest = "; and more" if len(problems) > _MOST_PROBLEMS else ""
        raise BadRegistry(f"{source} is not a registry: {'; '.join(told)}{rest}.")
    return registry


def _unfit(name: str, row: dict[str, Any]) -> Iterator[str]:
    """Yield why a row may not be kept as it is."""
    try:
        check_unknown(row)
    except ValueError as error:
        yield f"models.{name}: {error}"


def _bounded(value: Any) -> Any:
    """Return a value that is not large: what is wrong with a large one would fill the memory."""
    try:
        length = len(repr(value))
    except RecursionError:
        raise BadJson("is nested too deeply") from None
    if length > _MOST_ROW:
        raise BadJson(f"is longer than {_MOST_ROW:,} characters")
    return value


def _local_urls(entry: Entry) -> Iterator[str]:
    for url in entry.archive.urls if entry.archive else ():
        if urlsplit(url).scheme not in _FROM_AFAR:
            yield f"{url!r} is neither http(s) nor relative, and only a registry that is a local file may name others"


def _errors(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _words(where: str, error: ValidationError) -> Iterator[str]:
    for each in _errors(error)[:_MOST_PROBLEMS]:
        place = ".".join(filter(None, [where, *map(str, each["loc"])]))
        yield f"{place or 'the file'}: {each['msg']}"


# -- written ------------------------------------------------------------------------------------------------------


def json_schema() -> str:
    """Return the text of registry.schema.json."""
    return to_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **Registry.model_json_schema()})


def to_record(model: BaseModel) -> dict[str, Any]:
    """Return what of a registry or entry is written to JSON: everything that is not at its default."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def registry_text(registry: Registry) -> str:
    """Return the text of a registry.json in its one form: sorted, without what is at its default."""
    models = {name: skipped.row for name, skipped in registry.skipped.items()}
    models |= {name: to_record(entry) for name, entry in registry.models.items()}
    facts = to_record(registry.model_copy(update={"models": {}}))
    always = {"$schema": registry.schema_file, "format": REGISTRY_FORMAT}
    return to_json({**facts, **always, "models": models})
