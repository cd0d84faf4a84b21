"""Processes that build `later` at once, or are killed on the way, forked from one that has imported the cache.

python -m tests.zoo.fetching.building SMALL REGISTRY CACHE KILLS
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from tests.zoo.processes import exit_code, forked, run_until
from zoo.fetching import building
from zoo.fetching.building import Order
from zoo.fetching.cache import damage
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.registry.registry import Registry
from zoo.registry.writing import update_registry


def main(small: Path, place: str, cache: Path, kills: int) -> dict[str, Any]:
    os.environ.update(ZOO_CACHE=str(cache), ZOO_BUILD="")
    registry, log = read_registry(place), cache / "builds.log"

    def build(order: Order, out: Path) -> None:
        with log.open("a") as file:
            file.write(f"{order.name}\n")
        time.sleep(0.05)
        out.mkdir(exist_ok=True)
        archive = small.with_name("small.tar.gz")
        shutil.copyfile(archive, out / f"{order.name}.tar.gz")
        row = read_registry(small).entry("small").model_copy(update={"aliases": []})
        update_registry(out / "registry.json", {order.name: row})

    building._builder = lambda: build  # type: ignore[assignment]

    def fetch() -> None:
        resolve("zoo://words", registry=registry)

    children = [forked(fetch) for _ in range(8)]
    together = {"codes": [exit_code(child) for child in children], "builds": len(log.read_text().splitlines())}
    reader, writer = os.pipe()
    clean(registry)
    exit_code(forked(lambda: os.write(writer, str(run_until(0, fetch)).encode())))
    calls, killed = int(os.read(reader, 99)), []
    random.seed(22)
    for _ in range(kills):
        clean(registry)
        point = random.randint(1, calls - 50)
        code = exit_code(forked(lambda: run_until(point, fetch)))  # noqa: B023
        after = exit_code(forked(fetch))
        found = building.built_here("words", registry)
        whole = found is not None and damage(found, thorough=True) is None
        # A process that dies when all is in its place may leave an empty directory.
        rest = [path.name for path in cache_directory().glob(".*.part")]
        rest += [
            path.name for path in cache_directory().glob(".*.tmp") if not found or path.is_file() or any(path.iterdir())
        ]
        killed.append({"point": point, "code": code, "next": after, "whole": whole, "rest": rest})
    return {"together": together, "killed": killed}


def clean(registry: Registry) -> None:
    """Forget what was built, in half of the cases with its record; leave all else to the next call."""
    if found := building.built_here("words", registry):
        shutil.rmtree(found)
    for record in cache_directory().glob("built-*.json"):
        if random.random() < 0.5:
            record.unlink()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
