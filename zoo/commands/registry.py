"""`zoo registry check|format|table`: for those who keep a registry.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.basics.display import counted
from zoo.commands.common import Run, add_actions, add_json, add_registry, print_json
from zoo.errors import BadRegistry
from zoo.fetching.registries import read_registry
from zoo.registry.check import check_registry, format_registry
from zoo.registry.registry import PACKAGED
from zoo.registry.table import markdown_table


def registry_command(parser: argparse.ArgumentParser) -> Run:
    """Check a registry.json, write it in its one form, print its table of models.

    zoo registry check registry.json
    zoo registry format registry.json
    """
    return add_actions(parser, {"check": _check, "format": _format, "table": _table})


def _check(parser: argparse.ArgumentParser) -> Run:
    """Look for everything that is wrong with a registry, its schema and the pages that hold its table."""
    _add_file(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        problems, notes = check_registry(arguments.file)
        if arguments.json:
            print_json({"file": str(arguments.file), "problems": problems, "notes": notes})
            return 2 if problems else 0
        lines = "".join(f"\n  {line}" for line in (*problems, *(f"note: {note}" for note in notes)))
        if problems:
            raise BadRegistry(f"{arguments.file} has {counted(len(problems), 'problem')}:{lines}")
        print(f"{arguments.file}: nothing is wrong{lines}")
        return 0

    return run


def _format(parser: argparse.ArgumentParser) -> Run:
    """Write a registry in its one form, and its schema and the tables of the pages beside it."""
    _add_file(parser)

    def run(arguments: argparse.Namespace) -> int:
        changed = format_registry(arguments.file)
        for name in changed:
            print(f"wrote {name}")
        if not changed:
            print(f"{arguments.file}: nothing has changed, it was written in its one form")
        return 0

    return run


def _table(parser: argparse.ArgumentParser) -> Run:
    """Print the table of models in Markdown."""
    parser.add_argument("--lang", choices=["en", "zh"], default="en")
    parser.add_argument("--short", action="store_true", help="a dozen models, without their other names")
    add_registry(parser)

    def run(arguments: argparse.Namespace) -> int:
        print(markdown_table(read_registry(arguments.registry), arguments.lang, arguments.short), end="")
        return 0

    return run


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", default=PACKAGED, help="else the packaged one")
