"""WordPiece by every library that PyPI has: texts per second, and how many texts get other ids than BERT's own.

A library runs in a process and an environment of its own. Texts come in chunks, from seeds; for every chunk each
library takes its turn, then the published algorithm in plain Python says what was right. So memory does not grow with
the number of texts, and a run that is stopped writes the page of what it has measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from benchmarks.cases import PADDED
from benchmarks.pages import Page, table
from benchmarks.peers import OWN, NotInstalled, Peer, install
from benchmarks.protocol import PeerFailed, Worker
from benchmarks.sections.tokenizers import KINDS, WORDS, vocabularies
from benchmarks.sections.wordpiece_texts import ONE_IN, RARE, chunk, packed, tokenizer_json
from export.oracle.wordpiece import ReferenceTokenizer

CHUNK = 5_000  # texts of one kind that a library gets in one turn, in calls of 1,000
THREADS = 2
OURS = ("text", "core")
UNCASED = {"lower_case": True, "strip_accents": True}
CASES = Path(__file__).parents[2] / "tests" / "data" / "wordpiece-cases.json"


def library(name: str, label: str, distribution: str, venv: str = OWN, **environment: str) -> Peer:
    worker = "wordpiece_ours" if name in OURS else "wordpiece"
    return Peer(name, label, worker, venv, {"library": name, "distribution": distribution}, environment)


LIBRARIES = (
    library("text", "ours", "tensorflow-text"),
    library("core", "ours, core operations", "tensorflow"),
    library("bert_tokenizer", "tensorflow-text BertTokenizer", "tensorflow-text"),
    library("fast_bert_tokenizer", "tensorflow-text FastBertTokenizer", "tensorflow-text"),
    library("tokenizers", "Hugging Face tokenizers", "tokenizers", "tokenizers", TOKENIZERS_PARALLELISM="true"),
    library("flash_tokenizer", "flash-tokenizer", "flash-tokenizer", "flash_tokenizer"),
    library("blingfire", "blingfire", "blingfire", "blingfire"),
    library("nanotoken", "nanotoken", "nanotoken", "nanotoken"),
    library("kitoken", "kitoken", "kitoken", "kitoken"),
    library("morpheme", "morpheme", "morpheme", "morpheme"),
    library("budtiktok", "budtiktok", "budtiktok", "budtiktok"),
    library("fast_tokenizer", "PaddleNLP's fast_tokenizer", "fast-tokenizer-python", "fast_tokenizer"),
)


@dataclass
class Tally:
    """What was seen of one library."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # of a text, a value a chunk
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # the same, of all threads together
    different: Counter[str] = field(default_factory=Counter)  # texts with other ids, by kind
    compared: Counter[str] = field(default_factory=Counter)
    failed: dict[str, int] = field(default_factory=dict)  # cases, by category
    missing: str = ""  # why there are no numbers, or no more


