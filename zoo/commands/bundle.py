"""`zoo bundle` packs models into one file for a machine without network; `zoo install` makes names known there."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from zoo.archive.digests import sha256_and_size
from zoo.basics.display import size, table
from zoo.commands.common import Run, add_json, add_registry, print_json
from zoo.fetching import bundles
from zoo.fetching.building import with_built
from zoo.fetching.installing import installed_rows
from zoo.fetching.registries import read_registry
from zoo.registry.entry import Entry


def bundle_command(parser: argparse.ArgumentParser) -> Run:
    """Pack models, with the tokenizers of encoders, into one file for a machine without network.

    zoo bundle albert_tiny --out albert.tar
    """
    parser.add_argument("names", metavar="NAME", nargs="+")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    parser.add_argument("--dry-run", action="store_true", help="show what would be in it; fetch and write nothing")
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = with_built(read_registry(arguments.registry), arguments.names, build=not arguments.dry_run)
        entries = bundles.bundled_entries(arguments.names, registry)
        if not arguments.dry_run:
            bundles.write_bundle(entries, registry, arguments.out)
        if arguments.json:
            written = {} if arguments.dry_run else sha256_and_size(arguments.out).model_dump()
            print_json({"file": str(arguments.out), "names": list(entries), **written})
        else:
            print(_listing(entries))
        return 0

    return run


def install_command(parser: argparse.ArgumentParser) -> Run:
    """Make the names of a bundle, an archive, or a directory with a registry.json known on this machine.

    zoo install albert.tar
    zoo install dist
    """
    parser.add_argument("file", metavar="FILE|DIR", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="check the file and show what is in it; write nothing")
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        rows = installed_rows(arguments.file, dry_run=arguments.dry_run)
        if arguments.json:
            print_json({"file": str(arguments.file), "names": sorted(rows)})
        else:
            print(_listing(rows))
        if place := os.environ.get("ZOO_REGISTRY"):
            print(f"These names are not used while ZOO_REGISTRY is set; it is {place}.", file=sys.stderr)
        return 0

    return run


def _listing(entries: dict[str, Entry]) -> str:
    rows = [
        (name, entry.kind, entry.tokenizer or "", size(entry.archive.size or 0) if entry.archive else "")
        for name, entry in sorted(entries.items())
    ]
    return table(("name", "kind", "tokenizer", "size"), rows)
