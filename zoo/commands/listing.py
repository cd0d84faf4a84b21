"""`zoo list`, `zoo info`, `zoo url`: what a registry says of its models."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from zoo.archive.card import Card, TextCard, parse_card, read_card
from zoo.archive.unpack import packed_card
from zoo.basics.display import counted, in_chinese, sheet, size, table
from zoo.basics.urls import local_path
from zoo.commands.common import Run, add_json, add_registry, print_json
from zoo.contract import TASKS
from zoo.errors import BadArchive
from zoo.fetching.building import built_here
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.registry.entry import Entry, NoteSource, Source, UrlSource
from zoo.registry.recipes import origin
from zoo.registry.registry import Registry, to_record
from zoo.registry.table import published_size

_SHOWN = 20  # labels
_COLUMNS = ("name", "kind", "family", "layers", "hidden", "tokenizer", "archive", "licence", "for")
_OPTIONAL = ("licence", "tokenizer")  # what a narrow terminal leaves out, in this order


def list_command(parser: argparse.ArgumentParser) -> Run:
    """Show every model of the registry.

    zoo list
    zoo list --task vector
    zoo list '*wwm*' --built
    zoo list --json
    """
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="only names and aliases like this: 'bert_*'")
    parser.add_argument("--task", choices=TASKS, help="only text archives of this task")
    parser.add_argument("--built", action="store_true", help="only models that are published, or built on this machine")
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = read_registry(arguments.registry)
        names = [name for name in registry.names() if _is_wanted(name, registry, arguments)]
        if arguments.json:
            print_json({name: _described(name, registry) for name in names})
        elif names:
            print(table(_COLUMNS, [_row(name, registry) for name in names], _terminal_width(), _OPTIONAL))
        else:
            print(_none_text(arguments, registry), file=sys.stderr)
        if registry.skipped:
            print(registry.skipped_text(), file=sys.stderr)
        return 0

    return run


def info_command(parser: argparse.ArgumentParser) -> Run:
    """Show what one model is and where it lies.

    zoo info albert_tiny
    """
    parser.add_argument("name", metavar="NAME")
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = read_registry(arguments.registry)
        name = registry.canonical(arguments.name)
        print_json(_described(name, registry)) if arguments.json else print(sheet(_facts(name, registry)))
        return 0

    return run


def url_command(parser: argparse.ArgumentParser) -> Run:
    """Print the absolute URL of a model, ready for hub.load.

    zoo url albert_tiny --registry https://host/zoo/registry.json
    """
    parser.add_argument("name", metavar="NAME")
    add_registry(parser)

    def run(arguments: argparse.Namespace) -> int:
        url = read_registry(arguments.registry).archive(arguments.name).urls[0]
        print(url)
        if local_path(url) is not None:
            hint = f"hub.load takes http(s) URLs and unpacked directories only: use `zoo fetch {arguments.name}`."
            print(hint, file=sys.stderr)
        return 0

    return run


def _is_wanted(name: str, registry: Registry, arguments: argparse.Namespace) -> bool:
    entry, patterns = registry.models[name], arguments.patterns
    words = [name, *entry.aliases]
    return (
        arguments.task in (None, entry.task)
        and (not patterns or any(fnmatchcase(word.lower(), each.lower()) for word in words for each in patterns))
        and (not arguments.built or entry.archive is not None or built_here(name, registry) is not None)
    )


def _none_text(arguments: argparse.Namespace, registry: Registry) -> str:
    """Return in a sentence why a list is empty."""
    if not registry.models:
        return f"{registry.place} holds no models yet."
    asked = [f"with a name like {' or '.join(map(repr, arguments.patterns))}"] if arguments.patterns else []
    asked += [f"of the task {arguments.task}"] if arguments.task else []
    asked += ["that is published or built here"] if arguments.built else []
    return f"{registry.place} has {counted(len(registry.models), 'model')}, none {', '.join(asked)}."


def _terminal_width() -> int | None:
    """Return the columns of the terminal; None where stdout is none, so that programs get all of a table."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _described(name: str, registry: Registry) -> dict[str, object]:
    entry = registry.models[name]
    matching = {"tokenizer": tokenizer} if (tokenizer := registry.tokenizer(name)) else {}
    build = {} if entry.archive else {"build": registry.fetch_command(name)}
    task = {"card": {"task": card.task.model_dump(mode="json")}} if (card := _text_card(name, registry)) else {}
    return {"name": name, **_known(entry), **matching, **build, **task, "urls": registry.urls(entry)}


def _known(entry: Entry) -> dict[str, object]:
    """Return the fields of a row that this version knows: an unknown one called "name" must not pass for the name."""
    return {field: value for field, value in to_record(entry).items() if field in Entry.model_fields}


