"""What several commands share: their type, the arguments that mean the same everywhere, JSON on stdout."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping
from textwrap import dedent, indent
from typing import Any

from zoo.archive.card import to_json

Run = Callable[[argparse.Namespace], int]
Register = Callable[[argparse.ArgumentParser], Run]


def add_all(actions: Any, registers: Mapping[str, Register]) -> dict[str, Run]:
    """Add a parser for every name of a table to what `add_subparsers` gave; return the functions to run, by name.

    The first paragraph of a function's docstring is the command's help, and what follows are examples of it.
    """
    runs = {}
    for name, register in registers.items():
        text, _, examples = inspect.cleandoc(register.__doc__ or "").partition("\n\n")
        parser = actions.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        runs[name] = register(parser)
        shown = [f"examples:\n{indent(dedent(examples), '  ')}"] if examples else []
        parser.epilog = "\n\n".join(filter(None, [parser.epilog, *shown])) or None
    return runs


def add_actions(parser: argparse.ArgumentParser, registers: Mapping[str, Register]) -> Run:
    """Give a command actions of its own, as `zoo cache list` has; return what runs the action that was asked for."""
    runs = add_all(parser.add_subparsers(dest="action", required=True, metavar="|".join(registers)), registers)
    return lambda arguments: runs[arguments.action](arguments)


def add_registry(parser: argparse.ArgumentParser) -> None:
    """Add --registry, which `read_registry` takes as it is."""
    parser.add_argument(
        "--registry", metavar="PATH_OR_URL", help="another registry.json than ZOO_REGISTRY or the packaged one"
    )


def add_unverified(parser: argparse.ArgumentParser) -> None:
    """Add --allow-unverified."""
    parser.add_argument(
        "--allow-unverified", action="store_true", help="take a model of the registry that has no recorded sha256 too"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def print_json(value: object) -> None:
    """Print a value in the project's one JSON form."""
    print(to_json(value), end="")
