"""`zoo cache list|verify|clean`: lists, checks and removes fetched models."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone

from zoo.basics.display import counted, size, table
from zoo.commands.common import Run, add_actions, add_json, print_json
from zoo.errors import UnknownModel
from zoo.fetching.cache import Kept, checkpoints, damage, kept, leftovers, remove, size_of
from zoo.fetching.places import cache_directory

_DAY = 86_400  # seconds


def cache_command(parser: argparse.ArgumentParser) -> Run:
    """Show, check and remove fetched models.

    zoo cache list
    zoo cache verify
    """
    return add_actions(parser, {"list": _list, "verify": _verify, "clean": _clean})


def _list(parser: argparse.ArgumentParser) -> Run:
    """Show the models in the cache."""
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        root = cache_directory()
        models, rest, sources = kept(root), leftovers(root), checkpoints(root)
        if arguments.json:
            others = {"leftovers": rest, "checkpoints": sources}
            sized = {
                what: [{"path": str(path), "size": size_of(path)} for path in paths] for what, paths in others.items()
            }
            print_json({"directory": str(root), "models": [_record(model) for model in models], **sized})
            return 0
        if models:
            rows = [(*_row(model), _day(model.used), "damaged" if model.problem else "") for model in models]
            print(table(("name", "kind", "size", "sha256", "used", ""), rows))
        print(f"{root} holds {_amount('model', [model.size for model in models])}.", file=sys.stderr)
        if rest:
            amount = _amount("leftover", [size_of(path) for path in rest])
            print(f"{amount}, of runs that ended early: `zoo cache clean` removes leftovers.", file=sys.stderr)
        if sources:
            amount = _amount("checkpoint", [size_of(path) for path in sources])
            print(f"{amount}, to build models from: `zoo cache clean --sources` removes them.", file=sys.stderr)
        return 0

    return run


def _verify(parser: argparse.ArgumentParser) -> Run:
    """Compare every file of every model with its card; change nothing. Exit code 2 if a model is damaged."""
    _add_models(parser)
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        models = [_checked(model) for model in _chosen(kept(cache_directory()), arguments.models)]
        damaged = [model for model in models if model.problem]
        if arguments.json:
            print_json([_record(model) for model in models])
        elif models:
            rows = [(*_row(model), "damaged" if model.problem else "whole") for model in models]
            print(table(("name", "kind", "size", "sha256", ""), rows))
        for model in damaged:
            print(f"zoo: BadArchive: {model.problem}", file=sys.stderr)
        if damaged:
            short = " ".join(model.sha256[:12] for model in damaged)
            print(
                f"`zoo cache clean {short}` removes the damaged models; they are fetched again on use.", file=sys.stderr
            )
        return 2 if damaged else 0

    return run


def _clean(parser: argparse.ArgumentParser) -> Run:
    """Remove the leftovers of runs that ended early and, if asked for, models."""
    _add_models(parser)
    parser.add_argument("--older-than", metavar="DAYS", type=float, help="models that were not used for DAYS days")
    parser.add_argument("--all", action="store_true", help="every model")
    parser.add_argument("--sources", action="store_true", help="the checkpoints that models were built from")
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed and remove nothing")
    add_json(parser)

    def run(arguments: argparse.Namespace) -> int:
        root, models = cache_directory(), kept(cache_directory())
        chosen = _chosen(models, arguments.models)
        if arguments.older_than is not None:
            chosen = [model for model in chosen if model.used < time.time() - arguments.older_than * _DAY]
        elif not (arguments.models or arguments.all):
            chosen = []
        doomed = {model.path: model.name for model in chosen} | dict.fromkeys(leftovers(root), "leftover")
        doomed |= dict.fromkeys(checkpoints(root) if arguments.sources else (), "checkpoint")
        sizes = {path: size_of(path) for path in doomed}
        busy = [] if arguments.dry_run else [path for path in doomed if not remove(path)]
        gone = [path for path in doomed if path not in busy]
        if arguments.json:
            records = [{"path": str(path), "name": doomed[path], "size": sizes[path]} for path in gone]
            print_json({"dry_run": arguments.dry_run, "removed": records, "in_use": [str(path) for path in busy]})
            return 0
        for path in gone:
            done = "would remove" if arguments.dry_run else "removed"
            print(f"{done} {doomed[path]}, {size(sizes[path])}: {path}")
        for path in busy:
            print(f"left {path}: another process works on it.", file=sys.stderr)
        if not doomed:
            print(f"{root} has nothing to remove; {_ask(arguments, models)}", file=sys.stderr)
        return 0

    return run


# -- shared by list, verify and clean -----------------------------------------------------------------------------


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        metavar="NAME|SHA256",
        nargs="*",
        help="as `zoo cache list` shows them; 8 characters of a sha256 are enough",
    )


def _chosen(models: Sequence[Kept], wanted: Sequence[str]) -> list[Kept]:
    """Return the models with the wanted names or digests; all models if `wanted` is empty."""
    found = {word: [model for model in models if _is(model, word)] for word in wanted}
    if missing := [word for word, those in found.items() if not those]:
        names = ", ".join(sorted({model.name for model in models})) or "nothing"
        raise UnknownModel(f"not in {cache_directory()}: {', '.join(map(repr, missing))}. It holds {names}.")
    return [model for model in models if not wanted or any(model in those for those in found.values())]


def _is(model: Kept, word: str) -> bool:
    return word == model.name or (len(word) >= 8 and model.sha256.startswith(word.lower()))


def _checked(model: Kept) -> Kept:
    """Return the model with the problem of its files, after reading all of their bytes."""
    return replace(model, problem=str(damage(model.path, thorough=True) or ""))


def _record(model: Kept) -> dict[str, object]:
    used = datetime.fromtimestamp(model.used, timezone.utc).isoformat(timespec="seconds")
    facts = {"name": model.name, "kind": model.kind, "sha256": model.sha256, "path": str(model.path)}
    return {**facts, "size": model.size, "used": used, "problem": model.problem or None}


def _row(model: Kept) -> tuple[str, str, str, str]:
    return (model.name, model.kind, size(model.size), model.sha256[:12])


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")


def _ask(arguments: argparse.Namespace, models: Sequence[Kept]) -> str:
    """Return what of the cache stays, and by which option it would go."""
    if not models or arguments.models or arguments.all:
        return f"it holds {counted(len(models), 'model')}."
    return f"its {counted(len(models), 'model')} stay: --all or --older-than DAYS removes models."


def _amount(noun: str, sizes: Sequence[int]) -> str:
    return f"{counted(len(sizes), noun)}, {size(sum(sizes))}"
