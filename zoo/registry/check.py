"""What a registry has to keep beyond its schema, all problems at once, and the files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from zoo.archive.kinds import KINDS
from zoo.basics.files import read_regular, real_path
from zoo.contract import SCHEMA_FILE
from zoo.errors import BadRegistry
from zoo.registry.entry import Entry, FromParent, NoteSource, Record, UrlSource, writers
from zoo.registry.registry import MOST_REGISTRY, Registry, json_schema, parse_registry, registry_text
from zoo.registry.table import stale_pages
from zoo.registry.writing import update_registry


class Findings(NamedTuple):
    """The result of a check. A note is about something that is allowed, and may be a typing error all the same."""

    problems: list[str]
    notes: list[str]


def check_registry(path: Path) -> Findings:
    """Return all problems of the registry at `path` and of the files beside it, and notes on fields that are ignored.

        check_registry(Path("registry.json")).problems  # ["rbt3: its tokenizer 'words' is not in the registry"]

    Beside it are its JSON Schema and the pages that hold its table, where there are any. Raises OSError when there is
    no such file.
    """
    path = real_path(path)  # the packaged registry of a checkout is a link to the one beside the pages
    text = read_regular(path, MOST_REGISTRY)
    try:
        registry = parse_registry(text, str(path))
    except BadRegistry as error:
        return Findings([str(error)], [])
    notes = [f"{name}: {note}" for name, entry in sorted(registry.models.items()) for note in _unknown_fields(entry)]
    notes += [f"{path.name}: {note}" for note in _unknown_fields(registry)]
    return Findings([*model_problems(registry), *_file_problems(registry, path, text)], notes)


def format_registry(path: Path) -> list[str]:
    """Write a registry in its one form, its JSON Schema and the tables of the pages beside it.

    Return the names of the files that changed. Raises BadRegistry, CannotWrite; OSError when there is no such file.
    """
    path = real_path(path)
    files = {path: read_regular(path, MOST_REGISTRY), (schema := path.with_name(SCHEMA_FILE)): None}
    if schema.is_file():
        files[schema] = schema.read_bytes()
    registry = update_registry(path, {})
    changed = [file.name for file, before in files.items() if file.read_bytes() != before]
    return [*changed, *stale_pages(registry, path.parent, mend=True)]


def model_problems(registry: Registry) -> list[str]:
    """Return what is wrong with the models of a registry, each problem with the name of its model.

    A row that is skipped is a problem too: mostly it has a typing error.
    """
    checks = (_sources, _derivation, _tokenizer, _archive, _words)
    skipped = [f"{name}: {row.reason}; the row is skipped" for name, row in sorted(registry.skipped.items())]
    return skipped + [
        f"{name}: {problem}"
        for name, entry in sorted(registry.models.items())
        for check in checks
        for problem in check(name, entry, registry)
    ]


# -- one model ----------------------------------------------------------------------------------------------------


def _sources(name: str, entry: Entry, registry: Registry) -> Iterator[str]:
    if entry.derivation and entry.sources:
        yield f"it is made of {entry.derivation.parent!r} and names sources of its own; leave out one of them"
    if not (entry.archive or entry.derivation or entry.sources):
        yield "it is not built and names neither a source nor a model that it is made of"
    for source in entry.sources:
        if isinstance(source, UrlSource):
            yield from _not_https(source.url)
        if isinstance(source, NoteSource):
            if not source.text.strip():
                yield "a note is empty"
        elif bool(source.activation) != bool(source.reason.strip()):
            yield "an activation that is given for a source needs a reason, and the other way round"
    for published in entry.history:
        yield from _not_https(published.url)


def _derivation(name: str, entry: Entry, registry: Registry) -> Iterator[str]:
    if entry.derivation is None:
        return
    kind, parent = KINDS[entry.kind], registry.models.get(entry.derivation.parent)
    if parent is None or entry.derivation.parent == name:
        yield f"it is made of {entry.derivation.parent!r}, which is no other model of the registry"
    elif kind.made_of is None:
        yield f"{kind.with_article} is made of no other model"
    elif kind.comes_along:
        if parent.kind != kind.made_of:
            wanted = KINDS[kind.made_of].with_article
            yield f"it comes with {entry.derivation.parent!r}, which is of kind {parent.kind}, not {wanted}"
        yield from _differences(entry, parent, "tokenizer", entry.derivation.parent)
    else:
        yield from _cut(entry, parent, entry.derivation)


def _cut(entry: Entry, parent: Entry, derivation: FromParent) -> Iterator[str]:
    name, layers, made_of = derivation.parent, derivation.layers, KINDS[entry.kind].made_of
    if made_of and parent.kind != made_of:
        yield f"it is made of {name!r}, which is of kind {parent.kind}, not {KINDS[made_of].with_article}"
    if layers is None:
        yield f"its derivation does not say how many layers of {name!r} it keeps"
    elif layers != entry.layers:
        yield f"it has {entry.layers} layers and is made of the first {layers} of {name!r}"
    elif parent.layers is None or layers >= parent.layers:
        yield f"it is made of the first {layers} layers of {name!r}, which has {parent.layers}"
    if entry.parameters and parent.parameters and entry.parameters > parent.parameters:
        yield f"it says {entry.parameters:,} parameters, more than the {parent.parameters:,} of {name!r}"
    yield from _differences(entry, parent, "parent", name)


def _tokenizer(name: str, entry: Entry, registry: Registry) -> Iterator[str]:
    if entry.tokenizer is None:
        return
    tokenizer, kind = registry.models.get(entry.tokenizer), KINDS[entry.kind].tokenized_by
    if kind is None:
        having = ", ".join(f"{other.name}s" for other in KINDS.values() if other.tokenized_by)
        yield f"it is of kind {entry.kind} and names a tokenizer; {having} have one"
    elif tokenizer is None:
        yield f"its tokenizer {entry.tokenizer!r} is not in the registry"
    elif tokenizer.kind != kind:
        yield f"its tokenizer {entry.tokenizer!r} is of kind {tokenizer.kind}"
    else:
        yield from _differences(entry, tokenizer, "tokenizer", entry.tokenizer)


def _archive(name: str, entry: Entry, registry: Registry) -> Iterator[str]:
    if entry.archive is None:
        return
    missing = [field for field in ("sha256", "size") if getattr(entry.archive, field) is None]
    if missing:
        yield f"its archive has no {' and no '.join(missing)}"
    for url in entry.archive.urls:
        if urlsplit(url).scheme:
            yield from _not_https(url)


def _words(name: str, entry: Entry, registry: Registry) -> Iterator[str]:
    if not entry.licence.strip():
        yield "its licence is empty; 'not stated' says that its publisher names none"


def _unknown_fields(value: object) -> Iterator[str]:
    """Yield a note on every unknown field of a record and of the records in it. A later version may know the field."""
    if isinstance(value, Record):
        for field in value.model_extra or ():
            meant = "".join(
                f"; did you mean {name!r}?" for name in get_close_matches(field, type(value).model_fields, 1)
            )
            yield f"unknown field {field!r} is ignored{meant}"
    if isinstance(value, Record | list):
        for each in value if isinstance(value, list) else (getattr(value, field) for field in type(value).model_fields):
            yield from _unknown_fields(each)


def _differences(entry: Entry, other: Entry, relation: str, name: str) -> Iterator[str]:
    for field in (field for field, written in writers().items() if relation in written.same_as):
        ours, its = getattr(entry, field), getattr(other, field)
        if ours is not None and its is not None and ours != its:
            yield f"its {field} is {ours!r}, that of {name!r} is {its!r}"


def _not_https(url: str) -> Iterator[str]:
    if urlsplit(url).scheme != "https":
        yield f"{url} is not https"


# -- the files ----------------------------------------------------------------------------------------------------


def _file_problems(registry: Registry, path: Path, text: bytes) -> Iterator[str]:
    mends = f"`zoo registry format {path}` mends it"

    if text != registry_text(registry).encode():
        yield f"{path.name} is not written in its one form (sorted, two spaces, no defaults); {mends}"
    schema = path.parent / registry.schema_file  # a URL where it lies elsewhere
    if schema.parent == path.parent and schema.is_file() and schema.read_text(encoding="utf-8") != json_schema():
        yield f"{schema.name} is not the schema of this version; {mends}"
    for page in stale_pages(registry, path.parent):
        yield f"{page} holds another table of models; {mends}"
