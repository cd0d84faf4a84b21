"""The plots of the report: how cost grows, with the machine's limit drawn in, and bars for every part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import ScalarFormatter

from benchmarks.cases import Case
from benchmarks.peers import label
from benchmarks.results import Record, Results, floor, gemm_rate

OURS = ("#8b0000", "#c1272d", "#e2574c", "#f08080", "#f4a582", "#fbc4ab", "#fde0d2")  # reds
THEIRS = ("#0b4f8a", "#4f9bd9", "#7a5195", "#2f8f4e", "#e08e0b", "#555555", "#a0a0a0")


def draw(results: Results, directory: Path) -> list[Path]:
    """Return the files of all plots for which there is something to show."""
    directory.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams["svg.hashsalt"] = "benchmarks"  # the same numbers give the same file
    return [*_growth(results, directory), *_inference(results, directory), *_others(results, directory)]


def _growth(results: Results, directory: Path) -> list[Path]:
    files = []
    for model, threads in _settings(results, "growth"):
        records = results.select(section="growth", model=model, threads=threads, measure="s")
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.5))
        for axis, along in zip(axes, ("length", "batch"), strict=True):
            fixed = {"length": ("batch", 1), "batch": ("length", 128)}[along]
            chosen = [record for record in records if getattr(Case.parse(record.case), fixed[0]) == fixed[1]]
            _curves(axis, results, chosen, along, model, threads)
            axis.set_title(f"{fixed[1]} row" if along == "length" else f"{fixed[1]} tokens a row")
        axes[0].legend(fontsize=8)
        figure.suptitle(f"{model}, {threads} threads: milliseconds a call")
        files.append(_save(figure, directory / f"growth-{model}-{threads}.svg"))
    return files


def _curves(axis: Any, results: Results, records: Sequence[Record], along: str, model: str, threads: int) -> None:
    """Draw a curve for each peer, and the time of the matrix products alone."""
    for peer, colour in _colours(records).items():
        points = sorted((getattr(Case.parse(r.case), along), r) for r in records if r.peer == peer)
        at = [x for x, _ in points]
        axis.plot(at, [r.median * 1e3 for _, r in points], "o-", color=colour, label=label("growth", peer), ms=3)
        spread = [[value * 1e3 for value in r.quartiles] for _, r in points]
        axis.fill_between(at, [low for low, _ in spread], [high for _, high in spread], color=colour, alpha=0.2)
    cases = sorted({Case.parse(record.case) for record in records}, key=lambda case: getattr(case, along))
    for dtype, style in (("float32", "k--"), ("bfloat16", "k:")):
        rate = gemm_rate(results, threads, dtype)
        if rate:
            limit = [floor(results, model, case, rate) * 1e3 for case in cases]
            name = f"matrix products alone, {dtype}: {rate:.0f} GFLOP/s"
            axis.plot([getattr(case, along) for case in cases], limit, style, lw=1, label=name)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.yaxis.set_major_formatter(ScalarFormatter())
    axis.set_xlabel(along)
    axis.grid(alpha=0.3)


def _inference(results: Results, directory: Path) -> list[Path]:
    files = []
    for model, threads in _settings(results, "inference"):
        records = results.select(section="inference", model=model, threads=threads, measure="s")
        title = f"{model}, {threads} threads: milliseconds a call"
        file = directory / f"inference-{model}-{threads}.svg"
        most = max((Case.parse(record.case).batch for record in records), default=1)
        cases = ["dense 1 x 128", *(f"{kind} {most} x 128" for kind in ("dense", "real", "trimmed"))]
        files += _bars(records, cases, title, "inference", file, 1e3)
    return files


def _others(results: Results, directory: Path) -> list[Path]:
    """Return the plots of loading, training and tokenizing."""
    files = []
    for section, measures in (("load", ("load s", "memory after load MiB")), ("training", ("s", "peak MiB"))):
        for model, threads in _settings(results, section):
            for measure in measures:
                records = results.select(section=section, model=model, threads=threads, measure=measure)
                name = measure.replace(" ", "-") if section == "load" else {"s": "step"}.get(measure, "memory")
                title = f"{section}, {model}, {threads} threads: {measure}"
                file = directory / f"{section}-{model}-{threads}-{name}.svg"
                files += _bars(records, list(dict.fromkeys(r.case for r in records)), title, section, file)
    for _, threads in _settings(results, "tokenizer"):
        records = results.select(section="tokenizer", threads=threads, measure="s")
        title = f"texts to packed ids, {threads} threads: milliseconds a batch"
        cases = list(dict.fromkeys(record.case for record in records))
        files += _bars(records, cases, title, "tokenizer", directory / f"tokenizer-{threads}.svg", 1e3)
    return files


def _bars(
    records: Sequence[Record], cases: Sequence[str], title: str, section: str, file: Path, scale: float = 1.0
) -> list[Path]:
    """Draw one panel a case, a bar a peer with its quartiles."""
    shown = [case for case in cases if any(record.case == case for record in records)]
    if not shown:
        return []
    figure, axes = plt.subplots(1, len(shown), figsize=(3.4 * len(shown) + 1, 3.8), squeeze=False)
    peers = _colours(records)
    for axis, case in zip(axes[0], shown, strict=True):
        each = {record.peer: record for record in records if record.case == case}
        for at, (peer, colour) in enumerate(peers.items()):
            if peer in each:
                middle, (low, high) = each[peer].median, each[peer].quartiles
                axis.bar(at, middle * scale, color=colour)
                axis.vlines(at, low * scale, high * scale, color="black", lw=1)
        axis.set_title(case, fontsize=9)
        axis.set_xticks(range(len(peers)), [label(section, peer) for peer in peers], rotation=90, fontsize=7)
    figure.suptitle(title, fontsize=10)
    return [_save(figure, file)]


def _colours(records: Sequence[Record]) -> dict[str, str]:
    """Return peer -> colour in the order of the records: reds are ours."""
    ours, theirs = cycle(OURS), cycle(THEIRS)
    peers = dict.fromkeys(record.peer for record in records)
    return {peer: next(ours if peer.startswith("ours") else theirs) for peer in peers}


def _save(figure: Any, file: Path) -> Path:
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return file


def _settings(results: Results, section: str) -> list[tuple[str, int]]:
    return list(dict.fromkeys((record.model, record.threads) for record in results.select(section=section)))
