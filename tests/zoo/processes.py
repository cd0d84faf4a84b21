"""Processes that fetch `small` at once, or are killed on the way. Run as a program, it prints what became of them:

    python -m tests.zoo.processes together REGISTRY COUNT
    python -m tests.zoo.processes killed REGISTRY COUNT

They are forked from one that has imported the cache and nothing else, so that each costs milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import zoo.transport.http
from tests.zoo.small import fetch
from zoo.fetching.cache import damage
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.registry.registry import Registry


def together(registry: Registry, number: int) -> list[int]:
    """Return the exit codes of processes that begin to fetch at the same time."""
    reader, writer = os.pipe()

    def task() -> None:
        os.close(writer)
        os.read(reader, 1)  # returns when nobody can write any more
        fetch("small", registry)

    children = [forked(task) for _ in range(number)]
    os.close(writer)
    return [exit_code(child) for child in children]


def killed(registry: Registry, number: int) -> list[dict[str, object]]:
    """Kill fetches, each at a random one of its calls; return what was left, and what the next fetch made of it."""
    zoo.transport.http._CHUNK = 1024  # so that most kills meet a part of the archive on the disk
    place = cache_directory() / str(registry.archive("small").sha256)
    calls = counted(registry)
    random.seed(20)
    rounds: list[dict[str, object]] = []
    while len(rounds) < number:
        shutil.rmtree(place, ignore_errors=True)
        point = random.randint(1, calls)
        if exit_code(forked(lambda: fetch_until(point, registry))) != -signal.SIGKILL:  # noqa: B023
            continue  # one call less than the fetch that was counted
        left = kinds(place)
        code = exit_code(forked(lambda: fetch("small", registry)))
        whole = damage(place, thorough=True) is None
        rounds.append({"point": point, "left": left, "next": code, "whole": whole, "then": kinds(place)})
    return rounds


def counted(registry: Registry) -> int:
    """Return how many calls a whole fetch makes."""
    reader, writer = os.pipe()
    exit_code(forked(lambda: os.write(writer, str(fetch_until(0, registry)).encode())))
    return int(os.read(reader, 99))


def fetch_until(last: int, registry: Registry) -> int:
    """Fetch, and end with kill -9 at the call `last`; return the number of calls if there is no such one."""
    return run_until(last, lambda: fetch("small", registry))


def run_until(last: int, task: Callable[[], object], before: object = None) -> int:
    """Run a task, and end this process with kill -9 at its call `last`, or before it calls the function `before`.

    Return the number of calls if there is no such one.
    """
    calls = 0

    def tick(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls == last or (before is not None and argument is before):
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(tick)
    task()
    sys.setprofile(None)
    return calls


def kinds(place: Path) -> list[str]:
    """Return what there is of `place` in the cache, locks left out."""
    names = [path.name for path in cache_directory().iterdir() if place.name in path.name]
    return sorted(Path(name).suffix or "place" for name in names if not name.endswith(".lock"))


def forked(task: Callable[[], object]) -> int:
    """Run a task in a process of its own and return its number."""
    child = os.fork()
    if child == 0:
        try:
            task()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    task = {"together": together, "killed": killed}[sys.argv[1]]
    print(json.dumps(task(read_registry(sys.argv[2]), int(sys.argv[3]))))
