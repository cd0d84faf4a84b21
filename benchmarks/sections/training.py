"""Training: the same classifier with the same numbers, dropout and Adam; processes beside each other step in turn."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from uuid import uuid4

import numpy as np
from tqdm import tqdm

from benchmarks.bench import Bench, Crew, say
from benchmarks.cases import Case
from benchmarks.machine import available_gib
from benchmarks.measure import Effort
from benchmarks.models import sizes
from benchmarks.peers import Peer
from benchmarks.protocol import PeerFailed, Worker

ROWS, LENGTH, CLASSES = 16, 128, 2
CASES = tuple(Case(kind, ROWS, LENGTH) for kind in ("trimmed", "real", "dense"))  # the most memory last
TOLERANCE = 1e-3  # of the loss before the first step, without dropout
# What a trainer is expected to take at its peak: 5.5 GiB for BERT-base, where 5.0 were seen, and 1.75 for two layers of
# it, where 1.7 were; and the share of that which those take that were seen to take less, with BERT-base.
PROCESS_GIB, LAYER_GIB = 1.0, 0.375
SHARES = {"ours_frozen": 0.3, "ours_last_2": 0.4, "ours_recompute": 0.6}


@dataclass
class Found:
    """What was found of one case for one peer."""

    seconds: list[float] = field(default_factory=list)
    rounds: list[str] = field(default_factory=list)  # of the seconds
    peaks: list[float] = field(default_factory=list)  # a value a process


def measure_training(bench: Bench, model: str, threads: int, table: Sequence[Peer]) -> None:
    """Record a step's seconds, and the peak of the process's memory, for every way to train.

    Between its steps a trainer keeps what it took at its peak (TensorFlow's allocator gives nothing back), so not all
    of them can be there at once. They are divided into groups, each with the first peer, ours, in it, since it is ours
    that everybody is compared with. A round is of one group and has a name, by which a ratio finds what ours took in
    the same round (see results.py). Peaks of the same code differ from process to process, so there are several.
    """
    peers = bench.peers(table)
    if all(bench.done("training", model, threads, case.name, peers) for case in CASES):
        return
    found: dict[str, dict[str, Found]] = {case.name: defaultdict(Found) for case in CASES}
    losses: dict[str, float] = {}
    failed: set[str] = set()
    one = PROCESS_GIB + LAYER_GIB * sizes(model)["layers"]
    try:
        for turn in range(bench.effort.training_rounds):
            together = groups([peer for peer in peers if peer.name not in failed], available_gib() / one)
            effort = _effort(bench.effort, sum(map(len, together)))
            for group in tqdm(together, f"training, {model}, processes {turn + 1}", leave=False, disable=None):
                present = [peer for peer in group if peer.name not in failed]
                failed |= _train(bench, present, model, threads, effort, losses, found)
    finally:  # also what an interrupted run has found
        for case, values in found.items():
            whole = {peer.name: values[peer.name] for peer in peers if peer.name in values.keys() - failed}
            seconds = {name: each.seconds for name, each in whole.items()}
            rounds = {name: each.rounds for name, each in whole.items()}
            bench.keep("training", model, threads, case, "s", seconds, rounds)
            bench.keep("training", model, threads, case, "peak MiB", {name: each.peaks for name, each in whole.items()})


def groups(peers: Sequence[Peer], room: float) -> list[list[Peer]]:
    """Return who trains beside each other, in `room` for so many trainers; the first peer is in every group.

    Other libraries come first, so that they are beside each other as far as there is room. However little room there
    is, a group has two: one alone would be compared with nobody.
    """
    first, others = peers[:1], sorted(peers[1:], key=lambda peer: peer.is_ours)
    found: list[list[Peer]] = []
    for peer in others:
        for group in found:
            if sum(SHARES.get(each.name, 1.0) for each in [*group, peer]) <= room:
                group.append(peer)
                break
        else:
            found.append([*first, peer])
    return found or [[*first]]


def _effort(effort: Effort, processes: int) -> Effort:
    """Return what one process may cost: the budget of a case is for all of them; `processes` are those of one turn.

    Long as a step is, two of them do not count: TensorFlow's allocator may grow in the second one too.
    """
    one = effort.budget / max(1, processes * effort.training_rounds)
    return replace(effort, budget=one, least=effort.training_least, most=effort.training_most, long=math.inf)


def _train(
    bench: Bench,
    group: Sequence[Peer],
    model: str,
    threads: int,
    effort: Effort,
    losses: dict[str, float],
    found: Mapping[str, dict[str, Found]],
) -> set[str]:
    """Let new processes of a group train, case by case. Return who failed."""

    def ready(worker: Worker) -> None:
        _start(bench, worker, model, losses)

    effort = replace(effort, budget=effort.budget * len(group))
    with bench.crew(group, model, "training", threads, ready) as crew:
        for case in CASES:
            _steps(bench, crew, model, case, effort, found[case.name])
        return {peer.name for peer in group} - crew.keys()


def _start(bench: Bench, worker: Worker, model: str, losses: dict[str, float]) -> None:
    """Load what learns, and compare its first loss with ours. Raises PeerFailed."""
    peer = worker.peer
    hidden = sizes(model)["hidden"]
    started = worker.ask(
        "start_training",
        source=bench.source(model),
        directory=bench.directory(peer, model),
        head=bench.array(f"head {hidden}", lambda: _head(hidden)),
        batch=bench.batches(Case("real", ROWS, LENGTH), model)[0],
        labels=bench.array(f"labels {ROWS}", _labels),
    )
    expected = next(iter(losses.values()), started["loss"])
    if not abs(started["loss"] - expected) <= max(TOLERANCE, peer.tolerance):
        raise PeerFailed(peer, f"starts from another loss: {started['loss']:.5f}, ours {expected:.5f}")
    if peer.name not in losses:
        losses[peer.name] = started["loss"]
        say(f"{model}: {peer.name} trains {started['parameters']:,} parameters from loss {started['loss']:.5f}")
        bench.keep("agreement", model, 0, "training", "loss", {peer.name: [started["loss"]]})
        bench.keep("agreement", model, 0, "training", "parameters", {peer.name: [started["parameters"]]})


def _steps(bench: Bench, crew: Crew, model: str, case: Case, effort: Effort, found: dict[str, Found]) -> None:
    """Take steps in turn and add what was found. The first ones trace, make Adam's moments, and do not count."""
    files, labels = bench.batches(case, model), bench.array(f"labels {ROWS}", _labels)
    peaks: dict[str, list[float]] = defaultdict(list)

    def step(worker: Worker, repeat: int) -> float:
        answer = worker.ask("train", batches=files, labels=labels, repeat=repeat)
        peaks[worker.peer.name].append(answer["peak"])
        return float(answer["seconds"])

    values = bench.turns(crew, step, "training", model, len(files), effort)
    unique = uuid4().hex[:8]
    for name, seconds in values.items():
        found[name].seconds += seconds
        found[name].rounds += [f"{unique} {turn}" for turn in range(len(seconds))]
        found[name].peaks.append(max(peaks[name][-len(seconds) :]))
    say(f"training, {model}, {case.name}, s: {', '.join(f'{who} {median(each):.3g}' for who, each in values.items())}")


def _labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, CLASSES, ROWS, np.int32)


def _head(hidden: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((hidden, CLASSES)) * 0.02).astype(np.float32)
