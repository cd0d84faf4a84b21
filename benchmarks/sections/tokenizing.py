"""Tokenizers: texts to packed ids, from a Python list to arrays; and how many texts get other ids than BERT's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.bench import Bench, Crew, say
from benchmarks.cases import PADDED, texts
from benchmarks.models import sizes
from benchmarks.peers import Peer
from benchmarks.protocol import PeerFailed
from export.oracle.wordpiece import ReferenceTokenizer
from scripts.random_checkpoint import chinese_vocabulary

SECTION = "tokenizer"
MODEL = "albert_tiny"  # whose vocabulary is taken; all models here have the same
COMPARED = 2048
BATCHES = (1, 32, 1024)


def measure_tokenizers(bench: Bench, threads: int, table: Sequence[Peer], batches: Sequence[int] = BATCHES) -> None:
    """Record the seconds of a batch, and the texts whose ids differ from the published algorithm's."""
    peers = bench.peers(table)
    pending = [batch for batch in batches if not bench.done(SECTION, MODEL, threads, f"{batch} texts", peers)]
    if not pending:
        return
    with bench.crew(peers, MODEL, SECTION, threads) as crew:
        _compare(bench, crew)
        for batch in tqdm(pending, f"tokenizer, {threads} threads", leave=False, disable=None):
            values = bench.interleave(crew, [_texts(bench, batch)], SECTION, MODEL)
            bench.keep(SECTION, MODEL, threads, f"{batch} texts", "s", values)


def _texts(bench: Bench, count: int) -> Path:
    return bench.array(f"texts {count}", lambda: np.array(texts(count)))


def _compare(bench: Bench, crew: Crew) -> None:
    expected = np.load(bench.array(f"ids {COMPARED}", _reference_ids))
    for name, worker in list(crew.items()):
        out = bench.work / "outputs.npz"
        try:
            worker.ask("run", batch=_texts(bench, COMPARED), out=out)
        except PeerFailed as error:
            bench.dismiss(crew, error, SECTION, MODEL)
            continue
        with np.load(out) as stored:
            different = int(np.any(stored["ids"] != expected, axis=1).sum())
        say(f"tokenizer: {name} gives other ids for {different} of {COMPARED} texts")
        bench.keep("agreement", MODEL, 0, f"{COMPARED} texts", "different", {name: [different]})


def _reference_ids() -> np.ndarray:
    reference = ReferenceTokenizer(chinese_vocabulary(sizes(MODEL)["vocabulary"]), lower_case=True)
    rows = [reference.encode(text) for text in texts(COMPARED)]
    assert max(map(len, rows)) <= PADDED, "texts are short enough that nothing is cut"
    return np.array([row + [0] * (PADDED - len(row)) for row in rows], np.int32)
