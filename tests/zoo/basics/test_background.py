"""Calls in another thread: in order, their errors here, and no thread is left whatever happens."""

from __future__ import annotations

import threading
import time

import pytest

from zoo.basics.background import BackgroundCalls

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_calls_are_made_in_order_in_one_other_thread() -> None:
    made: list[tuple[int, int]] = []
    with BackgroundCalls() as background:
        for number in range(100):
            background.do(lambda number: made.append((number, threading.get_ident())), number)
        background.wait()
        assert [number for number, _ in made] == list(range(100))
    assert len({thread for _, thread in made} | {threading.get_ident()}) == 2


def test_the_first_error_is_raised_where_it_is_waited_for_and_nothing_is_done_after_it() -> None:
    made: list[int] = []
    with BackgroundCalls() as background:
        background.do(made.append, 1)
        background.do(int, "first")
        for number in range(100):  # more than may wait: nobody hangs
            background.do(made.append, number)
            background.do(int, "second")
        for _ in range(2):
            with pytest.raises(ValueError, match="first"):
                background.wait()
    assert made == [1]


def test_who_is_too_fast_waits() -> None:
    """Or memory would have no bound."""
    most = 0
    with BackgroundCalls() as background:
        waiting = [0]
        for _ in range(50):
            waiting[0] += 1
            background.do(lambda: (time.sleep(0.001), waiting.__setitem__(0, waiting[0] - 1)))
            most = max(most, waiting[0])
    assert most <= 10


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_block_that_fails_waits_for_what_runs_and_raises_its_own_error(error: type[BaseException]) -> None:
    made: list[int] = []
    with pytest.raises(error, match="mine"), BackgroundCalls() as background:
        background.do(time.sleep, 0.05)
        background.do(made.append, 1)
        background.do(int, "theirs")
        raise error("mine")
    assert made == [1]
