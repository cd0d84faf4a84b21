"""The command line, `zoo` or `python -m zoo`: arguments in, an exit code out. The commands are in zoo/commands/.

A further command is an entry point of the group `zoo.commands`: a function of the same form, `register(parser) -> run`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import EntryPoint, entry_points

from zoo.basics.display import PrintableStream
from zoo.commands import COMMANDS, HAND_ON
from zoo.commands.common import Register, Run, add_all
from zoo.errors import ZooError, first_line
from zoo.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for every error a person can act on, 130 for Ctrl-C.

    Whatever it prints, and whatever is logged meanwhile, holds nothing that steers a terminal.
    """
    with redirect_stdout(PrintableStream(sys.stdout)), redirect_stderr(PrintableStream(sys.stderr)):
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    try:
        arguments, run = _parse(sys.argv[1:] if argv is None else argv)
        code = run(arguments)
        sys.stdout.flush()
        return code
    except ZooError as error:
        print(f"zoo: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `zoo list | head`; the interpreter would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # of a file that the person named, or a full disk
        print(f"zoo: {first_line(error)}.", file=sys.stderr)
        return 2


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Run]:
    asked = next((word for word in argv if not word.startswith("-")), None)
    parser, runs = command_parser(asked)
    words = list(argv)
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(2)
    cut = words.index("--") if asked in HAND_ON and "--" in words else len(words)
    arguments = parser.parse_args(words[:cut])
    arguments.handed_on = words[cut + 1 :]
    return arguments, runs[arguments.command]


def command_parser(asked: str | None = None) -> tuple[argparse.ArgumentParser, dict[str, Run]]:
    """Return the parser of all commands, and what runs each.

    Of the further commands only the one that is `asked` for is imported; without it all are, for the list of commands.
    """
    parser = argparse.ArgumentParser(prog="zoo", description="BERT-family models as TF2 SavedModels, by name.")
    parser.add_argument("--version", action="version", version=f"zoo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    runs = add_all(commands, COMMANDS)
    for point in _further_commands():
        try:
            if asked in (point.name, None):
                runs |= add_all(commands, {point.name: _loaded(point)})
            else:
                commands.add_parser(point.name)
        except ZooError as error:
            if asked:
                raise
            commands.add_parser(point.name, help=str(error))
    return parser, runs


def _further_commands() -> list[EntryPoint]:
    found = {point.name: point for point in entry_points(group="zoo.commands") if point.name not in COMMANDS}
    return [found[name] for name in sorted(found)]


def _loaded(point: EntryPoint) -> Register:
    try:
        register: Register = point.load()
    except (ImportError, AttributeError) as error:
        raise ZooError(f"`zoo {point.name}` is {point.value}, which cannot be imported: {error}.") from error
    return register


if __name__ == "__main__":
    sys.exit(main())
