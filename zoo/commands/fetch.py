"""`zoo fetch`: fetches or builds models into the cache and prints their directories."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zoo.commands.common import Run, add_json, add_registry, add_unverified, print_json
from zoo.fetching.places import model_name
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.registry.registry import Registry


def fetch_command(parser: argparse.ArgumentParser) -> Run:
    """Fetch models, or build those that are not published; print their unpacked directories, ready for hub.load.

    zoo fetch albert_tiny bert_tokenizer_chinese
    zoo fetch hf://BAAI/bge-small-zh-v1.5
    """
    parser.add_argument("handles", metavar="NAME|URL|TAR.GZ", nargs="+")
    parser.add_argument("--sha256", metavar="HEX", help="the sha256 that the archive must have; for one model")
    parser.add_argument(
        "--sources", metavar="DIR", type=Path, help="checkpoints that are here already, for models that are built"
    )
    add_unverified(parser)
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        if arguments.sha256 and len(arguments.handles) > 1:
            print("zoo: --sha256 belongs to one archive: fetch one model at a time with it.", file=sys.stderr)
            return 2
        registry = _registry(arguments.handles, arguments.registry)
        paths = {}
        for handle in arguments.handles:
            path = resolve(
                handle,
                registry=registry,
                sha256=arguments.sha256,
                allow_unverified=arguments.allow_unverified,
                thorough=True,
                sources=arguments.sources,
                requested=True,
            )
            paths[handle] = str(path)
            if not arguments.json:
                print(path, flush=True)
        if arguments.json:
            print_json(paths)
        return 0

    return run


def _registry(handles: list[str], place: str | None) -> Registry | None:
    """Return the registry if any handle is a name. Raises for a wrong name, before anything is fetched."""
    names = [name for handle in handles if (name := model_name(handle)) is not None]
    if not names:
        return None
    registry = read_registry(place)
    for name in names:
        registry.entry(name)
    return registry
