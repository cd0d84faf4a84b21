"""Measures this zoo beside every peer that can be installed; other commands write pages of measurements without peers.

    python -m benchmarks install                       # the peers' environments, once; `--only torch` makes one
    python -m benchmarks run                           # everything, into docs/
    python -m benchmarks run --quick --out trial       # minutes
    python -m benchmarks run --only inference,growth --models bert --continue
    python -m benchmarks report                        # page and plots again from benchmarks.json
    python -m benchmarks exports --out docs            # docs/exports.md: exports at true size; `exports bert --slots`
    python -m benchmarks converted --out docs          # docs/converted.md: what `zoo convert` makes
    python -m benchmarks tokenizers --out docs         # docs/tokenizer-numbers.md: tokenizers in one process
    python -m benchmarks wordpiece --out docs          # docs/wordpiece-numbers.md: every library's, and its ids
    python -m benchmarks vectors --out docs            # docs/text-numbers.md: text archives beside their encoder
    python -m benchmarks one_text --out docs           # docs/one-text-numbers.md: where the time of one text goes
    python -m benchmarks texts --out docs              # docs/vector-numbers.md: texts to vectors, beside peers
    python -m benchmarks exactness --out docs          # docs/exactness.md: how far peers are from the original
    python -m benchmarks corpus --out docs             # docs/embed-numbers.md: `zoo embed`; `--only spark` adds to it

A run writes OUT/NAME.json after every step, and page and plots at its end, also when it is interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, say
from benchmarks.cases import growth_cases, inference_cases
from benchmarks.goals import GOAL_CASES
from benchmarks.machine import BUSY, facts
from benchmarks.measure import FULL, QUICK, Effort
from benchmarks.models import MODELS
from benchmarks.peers import ENCODERS, GROWTH, HERE, NAMES, TOKENIZERS, TRAINERS, VENVS, NotInstalled, install
from benchmarks.report import page
from benchmarks.results import Results
from benchmarks.sections.archives import measure_archives
from benchmarks.sections.corpus import RUNS
from benchmarks.sections.exports import MODELS as EXPORTS
from benchmarks.sections.inference import measure_inference, measure_limit
from benchmarks.sections.loading import measure_loading
from benchmarks.sections.tokenizing import measure_tokenizers
from benchmarks.sections.training import measure_training
from benchmarks.sections.vectors import MODELS as VECTORS

NAME = "benchmarks"
SECTIONS = ("tokenizer", "archive", "load", "inference", "growth", "training")


def main() -> int:
    options = _arguments()
    status: int = options.act(options)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    venvs = argparse.ArgumentParser(add_help=False)
    venvs.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="where the peers' environments are")
    venvs.add_argument("--python", default=sys.executable, help="the interpreter that makes them")
    out = argparse.ArgumentParser(add_help=False)
    out.add_argument("--out", type=Path, default=HERE.parent / "docs", help="where JSON, page and plots go")
    out.add_argument("--name", default=NAME, help="of JSON and page: runs on another machine, or of other peers")
    out.add_argument("--notes", type=Path, help=f"Markdown to put into the page; default, of {NAME}: its notes")
    out.add_argument("--merge", type=Path, nargs="*", default=[], metavar="JSON", help="results of other runs")

    page = argparse.ArgumentParser(add_help=False)
    page.set_defaults(act=_page)
    page.add_argument("--out", type=Path, metavar="DIR", help="write the page there too")
    page.add_argument("--json", action="store_true", help="print the rows as JSON, not the page")
    page.add_argument("--work", type=Path, default=HERE / ".work" / "corpus", help="model, corpora, results; kept")

    beside = argparse.ArgumentParser(add_help=False, parents=[page, venvs])
    beside.add_argument("--peers", type=_list_of(NAMES), default=(), metavar="NAMES", help="default: all")

    environments = commands.add_parser("install", parents=[venvs], help="make the peers' environments")
    environments.set_defaults(act=_install)
    environments.add_argument("--only", type=_list_of(VENVS), default=VENVS, metavar="NAMES", help=", ".join(VENVS))
    report = commands.add_parser("report", parents=[out], help="write page and plots from the JSON that is there")
    report.set_defaults(act=_report)
    exports = commands.add_parser("exports", parents=[page], help="time, memory and size of exports at true size")
    exports.add_argument("model", nargs="*", choices=[[], *EXPORTS], help="all of them if none is named")
    exports.add_argument("--slots", action="store_true", help="checkpoints with Adam slots")
    corpus = commands.add_parser(
        "corpus", parents=[page], help="`zoo embed` on every engine and runtime, and a plain loop"
    )
    corpus.add_argument("--rows", type=int, default=100_000)
    corpus.add_argument("--only", choices=RUNS, nargs="*", default=RUNS)
    commands.add_parser("converted", parents=[page], help="what `zoo convert` makes")
    commands.add_parser("tokenizers", parents=[page], help="CPU time of tokenizers, in one process")
    wordpiece = commands.add_parser("wordpiece", parents=[page, venvs], help="every library's WordPiece, and its ids")
    wordpiece.add_argument("--texts", type=int, default=1_000_000)
    for name, what in (
        ("vectors", "text archives beside their encoder, in CPU time"),
        ("one_text", "where the time of one text goes"),
    ):
        seeded = commands.add_parser(name, parents=[page], help=what)
        seeded.add_argument("model", nargs="*", choices=[[], *VECTORS], help="all of them if none is named")
    texts = commands.add_parser("texts", parents=[beside], help="real sentences to vectors, beside peers")
    texts.add_argument("--rows", type=int, default=10_000, help="sentences of each language")
    commands.add_parser("exactness", parents=[beside], help="how far peers are from the original computation")
    run = commands.add_parser("run", parents=[venvs, out], help="measure")
    run.set_defaults(act=_run)
    run.add_argument(
        "--quick", action="store_true", help="few rounds, small batches, two threads, BERT of two layers: minutes"
    )
    run.add_argument("--goals", action="store_true", help="of inference only the cases that have a goal, two threads")
    run.add_argument("--only", type=_list_of(SECTIONS), default=SECTIONS, metavar="PARTS", help=", ".join(SECTIONS))
    run.add_argument("--models", type=_list_of(MODELS), metavar="NAMES", help=f"of {', '.join(MODELS)}")
    run.add_argument("--peers", type=_list_of(NAMES), default=(), metavar="NAMES", help=f"of {', '.join(NAMES)}")
    run.add_argument("--threads", type=lambda text: [*map(int, text.split(","))], metavar="COUNTS", help="1,2")
    run.add_argument("--budget", type=float, metavar="SECONDS", help="for one case, over all peers")
    run.add_argument("--work", type=Path, default=HERE / ".work", help="models and what peers make of them; kept")
    run.add_argument("--continue", dest="resume", action="store_true", help="measure only what OUT's JSON lacks")
    return parser.parse_args()


def _list_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    names = tuple(known)

    def read(text: str) -> tuple[str, ...]:
        given = tuple(text.split(","))
        unknown = [name for name in given if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(names)}")
        return given

    return read


def _install(options: argparse.Namespace) -> int:
    failed = 0
    for venv in options.only:
        try:
            print(install(venv, options.venvs, options.python))
        except NotInstalled as error:
            print(f"{venv} does not install: {error}", file=sys.stderr)
            failed = 1
    return failed


def _run(options: argparse.Namespace) -> int:
    file = options.out / f"{options.name}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results.read(file, *options.merge) if file.exists() and options.resume else Results(file)
    machine = facts()
    if machine["load_average"] > BUSY:
        say(f"the load average is {machine['load_average']}: others use this machine, and the numbers will say so")
    results.runs.append(machine | {"quick": options.quick, "arguments": _asked(options)})
    effort = QUICK if options.quick else FULL
    if options.budget is not None:
        effort = Effort(**{**vars(effort), "budget": options.budget})
    bench = Bench(results, effort, options.work, options.venvs, options.peers, options.resume, options.python)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _measure(bench, options)
    except KeyboardInterrupt:
        say("interrupted: what is missing can be measured with --continue")
    _write(results, options)
    return 0


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that choose what is measured, without paths of this machine."""
    names = ("goals", "only", "models", "peers", "threads", "budget", "resume")
    return {name: getattr(options, name) for name in names if getattr(options, name)}