def measure(options: argparse.Namespace) -> Page:
    """Return the page: libraries and their speed and ids, then the cases on which they differ."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory() as directory, ExitStack() as stack:
        run = Run(Path(directory), stack, options)
        try:
            run.cases()
            run.texts(options.texts)
        except KeyboardInterrupt:
            print("interrupted: the page has what was measured", file=sys.stderr)
        return page(run)


class Run:
    """The workers that are there, and a tally for every library."""

    def __init__(self, directory: Path, stack: ExitStack, options: argparse.Namespace) -> None:
        self.tallies = {peer.name: Tally() for peer in LIBRARIES}
        self.versions: dict[str, str] = {}
        self.compared = Counter[str]()  # texts by kind
        self.sizes = Counter[str]()  # cases by category
        self.by_any = Counter[str]()  # of those, the ones that get other ids by any library but ours
        self.workers: dict[str, Worker] = {}
        self._directory = directory
        for peer in tqdm(LIBRARIES, "environments", leave=False, disable=None):
            try:
                python = install(peer.venv, options.venvs, options.python)
                worker = stack.enter_context(Worker(peer, python, THREADS, directory / f"{peer.name}.log"))
            except (NotInstalled, PeerFailed) as error:
                self._without(peer, error)
                continue
            self.workers[peer.name] = worker
            ((name, version),) = worker.hello["versions"].items()
            self.versions[peer.name] = f"{name} {version}"

    def texts(self, count: int) -> None:
        """Give every library so many texts, a third of each kind."""
        known = vocabularies()
        opened = {kind: self._open(kind, entries, UNCASED) for kind, entries in known.items()}
        right = {kind: ReferenceTokenizer(entries, lower_case=True) for kind, entries in known.items()}
        share = -(-count // len(KINDS))
        starts = [(start, kind) for start in range(0, share, CHUNK) for kind in KINDS]
        for kind in KINDS:  # the first call traces
            self._turns(kind, opened[kind], chunk(kind, min(1000, share), -1, known["English"]))
        for turn, (start, kind) in enumerate(tqdm(starts, f"chunks of {CHUNK:,} texts", disable=None)):
            given = chunk(kind, min(CHUNK, share - start), start, known["English"])
            found = self._turns(kind, opened[kind], given, turn)
            expected = packed(right[kind], given)
            self.compared[kind] += len(given)
            for name, (ids, seconds, cpu) in found.items():
                tally = self.tallies[name]
                tally.seconds[kind].append(seconds / len(given))
                tally.cpu[kind].append(cpu / len(given))
                tally.compared[kind] += len(given)
                tally.different[kind] += int((ids != expected).any(axis=1).sum())

    def cases(self) -> None:
        """Give every library all cases whose rules it has."""
        content = json.loads(CASES.read_text(encoding="utf-8"))
        for group in content["groups"]:
            self.sizes[group["category"]] += len(group["cases"])
        for rules, flags in content["rules"].items():
            groups = [group for group in content["groups"] if group["rules"] == rules]
            opened = self._open(rules, content["vocabulary"], flags)
            given = [(group["category"], case["text"]) for group in groups for case in group["cases"]]
            oracle = ReferenceTokenizer(content["vocabulary"], **flags)
            expected = packed(oracle, [text for _, text in given])
            found = self._turns(rules, opened, [text for _, text in given])
            wrong = {name: (ids != expected).any(axis=1) for name, (ids, _, _) in found.items()}
            for name, each in wrong.items():
                for (category, _), is_wrong in zip(given, each, strict=True):
                    self.tallies[name].failed[category] = self.tallies[name].failed.get(category, 0) + int(is_wrong)
            others = np.any([each for name, each in wrong.items() if name not in OURS], axis=0)
            self.by_any.update(category for (category, _), is_wrong in zip(given, others, strict=True) if is_wrong)

    def _open(self, name: str, entries: Sequence[str], flags: Mapping[str, bool]) -> list[str]:
        """Return the libraries that take such a vocabulary."""
        directory = self._directory / name
        directory.mkdir()
        (directory / "vocab.txt").write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
        (directory / "tokenizer.json").write_text(json.dumps(tokenizer_json(entries, **flags)), encoding="utf-8")
        return [each for each in [*self.workers] if self._ask(each, "open", directory=directory, **flags) is not None]

    def _turns(self, name: str, libraries: Sequence[str], texts: Sequence[str], turn: int = 0) -> dict[str, Answer]:
        """Return ids, seconds and seconds of CPU time of every library; each turn begins with another one."""
        file, out = self._directory / "texts.json", self._directory / "ids.npy"
        file.write_text(json.dumps(texts), encoding="utf-8")
        found: dict[str, Answer] = {}
        first = turn % len(libraries)
        for each in [*libraries[first:], *libraries[:first]]:
            answer = self._ask(each, "ids", directory=self._directory / name, texts=file, out=out)
            if answer is not None:
                found[each] = (np.load(out), answer["seconds"], answer["cpu"])
        return found

    def _ask(self, name: str, what: str, **arguments: object) -> dict[str, float] | None:
        """Return a worker's answer; None if it is gone, or goes now."""
        if name not in self.workers:
            return None
        try:
            return self.workers[name].ask("ask", what=what, **arguments)
        except PeerFailed as error:
            if what != "open":  # rules or a vocabulary that it has not
                self.workers.pop(name)
            self._without(error.peer, error)
            return None

    def _without(self, peer: Peer, error: Exception) -> None:
        words = error.reason if isinstance(error, PeerFailed) else str(error)
        self.tallies[peer.name].missing = words.split(" (/")[0]  # without the path of its log
        print(f"{peer.label}: {words}", file=sys.stderr)


