"""Work by several threads: results in order, the first error here, nothing begun after it, no thread left."""

from __future__ import annotations

import threading
import time
from threading import Barrier

import pytest

from zoo.basics.side_by_side import cores, one_ahead, side_by_side

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_items_are_worked_on_at_the_same_time_and_come_in_order() -> None:
    meeting = Barrier(3, timeout=10)  # breaks unless three are there together

    def work(item: int) -> int:
        meeting.wait()
        return item * item

    assert list(side_by_side(work, range(9), 3)) == [item * item for item in range(9)]


def test_one_at_a_time_needs_no_thread() -> None:
    assert {*side_by_side(lambda _: threading.current_thread(), range(3), 1)} == {threading.current_thread()}
    assert not list(side_by_side(str, [], 4))


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_nothing_begins_after_an_error(at_a_time: int) -> None:
    begun, done = [], []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("item 1")
        time.sleep(0.001)
        return item

    with pytest.raises(ValueError, match="item 1"):
        for result in side_by_side(work, range(10_000), at_a_time):
            done.append(result)
    assert done == [0] and len(begun) < 10_000


def test_nothing_begins_after_the_caller_stops() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.001)

    results = side_by_side(work, range(10_000), 2)
    next(results)
    results.close()
    assert 0 < len(begun) < 10_000


def test_cores() -> None:
    assert cores() >= 1


def test_one_item_ahead() -> None:
    """The next item is worked on while the present one is used, and no further one."""
    begun, started = [], [threading.Event() for _ in range(5)]

    def work(item: int) -> int:
        begun.append(item)
        started[item].set()
        return -item

    found = []
    for result in one_ahead(work, range(5)):
        found.append(result)
        if (following := len(found)) < 5:
            assert started[following].wait(10)
            assert begun == [*range(following + 1)]
    assert found == [0, -1, -2, -3, -4] and not list(one_ahead(work, []))


def test_one_ahead_ends_with_the_first_error() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        return 1 // (item - 1)

    results = one_ahead(work, range(9))
    assert next(results) == -1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert max(begun) <= 2 and not list(results)
    ended = one_ahead(work, range(9))
    next(ended)
    ended.close()
