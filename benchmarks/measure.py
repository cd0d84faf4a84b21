"""Interleaving: every peer is called once, then every peer again, so that disturbances of the machine meet them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Call = Callable[[int], float]  # (repeat) -> seconds of one call, the mean over `repeat` of them


@dataclass(frozen=True)
class Effort:
    """How much time to spend. A case gets `budget` seconds over all peers, and from `least` to `most` rounds."""

    budget: float = 200.0
    least: int = 3
    most: int = 25
    long: float = 1.0  # seconds: a longer call is made only once before the calls that count
    shortest: float = 0.2  # seconds: shorter calls are repeated until they take this long; a stopped process wakes cold
    fresh_rounds: int = 3  # of loading, each in a new process
    exports: int = 1
    training_rounds: int = 2  # of training, each in new processes: their peaks of memory differ
    training_least: int = 2  # rounds of steps in each of those
    training_most: int = 5


FULL = Effort()
QUICK = Effort(
    budget=6.0, least=2, most=5, shortest=0.005, fresh_rounds=2, training_rounds=1, training_least=1, training_most=3
)


def timed(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Call:
    """Return what measures a call by a clock; `time.process_time` is that of all threads of this process."""

    def measured(repeat: int) -> float:
        started = clock()
        for _ in range(repeat):
            call()
        return (clock() - started) / repeat

    return measured


def rounds(seconds: float, effort: Effort) -> int:
    """Return how many rounds fit the budget, when one call of each peer takes `seconds` in all."""
    return max(effort.least, min(effort.most, int(effort.budget / max(seconds, 1e-9))))


def repeats(seconds: float, effort: Effort) -> int:
    """Return how many calls make one measurement, when one takes `seconds`."""
    return max(1, round(effort.shortest / max(seconds, 1e-9)))


def interleave(calls: Mapping[str, Call], effort: Effort, batches: int = 1) -> dict[str, tuple[float, ...]]:
    """Return for each peer the seconds of one call, a value a round; each value is the mean over so many `batches`.

    Before the rounds each peer is called once, and again if that was short: the first call may trace, and the last one
    decides how many rounds there are. Each round starts with another peer.
    """
    first = {name: call(1) for name, call in calls.items()}
    estimate = {name: seconds if seconds > effort.long else calls[name](1) for name, seconds in first.items()}
    repeat = {name: repeats(batches * seconds, effort) for name, seconds in estimate.items()}
    count = rounds(batches * sum(seconds * repeat[name] for name, seconds in estimate.items()), effort)
    values: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for turn in range(count):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            values[name].append(calls[name](repeat[name]))
    return {name: tuple(each) for name, each in values.items()}
