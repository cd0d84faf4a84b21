"""The commands `zoo build` and `zoo add`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import get_args

from export.command import Run
from export.options import EncoderOptions, add_options, request_from
from export.release.add import Addition, Kind, add_model, plan_addition
from export.release.build import build_steps, write_catalogue
from export.release.builder import Job
from export.release.dry_run import dry_run
from export.release.plan import make_steps
from export.release.report import BuildReport, read_report
from export.release.sources import Shelf
from zoo.archive.card import to_json
from zoo.basics.extras import versions_of
from zoo.basics.files import check_directory
from zoo.commands.common import add_json, add_registry
from zoo.contract import ONNX, REGISTRY_FILE, VECTOR
from zoo.errors import BadArgument
from zoo.fetching.registries import read_registry
from zoo.registry.registry import PACKAGED
from zoo.registry.writing import own_registry

# Form that `--with` adds -> packages of its extra, which has the same name.
FORMS = {"onnx": ("onnx", "onnxruntime", "tf2onnx", "tokenizers")}


def build_command(parser: argparse.ArgumentParser) -> Run:
    """Build models of the registry from their published checkpoints: archives, a registry and a page of them.

    zoo build albert_tiny --out dist
    zoo build --all --out dist --jobs 4
    zoo build bge_small_zh --with onnx --out dist
    """
    parser.add_argument("names", nargs="*", metavar="NAME", help="models, by name or alias, and their tokenizers")
    parser.add_argument("--all", action="store_true", help="every model of the registry")
    _add_out(parser)
    parser.add_argument("--sources", type=Path, metavar="DIR", help="checkpoints that are here already, by usual names")
    add_registry(parser)
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="so many at a time, each in a process")
    add_options(parser, EncoderOptions, "build_help")
    parser.add_argument(
        "--with",
        dest="forms",
        action="append",
        choices=sorted(FORMS),
        default=[],
        help="also NAME_onnx of each text archive of vectors, for zoo.lite; needs the extra 'onnx'",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done; nothing is fetched or written"
    )
    add_json(parser)
    return _run_build


def add_command(parser: argparse.ArgumentParser) -> Run:
    """Make a registry row and an archive of a checkpoint, with its tokenizer.

    zoo add hfl/rbt3 --name rbt3 --out dist
    zoo add BAAI/bge-small-zh-v1.5 --name vectors --out dist
    zoo add checkpoint.zip --name mine --out dist --layers 3
    """
    parser.add_argument(
        "checkpoint", metavar="PATH_OR_URL_OR_HF_ID", help="what `zoo export` takes, a URL of it, or owner/repository"
    )
    parser.add_argument("--name", required=True, help="name of the row and the archive")
    _add_out(parser)
    add_options(parser, EncoderOptions)
    parser.add_argument("--kind", choices=get_args(Kind), help="without it, what the checkpoint is for")
    parser.add_argument("--no-tokenizer", action="store_true", help="export no tokenizer where none fits")
    parser.add_argument("--dry-run", action="store_true", help="print the weight plan; nothing is fetched or written")
    add_json(parser)
    return _run_add


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="gets archives, registry.json, a page")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _run_build(arguments: argparse.Namespace) -> int:
    if bool(arguments.names) == arguments.all:
        raise BadArgument("zoo build takes names of models, or --all; `zoo list` shows them.")
    registry = read_registry(arguments.registry or os.environ.get("ZOO_REGISTRY") or PACKAGED)
    steps = make_steps(registry, None if arguments.all else arguments.names)
    if arguments.sources and not arguments.sources.is_dir():
        raise BadArgument(f"--sources {arguments.sources} is no directory.")
    if not arguments.dry_run:
        check_directory(arguments.out)
    for form in arguments.forms:
        versions_of(FORMS[form], f"`zoo build --with {form}`", form)
    done, of_encoders = read_report(arguments.out).rows, request_from(arguments, EncoderOptions)
    job = Job(registry.models, arguments.out, Shelf(arguments.sources), done, of_encoders)
    if arguments.dry_run:
        foreseen = dry_run(steps, job, arguments.jobs, "onnx" in arguments.forms)
        print(to_json(foreseen.to_dict()).rstrip() if arguments.json else foreseen)
        return 0
    report = build_steps(steps, registry, job, jobs=arguments.jobs)
    if "onnx" in arguments.forms:
        _publish_onnx(report, arguments.out)
    return _finish(report, arguments)


def _publish_onnx(report: BuildReport, out: Path) -> None:
    """Write the conversion of each text archive of vectors of the last run, one line about each to stderr."""
    from export.convert.published import publish_onnx

    rows = own_registry(out / REGISTRY_FILE).models if (out / REGISTRY_FILE).exists() else {}
    made = [name for name in report.run if report.rows[name].outcome != "failed"]
    names = [name for name in made if name in rows and rows[name].task == VECTOR]
    for name in names:
        row = publish_onnx(name, out)
        said = f"{out / name}{ONNX}.tar.gz: " + ("made of the same archive before" if row is None else "verified")
        print(said, file=sys.stderr)
    if not names:
        print("--with onnx: none of these is a text archive of vectors.", file=sys.stderr)


def _run_add(arguments: argparse.Namespace) -> int:
    from export.planning import check_name

    check_name(arguments.name)
    options, no_tokenizer = request_from(arguments, EncoderOptions), arguments.no_tokenizer
    addition = Addition(arguments.checkpoint, arguments.name, arguments.out, options, no_tokenizer, arguments.kind)
    if not arguments.dry_run:
        check_directory(arguments.out)
        return _finish(add_model(addition), arguments)
    if isinstance(planned := plan_addition(addition), str):
        print(f"{planned} is not on this machine. Once it was fetched, --dry-run says what becomes of it.")
        return 0
    print(to_json(planned.to_dict()).rstrip() if arguments.json else planned)
    planned.plan.checked(f"{arguments.name} (family {planned.family.name})")
    return 0


def _finish(report: BuildReport, arguments: argparse.Namespace) -> int:
    print(to_json(report.model_dump(mode="json")).rstrip() if arguments.json else report)
    if problem := write_catalogue(arguments.out):
        print(problem, file=sys.stderr)
    return 2 if report.failed else 0
