"""`zoo wheel`: models as wheels, for networks in which pip has an index and nothing else comes through."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.basics.display import size, table
from zoo.commands.common import Run, add_json, add_registry, print_json
from zoo.publishing.wheels import wheels


def wheel_command(parser: argparse.ArgumentParser) -> Run:
    """Write models, each with its tokenizer, as wheels that pip installs and `zoo.load` then finds by name.

    zoo wheel albert_tiny --out wheels --index
    """
    parser.add_argument("names", metavar="NAME", nargs="+")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True)
    parser.add_argument("--version", metavar="V", help="of the wheels; today's date, or that of SOURCE_DATE_EPOCH")
    parser.add_argument("--index", action="store_true", help="write DIR/simple too, which pip takes as --index-url")
    parser.add_argument("--dry-run", action="store_true", help="show what would be written; fetch and write nothing")
    add_registry(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        written = wheels(
            arguments.names,
            arguments.out,
            version=arguments.version,
            index=arguments.index,
            registry=arguments.registry,
            dry_run=arguments.dry_run,
        )
        if arguments.json:
            facts = [
                {"file": str(wheel.file), "names": wheel.names, "requirement": wheel.requirement}
                | (wheel.digest.model_dump() if wheel.digest else {})
                for wheel in written
            ]
            print_json(facts)
            return 0
        rows = [
            (wheel.file.name, " ".join(wheel.names), size(wheel.digest.size) if wheel.digest else "")
            for wheel in written
        ]
        print(table(("wheel", "models", "size"), rows))
        if not arguments.dry_run:
            print("\nFor a requirements file:\n" + "\n".join(wheel.requirement for wheel in written))
        return 0

    return run
