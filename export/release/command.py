"""`zoo build` and `zoo add`; TensorFlow is imported when there is something to export."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from export.command import Run, add_choices
from export.release.add import Addition, add_model
from export.release.build import build as build_steps, write_site
from export.release.builder import Job
from export.release.dry_run import dry_run
from export.release.plan import make_steps
from export.release.report import Report, read_report
from export.release.sources import Shelf
from zoo.archive.card import to_json
from zoo.commands.common import add_json, add_registry
from zoo.errors import BadArgument
from zoo.fetching.registries import read_registry
from zoo.registry.entry import NOT_STATED
from zoo.registry.registry import PACKAGED


def build(parser: argparse.ArgumentParser) -> Run:
    """Build models of the registry from their published checkpoints: archives, a registry and a page of them."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="models, by name or alias")
    parser.add_argument("--all", action="store_true", help="every model of the registry")
    _add_out(parser)
    parser.add_argument("--sources", type=Path, metavar="DIR", help="checkpoints that are here already, by usual names")
    add_registry(parser)
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="so many at a time, each in a process")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], default="float32", help="of every encoder"
    )
    parser.add_argument("--recompute", action="store_true", help="of every encoder, as `zoo export` has it")
    parser.add_argument("--keep-going", action="store_true", help="go on with the others after one that failed")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done; nothing is fetched or written"
    )
    add_json(parser)
    return _run_build


def add(parser: argparse.ArgumentParser) -> Run:
    """Make a registry row and an archive of a checkpoint, with its tokenizer."""
    parser.add_argument(
        "checkpoint", metavar="PATH_OR_URL_OR_HF_ID", help="what `zoo export` takes, a URL of it, or owner/repository"
    )
    parser.add_argument("--name", required=True, help="name of the row and the archive")
    _add_out(parser)
    parser.add_argument("--licence", default=NOT_STATED, help="licence of the weights, for card and registry")
    parser.add_argument("--no-tokenizer", action="store_true", help="export no tokenizer where none fits")
    add_choices(parser)
    add_json(parser)
    return _run_add


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="gets archives, registry.json, a page")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _run_build(options: argparse.Namespace) -> int:
    if bool(options.names) == options.all:
        raise BadArgument("zoo build takes names of models, or --all; `zoo list` shows them.")
    registry = read_registry(options.registry or os.environ.get("ZOO_REGISTRY") or PACKAGED)
    steps = make_steps(registry, None if options.all else options.names)
    words = (*(("--dtype", options.dtype) if options.dtype != "float32" else ()), *["--recompute"] * options.recompute)
    if options.sources and not options.sources.is_dir():
        raise BadArgument(f"--sources {options.sources} is no directory.")
    job = Job(registry.models, options.out, Shelf(options.sources), read_report(options.out).rows, words)
    if options.dry_run:
        foreseen = dry_run(steps, job, options.jobs)
        print(to_json(foreseen.to_dict()).rstrip() if options.json else foreseen)
        return 0
    return _finish(build_steps(steps, registry, job, jobs=options.jobs, keep_going=options.keep_going), options)


def _run_add(options: argparse.Namespace) -> int:
    chosen = {name: value for name, value in vars(options).items() if name in Addition.__dataclass_fields__}
    return _finish(add_model(Addition(**chosen)), options)


def _finish(report: Report, options: argparse.Namespace) -> int:
    print(to_json(report.model_dump(mode="json")).rstrip() if options.json else report)
    if problem := write_site(options.out):
        print(problem, file=sys.stderr)
    return 2 if report.failed else 0
