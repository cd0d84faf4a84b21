"""Several items at a time, each by a thread of its own: for work that a library does without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST = 8  # batches of texts that are computed at once; more would take much memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item], at_a_time: int) -> Iterator[Result]:
    """Yield the result of each item, in their order. After an error, or if the caller stops, no further item begins.

    for count in side_by_side(embed, batches, cores()):
        advance(count)
    """
    if at_a_time == 1:
        yield from map(work, items)
        return
    threads = ThreadPoolExecutor(at_a_time)
    try:
        yield from threads.map(work, items)
    finally:
        threads.shutdown(cancel_futures=True)


def one_ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the result of each item, in their order, while another thread already works on the next one.

    for rows in one_ahead(read, files):
        compute(rows)
    """
    with ThreadPoolExecutor(1) as thread:
        before: Future[Result] | None = None
        for item in items:
            started = thread.submit(work, item)
            if before is not None:
                yield before.result()
            before = started
        if before is not None:
            yield before.result()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
