"""What several commands share: their type, the arguments that mean the same everywhere, JSON on stdout."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from zoo.archive.card import to_json

Run = Callable[[argparse.Namespace], int]
Register = Callable[[argparse.ArgumentParser], Run]


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
