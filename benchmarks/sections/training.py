"""Training: the same classifier with the same numbers, dropout and Adam; processes started anew, in turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from benchmarks.bench import Bench, say
from benchmarks.cases import Case
from benchmarks.models import sizes
from benchmarks.peers import Peer
from benchmarks.protocol import PeerFailed, Worker

ROWS, LENGTH, CLASSES = 16, 128, 2
CASES = tuple(Case(kind, ROWS, LENGTH) for kind in ("trimmed", "real", "dense"))  # the most memory last
TOLERANCE = 1e-3  # of the loss before the first step, without dropout

Found = dict[tuple[str, str], dict[str, list[float]]]  # case and measure -> peer -> values


def measure_training(bench: Bench, model: str, threads: int, table: Sequence[Peer]) -> None:
    """Record a step's seconds and the peak of the process's memory for every way to train."""
    peers = bench.peers(table)
    if all(bench.done("training", model, threads, case.name, peers) for case in CASES):
        return
    found: Found = defaultdict(lambda: defaultdict(list))
    losses: dict[str, float] = {}
    failed: set[str] = set()
    turns = [(turn, peer) for turn in range(bench.effort.training_rounds) for peer in peers]
    for _, peer in tqdm(turns, f"training, {model}, {threads} threads", leave=False, disable=None):
        if peer.name in failed:
            continue
        worker = bench.start(peer, model, "training", threads)
        try:
            if worker is None:
                failed.add(peer.name)
                continue
            with worker:
                _train_once(bench, worker, model, losses, found)
        except PeerFailed as error:
            bench.missing("training", model, peer, error)
            failed.add(peer.name)
    for (case, measure), values in found.items():
        whole = {peer: each for peer, each in values.items() if peer not in failed}
        bench.keep("training", model, threads, case, measure, whole)


def _train_once(bench: Bench, worker: Worker, model: str, losses: dict[str, float], found: Found) -> None:
    peer = worker.peer
    hidden = sizes(model)["hidden"]
    labels = bench.array(f"labels {ROWS}", lambda: np.random.default_rng(0).integers(0, CLASSES, ROWS, np.int32))
    head = bench.array(f"head {hidden}", lambda: _head(hidden))
    batches = {case.name: bench.batches(case, model) for case in CASES}
    started = worker.ask(
        "start_training",
        source=bench.source(model),
        directory=bench.directory(peer, model),
        head=head,
        batch=batches["real 16 x 128"][0],
        labels=labels,
    )
    expected = next(iter(losses.values()), started["loss"])
    if not abs(started["loss"] - expected) <= max(TOLERANCE, peer.tolerance):
        raise PeerFailed(peer, f"starts from another loss: {started['loss']:.5f}, ours {expected:.5f}")
    if peer.name not in losses:
        losses[peer.name] = started["loss"]
        say(f"{model}: {peer.name} trains {started['parameters']:,} parameters from loss {started['loss']:.5f}")
        bench.keep("agreement", model, 0, "training", "loss", {peer.name: [started["loss"]]})
        bench.keep("agreement", model, 0, "training", "parameters", {peer.name: [started["parameters"]]})
    for name, files in batches.items():
        worker.ask("train", batches=files[:1], labels=labels)  # traces, and makes Adam's moments
        for _ in range(bench.effort.training_steps):
            step = worker.ask("train", batches=files, labels=labels)
            found[name, "s"][peer.name].append(step["seconds"])
            found[name, "peak MiB"][peer.name].append(step["peak"])


def _head(hidden: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((hidden, CLASSES)) * 0.02).astype(np.float32)
