"""The command line, `zoo` or `python -m zoo`: arguments in, printed lines and an exit code out.

A further command is an entry point of the group `zoo.commands`, a function `register(parser) -> run` that adds its
arguments to its own parser and returns what then runs: `run(arguments) -> exit code`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import zoo
from zoo.archive import unpack
from zoo.cache import cache_directory, fetch
from zoo.card import to_json
from zoo.display import sheet, size, table
from zoo.download import local_path
from zoo.errors import ZooError
from zoo.quiet import import_tensorflow_quietly
from zoo.registry import Registry, read_registry, to_record

if TYPE_CHECKING:
    from zoo.verify import Report

Run = Callable[[argparse.Namespace], int]
Register = Callable[[argparse.ArgumentParser], Run]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for every error a person can act on, 130 for Ctrl-C."""
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
    except OSError as error:
        print(f"zoo: {type(error).__name__}: {error}", file=sys.stderr)
        return 2


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Run]:
    parser = argparse.ArgumentParser(prog="zoo", description="BERT-family models as TF2 SavedModels, by name.")
    parser.add_argument("--version", action="version", version=f"zoo {zoo.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((word for word in argv if not word.startswith("-")), None)
    runs: dict[str, Run] = {}
    for name, register in _COMMANDS.items():
        text = (register.__doc__ or "").strip()
        runs[name] = register(commands.add_parser(name, help=text, description=text))
    for point in _further_commands():
        own = commands.add_parser(point.name, help=f"see `zoo {point.name} --help` (from {point.module})")
        if point.name == asked:
            runs[point.name] = _loaded(point)(own)
    arguments = parser.parse_args(argv)
    return arguments, runs[arguments.command]


def _further_commands() -> list[EntryPoint]:
    found = {point.name: point for point in entry_points(group="zoo.commands") if point.name not in _COMMANDS}
    return [found[name] for name in sorted(found)]


def _loaded(point: EntryPoint) -> Register:
    try:
        register: Register = point.load()
    except (ImportError, AttributeError) as error:
        raise ZooError(f"`zoo {point.name}` is {point.value}, which cannot be imported: {error}.") from error
    return register


# -- commands: each adds its arguments and returns what runs --------------------------------------------------------


def _list(parser: argparse.ArgumentParser) -> Run:
    """Show every model of the registry."""
    _add_registry(parser)
    _add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = read_registry(arguments.registry)
        if arguments.json:
            _print_json({name: _described(name, registry) for name in registry.names()})
        elif registry.models:
            header = ("name", "kind", "family", "layers", "hidden", "tokenizer", "archive")
            print(table(header, [_row(name, registry) for name in registry.names()]))
        else:
            print(f"{registry.place} holds no models yet.", file=sys.stderr)
        return 0

    return run


def _info(parser: argparse.ArgumentParser) -> Run:
    """Show what one model is and where it lies."""
    parser.add_argument("name", metavar="NAME")
    _add_registry(parser)
    _add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = read_registry(arguments.registry)
        name = registry.canonical(arguments.name)
        if arguments.json:
            _print_json(_described(name, registry))
        else:
            print(sheet(_facts(name, registry)))
        return 0

    return run


def _url(parser: argparse.ArgumentParser) -> Run:
    """Print the absolute URL of a model, ready for hub.load."""
    parser.add_argument("name", metavar="NAME")
    _add_registry(parser)

    def run(arguments: argparse.Namespace) -> int:
        url = read_registry(arguments.registry).archive(arguments.name).urls[0]
        print(url)
        if local_path(url) is not None:
            hint = f"hub.load takes http(s) URLs and unpacked directories only: use `zoo fetch {arguments.name}`."
            print(hint, file=sys.stderr)
        return 0

    return run


def _fetch(parser: argparse.ArgumentParser) -> Run:
    """Fetch and verify models; print their unpacked directories, ready for hub.load."""
    parser.add_argument("names", metavar="NAME", nargs="+")
    _add_registry(parser)
    _add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        registry = read_registry(arguments.registry)
        for name in arguments.names:
            registry.archive(name)  # a wrong name is told before anything is fetched
        paths = {}
        for name in arguments.names:
            paths[name] = str(fetch(name, registry))
            if not arguments.json:
                print(paths[name], flush=True)
        if arguments.json:
            _print_json(paths)
        return 0

    return run


def _verify(parser: argparse.ArgumentParser) -> Run:
    """Check every file of a model and repeat its certificate on this machine."""
    parser.add_argument("model", metavar="NAME|DIR|TAR.GZ")
    _add_registry(parser)
    _add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        import_tensorflow_quietly()
        report = _verified(arguments.model, arguments.registry)
        if arguments.json:
            _print_json(report.to_dict())
        else:
            print(report)
        return 0

    return run


_COMMANDS: dict[str, Register] = {"list": _list, "info": _info, "url": _url, "fetch": _fetch, "verify": _verify}


# -- what they share ----------------------------------------------------------------------------------------------


def _add_registry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry", metavar="PATH_OR_URL", help="another registry.json than ZOO_REGISTRY or the packaged one"
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def _print_json(value: object) -> None:
    print(to_json(value), end="")


def _described(name: str, registry: Registry) -> dict[str, object]:
    entry = registry.models[name]
    matching = {"tokenizer": tokenizer} if (tokenizer := registry.tokenizer(name)) else {}
    return {"name": name, **to_record(entry), **matching, "urls": registry.urls(entry)}


def _row(name: str, registry: Registry) -> tuple[str, ...]:
    entry = registry.models[name]
    archive = size(entry.archive.size) if entry.archive else "not built"
    texts = (entry.family, entry.layers, entry.hidden_size, registry.tokenizer(name))
    return (name, entry.kind, *("" if text is None else str(text) for text in texts), archive)


def _facts(name: str, registry: Registry) -> dict[str, str]:
    entry = registry.models[name]
    archive = entry.archive
    facts = {field: value for field, value in to_record(entry).items() if field not in ("archive", "aliases")}
    texts = {field: f"{value:,}" if isinstance(value, int) else value for field, value in facts.items()}
    cached = cache_directory() / archive.sha256 if archive else None
    return {
        "name": name,
        **{field.replace("_", " "): text for field, text in texts.items()},
        "tokenizer": registry.tokenizer(name) or "",
        "aliases": ", ".join(entry.aliases),
        "archive": f"{size(archive.size)}, sha256 {archive.sha256}" if archive else "not built",
        "urls": "\n".join(registry.urls(entry)),
        "cached": str(cached) if cached and cached.is_dir() else "",
    }


def _verified(model: str, place: str | None) -> Report:
    from zoo.verify import verify  # brings numpy and later TensorFlow, which `zoo list` has no use for

    path = Path(model)
    if path.is_dir():
        return verify(path)
    if path.is_file():
        with tempfile.TemporaryDirectory() as temporary:
            unpack(path, Path(temporary) / "model")
            return verify(Path(temporary) / "model")
    return verify(fetch(model, read_registry(place), thorough=True))


if __name__ == "__main__":
    sys.exit(main())