def _measure(bench: Bench, options: argparse.Namespace) -> None:
    """Measure one part after the other, the short ones first: an interrupted run then has results of most parts."""
    models = options.models or ("albert_tiny", "bert_2" if options.quick else "bert")
    threads = options.threads or ([2] if options.quick or options.goals else [2, 1])
    inference = inference_cases((1, 8), (16, 128)) if options.quick else inference_cases()
    if options.goals:
        inference = [case for case in inference if case.name in GOAL_CASES]
    growth = growth_cases((1, 2, 4, 8), (16, 64, 256)) if options.quick else growth_cases()
    growing = [peer for peer in ENCODERS if peer.name in GROWTH]
    if "tokenizer" in options.only:
        for count in threads:
            measure_tokenizers(bench, count, TOKENIZERS)
    for model in models if "archive" in options.only else ():
        measure_archives(bench, model, threads[0], ENCODERS)
    for model in models if "load" in options.only else ():
        measure_loading(bench, model, threads[0], ENCODERS)
    for count, model in product(threads, models) if "inference" in options.only else ():
        measure_inference(bench, "inference", model, count, inference, ENCODERS)
    for model in models if "growth" in options.only else ():
        measure_limit(bench, model, threads[0], ENCODERS)
        measure_inference(bench, "growth", model, threads[0], growth, growing)
    for model in models if "training" in options.only else ():
        measure_training(bench, model, threads[0], TRAINERS)


def _report(options: argparse.Namespace) -> int:
    results = Results.read(options.out / f"{options.name}.json", *options.merge)
    _write(results, options)
    return 0


def _write(results: Results, options: argparse.Namespace) -> None:
    from benchmarks.plots import draw

    results.write()
    own = options.name == NAME
    plots = draw(results, options.out / ("plots" if own else f"{options.name}-plots"))
    notes = options.notes or (HERE / "notes.md" if own else None)
    text = page(results, plots, notes.read_text(encoding="utf-8") if notes else "", "" if own else options.name)
    (options.out / f"{options.name}.md").write_text(text, encoding="utf-8")
    say(f"{options.out / options.name}.md, {options.name}.json and {len(plots)} plots")


def _page(options: argparse.Namespace) -> int:
    """Write the page of a module of sections/. It loads TensorFlow, which no other command may do: import it late."""
    out = options.out and options.out.absolute()  # Node changes the directory
    page = import_module(f"benchmarks.sections.{options.command}").measure(options)
    text = page.text(options.command)
    print(json.dumps([dict(zip(page.head, row, strict=True)) for row in page.rows], indent=2) if options.json else text)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{page.name}.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
