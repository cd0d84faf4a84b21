"""The Markdown page of the results: the machine, the peers, the goals, then tables for every part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.goals import limits, outcomes
from benchmarks.machine import BUSY
from benchmarks.pages import markdown, table
from benchmarks.peers import ENCODERS, TOKENIZERS, TRAINERS, Peer, label
from benchmarks.results import Record, Results, floor, gemm_rate, ratio

Rows = list[list[str]]
_HEAD = """Written by `python -m benchmarks run{option}`; the numbers behind it are in {name}.json. \
Every peer runs in a process and an environment of
its own, computes the same numbers, and is called in turn with the others; idle processes are stopped. A cell is the
median with its quartiles; in brackets, how many times as long as ours, the median of the ratios round by round. Not all
trainers fit into memory at once: they take turns in groups, ours in each, and memory is compared by medians."""


def page(results: Results, plots: Sequence[Path] = (), notes: str = "", name: str = "") -> str:
    """Return the whole page. `notes` is written by people and comes before the tables; `name` is that of the run."""
    return markdown(
        f"Benchmarks: {name}" if name else "Benchmarks",
        _HEAD.format(name=name or "benchmarks", option=f" --name {name}" if name else ""),
        _machine(results),
        _goals(results),
        notes.strip(),
        *_inference(results, "inference", "Inference"),
        *_growth(results),
        *_measures(results, "load", "Loading", ENCODERS),
        *_training(results),
        _tokenizers(results),
        *_measures(results, "archive", "Files", ENCODERS),
        _agreement(results),
        "\n\n".join(f"![{plot.stem.replace('-', ' ')}]({plot.parent.name}/{plot.name})" for plot in plots),
    )


def amount(record: Record | None, against: Record | None = None, scale: float = 1.0) -> str:
    """Return a cell: "12.3 (12.1–12.8)", or with a reference "24.6 [2.0]"; "–" where nothing was measured."""
    if record is None:
        return "–"
    text = figure(record.median * scale)
    if against is not None and against.peer != record.peer:
        return f"{text} [{ratio(against, record)[0]:.2f}]"
    low, high = (figure(value * scale) for value in record.quartiles)
    return text if low == high else f"{text} ({low}–{high})"


def figure(value: float) -> str:
    """Return three significant digits, and whole numbers from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machine(results: Results) -> str:
    rows = [
        [
            run["started"],
            run["commit"],
            f"{run['processor']}, {run['cores']} cores, {' '.join(run['flags'])}",
            f"{run['memory_gib']} GiB",
            f"{run['load_average']}" + ", not alone" * (run["load_average"] > BUSY),
        ]
        for run in results.runs
    ]
    versions = [
        [peer, ", ".join(f"{name} {version}" for name, version in each.items())]
        for peer, each in results.versions.items()
    ]
    absent = [[each.section, each.model, each.peer, each.reason] for each in results.absences.values()]
    parts = [
        "## Machine and peers",
        table(("started", "commit", "processor", "memory", "load average"), rows),
        table(("peer", "versions"), versions),
        "Not measured:\n\n" + table(("part", "model", "peer", "reason"), absent) if absent else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _goals(results: Results) -> str:
    rows = [
        [
            outcome.goal.what,
            label(outcome.goal.section, outcome.peer),
            "{:.2f} ({:.2f}–{:.2f})".format(*outcome.ratio),
            f"{outcome.goal.bound:.2f}",
            "yes" if outcome.met else "no",
        ]
        for outcome in outcomes(results)
    ]
    bounds = [
        [what, figure(value), figure(most), "yes" if value <= most else "no"] for what, value, most in limits(results)
    ]
    if not rows and not bounds:
        return ""
    parts = [
        "## Goals\n\nHow many times as long as ours, or as large, the nearest of the peers is (2 threads).",
        table(("what", "nearest peer", "times ours", "at least", "met"), rows),
        table(("what", "found", "at most", "met"), bounds),
    ]
    return "\n\n".join(part for part in parts if part)


def _inference(results: Results, section: str, title: str) -> list[str]:
    parts = []
    for model, threads in _settings(results, section):
        records = results.select(section=section, model=model, threads=threads, measure="s")
        rows = _by_case(results, records, ENCODERS, 1e3)
        parts.append(f"## {title}: {model}, {_threads(threads)}, ms\n\n" + table(*rows))
    return parts


def _growth(results: Results) -> list[str]:
    """Return the tables of inference with one more column: our time divided by that of its matrix products alone."""
    parts = []
    for model, threads in _settings(results, "growth"):
        records = results.select(section="growth", model=model, threads=threads, measure="s")
        head, rows = _by_case(results, records, ENCODERS, 1e3)
        ours = {record.case: record.median for record in records if record.peer == "ours"}
        if rate := gemm_rate(results, threads, "float32"):
            head = [*head, "ours, times its matrix products"]
            for row in rows:
                seconds = ours.get(row[0])
                row.append(f"{seconds / floor(results, model, Case.parse(row[0]), rate):.1f}" if seconds else "–")
        parts.append(f"## How cost grows: {model}, {_threads(threads)}, ms\n\n" + table(head, rows))
    return parts


def _by_case(
    results: Results, records: Sequence[Record], peers: Sequence[Peer], scale: float
) -> tuple[list[str], Rows]:
    """Return head and rows of a table: one row for each case, one column for each peer that was measured."""
    present = [peer for peer in peers if any(record.peer == peer.name for record in records)]
    rows = []
    for case in dict.fromkeys(record.case for record in records):
        each = {record.peer: record for record in records if record.case == case}
        rows.append([case, *(amount(each.get(peer.name), each.get("ours"), scale) for peer in present)])
    return ["case", *(peer.label for peer in present)], rows


def _measures(results: Results, section: str, title: str, peers: Sequence[Peer]) -> list[str]:
    """Return tables with one row for each peer and one column for each measure."""
    parts = []
    for model, threads in _settings(results, section):
        records = results.select(section=section, model=model, threads=threads)
        measures = list(dict.fromkeys(record.measure for record in records))
        rows = []
        for peer in peers:
            each = {record.measure: record for record in records if record.peer == peer.name}
            if each:
                rows.append([peer.label, *(amount(each.get(measure)) for measure in measures)])
        parts.append(f"## {title}: {model}, {_threads(threads)}\n\n" + table(("peer", *measures), rows))
    return parts


def _training(results: Results) -> list[str]:
    parts = []
    for model, threads in _settings(results, "training"):
        for measure, what in (("s", "seconds a step"), ("peak MiB", "peak memory of the process, MiB")):
            records = results.select(section="training", model=model, threads=threads, measure=measure)
            head, rows = _by_case(results, records, TRAINERS, 1.0)
            parts.append(f"## Training: {model}, {_threads(threads)}, {what}\n\n" + table(head, rows))
    return parts


def _tokenizers(results: Results) -> str:
    parts = []
    for _, threads in _settings(results, "tokenizer"):
        records = results.select(section="tokenizer", threads=threads, measure="s")
        head, rows = _by_case(results, records, TOKENIZERS, 1e3)
        parts.append(f"## Tokenizers: {_threads(threads)}, ms\n\n" + table(head, rows))
    different = results.select(section="agreement", measure="different")
    rows = [[label("tokenizer", record.peer), figure(record.median), record.case] for record in different]
    if rows:
        parts.append(table(("tokenizer", "texts with other ids than BERT's own", "of"), rows))
    return "\n\n".join(parts)


def _agreement(results: Results) -> str:
    def section(measure: str, name: Callable[[Record], str]) -> Rows:
        found = results.select(section="agreement", measure=measure)
        return [[record.model, name(record), f"{record.median:.2g}"] for record in found]

    rows = section("difference", lambda record: label("inference", record.peer))
    if not rows:
        return ""
    head = "## Agreement\n\nLargest absolute difference from our outputs, before anything was timed."
    return f"{head}\n\n" + table(("model", "peer", "difference"), rows)


def _settings(results: Results, section: str) -> list[tuple[str, int]]:
    """Return the models and thread counts of a part, in the order of measuring."""
    return list(dict.fromkeys((record.model, record.threads) for record in results.select(section=section)))


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
