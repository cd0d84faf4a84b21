"""Publications that are killed on the way. Run as a program, it prints what became of them:

    python -m tests.zoo.publishing.publishing DIST DEST COUNT

DEST is put back to what it is before each. See tests/zoo/processes.py.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import zoo.publishing.publish
from tests.zoo.processes import exit_code, forked, run_until
from tests.zoo.small import tree
from zoo.archive.digests import sha256_of
from zoo.basics.urls import local_path
from zoo.fetching.registries import read_registry
from zoo.publishing.publish import publish


def killed(dist: Path, destination: str, number: int) -> list[dict[str, object]]:
    """Kill publications while they write, each at a random call of one of as many equal parts of it.

    The last one is killed when a file is complete and has not got its name yet, if it is renamed by `os.replace`.
    Return what readers found then and after the next one.
    """
    place = Path(destination.removeprefix("local://"))
    before = place.with_name("before")
    place.rename(before)
    reader, writer = os.pipe()
    shutil.copytree(before, place)
    exit_code(forked(lambda: os.write(writer, str(publish_until(0, dist, destination)).encode())))
    calls = int(os.read(reader, 99))
    random.seed(6)
    rounds: list[dict[str, object]] = []
    while len(rounds) < number:
        shutil.rmtree(place)
        shutil.copytree(before, place)
        point = calls * len(rounds) // number + random.randint(1, calls // number)
        before_name = os.replace if len(rounds) == number - 1 and destination == str(place) else None
        task = partial(publish_until, point, dist, destination, before_name)
        if exit_code(forked(task)) != -signal.SIGKILL:
            continue
        left, found = tree(place), readable(place)
        code = exit_code(forked(lambda: publish(dist, destination)))
        rounds.append({"point": point, "left": left, "found": found, "next": code, "then": tree(place)})
        rounds[-1]["then_found"] = readable(place)
    return rounds


def publish_until(last: int, dist: Path, destination: str, before: object = None) -> int:
    """Publish, and end with kill -9 while it writes; the other arguments, and what is returned: see `run_until`."""
    calls, write = 0, zoo.publishing.publish._write

    def counted(*arguments: Any) -> None:
        nonlocal calls
        calls = run_until(last, lambda: write(*arguments), before)

    zoo.publishing.publish._write = counted
    publish(dist, destination)
    return calls


def readable(place: Path) -> dict[str, bool]:
    """Return the built models of a published registry, its signature checked, and whether their archives are whole."""
    registry = read_registry(place / "registry.json")
    built = {name: registry.archive(name) for name in registry.names() if registry.models[name].archive}
    paths = {name: local_path(record.urls[0]) for name, record in built.items()}
    return {
        name: path is not None and path.is_file() and sha256_of(path) == built[name].sha256
        for name, path in paths.items()
    }


if __name__ == "__main__":
    print(json.dumps(killed(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