def _row(name: str, registry: Registry) -> tuple[str, ...]:
    entry = registry.models[name]
    archive = _archive_text(name, registry)
    texts = (entry.family, entry.layers, entry.hidden_size, registry.tokenizer(name))
    kind = f"{entry.kind}: {entry.task}" if entry.task else entry.kind
    known = ("" if text is None else str(text) for text in texts)
    return (name, kind, *known, archive, entry.licence, _description(entry))


def _description(entry: Entry) -> str:
    """Return what a model is for, in the language of the terminal if the row has it."""
    return (entry.description_zh if in_chinese() else "") or entry.description


def _facts(name: str, registry: Registry) -> dict[str, str]:
    entry = registry.models[name]
    archive = entry.archive
    texts = {field: text for field, value in _known(entry).items() if (text := _text(value))}
    cached = _cached(name, registry)
    return {
        "name": name,
        **{field.replace("_", " "): text for field, text in texts.items()},
        "tokenizer": registry.tokenizer(name) or "",
        "facts": "\n".join(entry.facts),
        **_task_facts(entry, _text_card(name, registry)),
        "made from": _derivation_text(entry),
        "archive": _archive_text(name, registry) + (f", sha256 {archive.sha256}" if archive and archive.sha256 else ""),
        "urls": "\n".join(registry.urls(entry)),
        "cached": str(cached) if cached else "",
        "sources": "\n".join(map(_source_text, registry.models[origin(name, registry.models)].sources)),
        "to build": "" if archive or cached else registry.fetch_command(name),
        "formerly": "\n".join(f"{each.url} {published_size(each)}".rstrip() for each in entry.history),
    }


def _cached(name: str, registry: Registry) -> Path | None:
    """Return the directory of a model in the cache, fetched or built there, if there is one."""
    archive = registry.models[name].archive
    if archive is None or archive.sha256 is None:
        return built_here(name, registry)
    place = cache_directory() / archive.sha256
    return place if place.is_dir() else None


def _text_card(name: str, registry: Registry) -> TextCard | None:
    """Return the card of a text archive if it is on this machine, in the cache or beside the registry."""
    entry = registry.models[name]
    if entry.task is None:
        return None
    card: Card | None = None
    with suppress(BadArchive, OSError):
        if (cached := _cached(name, registry)) is not None:
            card = read_card(cached)
        elif entry.archive and (beside := local_path(registry.urls(entry)[0])) is not None:
            card = parse_card(packed_card(beside), str(beside))
    return card if isinstance(card, TextCard) else None


def _task_facts(entry: Entry, card: TextCard | None) -> dict[str, str]:
    """Return what people choose and call a text archive by, as its card says; without a card, its row."""
    if entry.task not in TASKS:
        return {}
    takes = TASKS[entry.task].takes
    facts = {"takes": "texts or pairs" if takes == "both" else takes}
    if card is None:
        return {**facts, "prompts": _prompts_text((entry.recipe and entry.recipe.prompts) or {}, None)}
    task = card.task
    shown = [*task.labels[:_SHOWN], *([f"and {len(task.labels) - _SHOWN:,} more"] if task.labels[_SHOWN:] else [])]
    return {
        **facts,
        **({"pooling": f"{task.pooling}, normalised"} if task.normalize else {}),
        "labels": ", ".join(shown),
        "scores": task.scores if task.labels else "",
        "prompts": _prompts_text(task.prompts, task.default_prompt),
    }


def _prompts_text(prompts: Mapping[str, str], default: str | None) -> str:
    lines = {name: f"{name}: {prompt!r}" for name, prompt in prompts.items() if prompt}
    return "\n".join(line + (", before every text" if name == default else "") for name, line in lines.items())


def _text(value: object) -> str:
    """Return a value as '21,128', or 'zh, en' for a list; '' for an object, which has a line of its own in `_facts`."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value) if isinstance(value, str | float) else ""


def _derivation_text(entry: Entry) -> str:
    if entry.derivation is None:
        return ""
    layers = f"{entry.derivation.layers} layers of " if entry.derivation.layers else ""
    return f"{layers}{entry.derivation.parent}"


def _source_text(source: Source) -> str:
    if isinstance(source, UrlSource):
        return source.url
    return source.text if isinstance(source, NoteSource) else source.page


def _archive_text(name: str, registry: Registry) -> str:
    entry = registry.models[name]
    if entry.archive is None:
        return "built here" if built_here(name, registry) else "not built"
    texts = [size(entry.archive.size)] if entry.archive.size is not None else []
    return ", ".join([*texts, *([] if entry.archive.sha256 else ["unverified"])])
