"""`zoo list`, `zoo info`, `zoo url`: what a registry says of its models."""

from __future__ import annotations

import argparse
import sys

from zoo.basics.display import in_chinese, sheet, size, table
from zoo.basics.urls import local_path
from zoo.commands.common import Run, add_json, add_registry, print_json
from zoo.fetching.building import built_here
from zoo.fetching.cache import cache_directory
from zoo.fetching.registries import read_registry
from zoo.registry.entry import Entry, NoteSource, Source, UrlSource
from zoo.registry.recipes import origin
from zoo.registry.registry import Registry, to_record
from zoo.registry.table import published_size


def list_command(parser: argparse.ArgumentParser) -> Run:
    """Show every model of the registry.

    zoo list
    zoo list --json
    """
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = read_registry(arguments.registry)
        if arguments.json:
            print_json({name: _described(name, registry) for name in registry.names()})
        elif registry.models:
            header = ("name", "kind", "family", "layers", "hidden", "tokenizer", "archive", "for")
            print(table(header, [_row(name, registry) for name in registry.names()]))
        else:
            print(f"{registry.place} holds no models yet.", file=sys.stderr)
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


def _described(name: str, registry: Registry) -> dict[str, object]:
    entry = registry.models[name]
    matching = {"tokenizer": tokenizer} if (tokenizer := registry.tokenizer(name)) else {}
    build = {} if entry.archive else {"build": registry.fetch_command(name)}
    return {"name": name, **_known(entry), **matching, **build, "urls": registry.urls(entry)}


def _known(entry: Entry) -> dict[str, object]:
    """Return the fields of a row that this version knows: an unknown one called "name" must not pass for the name."""
    return {field: value for field, value in to_record(entry).items() if field in Entry.model_fields}


def _row(name: str, registry: Registry) -> tuple[str, ...]:
    entry = registry.models[name]
    archive = _archive_text(entry)
    texts = (entry.family, entry.layers, entry.hidden_size, registry.tokenizer(name))
    return (name, entry.kind, *("" if text is None else str(text) for text in texts), archive, _description(entry))


def _description(entry: Entry) -> str:
    """Return what a model is for, in the language of the terminal if the row has it."""
    return (entry.description_zh if in_chinese() else "") or entry.description


def _facts(name: str, registry: Registry) -> dict[str, str]:
    entry = registry.models[name]
    archive = entry.archive
    texts = {field: text for field, value in _known(entry).items() if (text := _text(value))}
    cached = cache_directory() / archive.sha256 if archive and archive.sha256 else built_here(name, registry)
    return {
        "name": name,
        **{field.replace("_", " "): text for field, text in texts.items()},
        "tokenizer": registry.tokenizer(name) or "",
        "facts": "\n".join(entry.facts),
        "made from": _derivation_text(entry),
        "archive": _archive_text(entry) + (f", sha256 {archive.sha256}" if archive and archive.sha256 else ""),
        "urls": "\n".join(registry.urls(entry)),
        "cached": str(cached) if cached and cached.is_dir() else "",
        "sources": "\n".join(map(_source_text, registry.models[origin(name, registry.models)].sources)),
        "to build": "" if archive or cached else registry.fetch_command(name),
        "formerly": "\n".join(f"{each.url} {published_size(each)}".rstrip() for each in entry.history),
    }


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


def _archive_text(entry: Entry) -> str:
    if entry.archive is None:
        return "not built"
    texts = [size(entry.archive.size)] if entry.archive.size is not None else []
    return ", ".join([*texts, *([] if entry.archive.sha256 else ["unverified"])])