Answer = tuple[np.ndarray, float, float]


# -- the page ---------------------------------------------------------------------------------------------------------


def page(run: Run) -> Page:
    first = run.tallies[LIBRARIES[0].name]
    total = run.compared.total()
    rows = [_row(peer, run.tallies[peer.name], first) for peer in LIBRARIES if run.tallies[peer.name].seconds]
    kinds = [*KINDS]
    speeds, others = (f"{kind}: texts/s" for kind in kinds), (f"{kind}: other ids" for kind in kinds)
    head = ("", *speeds, "time / ours", "CPU µs", *others)
    chunks = sum(map(len, first.seconds.values()))
    versions = ", ".join(dict.fromkeys(run.versions.values()))
    about = f"""{versions}.
{total:,} texts, a third of each kind, on {THREADS} cores, with {THREADS} threads where a library has threads.
The first three columns are texts per second, from a list of strings to an array of ids of {PADDED} columns ([CLS], the
first {PADDED - 2} pieces, [SEP], and 0), in calls of 1,000 texts: medians over {chunks} chunks of up to {CHUNK:,}.
For each chunk every library takes its turn; `time / ours` is the median of the ratios; `CPU µs` is what a text
costs on all threads together, the mean of the kinds' medians, which other programs on the machine disturb little.
The last columns count the texts with other ids than the published algorithm gives
([export/oracle/wordpiece.py](../export/oracle/wordpiece.py), plain Python), which shares nothing with our tokenizers.
English texts have 5 to 30 words of BERT's English vocabulary, Chinese ones 5 to 60 characters, mixed ones are Chinese
with one to four English words ({WORDS:,} of them in the vocabulary). One text in {ONE_IN} has one of {len(RARE)} things
that real texts are full of, such as café, ～, 😀, ΟΔΥΣΣΕΥΣ, an address, a zero-width space; `RARE` in
benchmarks/sections/wordpiece_texts.py lists them. blingfire has no vocabulary but its own, and takes English alone.
Hugging Face's library and those that read its tokenizer.json get the one
that BERTs are published with, in which a special token in a text stays whole and words end at 100 characters."""
    return Page("wordpiece-numbers", "WordPiece by every library", about, head, rows, "\n\n".join(_below(run)))


def _row(peer: Peer, tally: Tally, first: Tally) -> list[str]:
    speed = [f"{1 / median(tally.seconds[kind]):,.0f}" if tally.seconds[kind] else "" for kind in KINDS]
    ratios = [own / ours for kind in KINDS for own, ours in zip(tally.seconds[kind], first.seconds[kind], strict=False)]
    other = [f"{tally.different[kind]:,}" if tally.compared[kind] else "" for kind in KINDS]
    cpu = mean(median(each) for each in tally.cpu.values())
    return [peer.label, *speed, f"{median(ratios):.2f}", f"{cpu * 1e6:.1f}", *other]


def _below(run: Run) -> list[str]:
    gone = [peer for peer in LIBRARIES if peer.name not in run.workers or not run.tallies[peer.name].seconds]
    parts = [f"- {peer.label}: {run.tallies[peer.name].missing}" for peer in gone]
    notes = "Not measured, or not whole:\n\n" + "\n".join(parts) if parts else ""
    peers = [peer for peer in LIBRARIES if run.tallies[peer.name].failed]
    if not peers:
        return [notes]
    cells = [
        [category, size, run.by_any[category], *(run.tallies[peer.name].failed.get(category, "") for peer in peers)]
        for category, size in run.sizes.items()
    ]
    sums = [run.sizes.total(), run.by_any.total(), *(sum(run.tallies[peer.name].failed.values()) for peer in peers)]
    about = f"""## The cases on which they differ

How many of the {run.sizes.total():,} texts in [wordpiece-cases.json](../tests/data/wordpiece-cases.json) get other ids
than the published algorithm gives, by category, which that file explains; `any` is any library but ours. Libraries
in which accents cannot stay with small letters, or go with capitals, are not asked for those cases."""
    head = ("", "cases", "any", *(peer.label for peer in peers))
    return [notes, about, table(head, [*cells, ["all", *sums]])]
