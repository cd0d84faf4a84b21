"""The table of hostile archives: each a function that changes an unpacked archive, and says in a line what it tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.graphs import edit

GraphChange = Callable[[Any, Path], object]


@dataclass(frozen=True)
class Case:
    """A hostile archive. `make` changes an unpacked genuine archive `base`; the refusal has to hold `words`."""

    name: str
    group: str
    tries: str
    make: Callable[[Path], object]
    words: str
    base: str = "toy"


CASES: list[Case] = []


def graph_case(group: str, words: str, base: str = "toy") -> Callable[[GraphChange], GraphChange]:
    """Add a change of the one MetaGraphDef to the table: given it, and the path of a file that must not come to be."""

    def add(change: GraphChange) -> GraphChange:
        def make(directory: Path) -> None:
            edit(directory, lambda model: change(model.meta_graphs[0], directory.parent / "owned"))

        CASES.append(_case(change, group, make, words, base))
        return change

    return add


def file_case(group: str, words: str, base: str = "toy") -> Callable[[Callable[[Path], object]], Callable[..., object]]:
    """Add a change of the unpacked directory to the table."""

    def add(change: Callable[[Path], object]) -> Callable[[Path], object]:
        CASES.append(_case(change, group, change, words, base))
        return change

    return add


def _case(change: Callable[..., object], group: str, make: Callable[[Path], object], words: str, base: str) -> Case:
    assert change.__doc__, "a line says what it tries"
    return Case(change.__name__.strip("_"), group, change.__doc__.strip(), make, words, base)


def all_cases() -> list[Case]:
    """Return the table, from all modules that add to it."""
    from tests.hostile import calling, constants, forms, objects, savers  # noqa: F401

    return sorted(CASES, key=lambda case: (case.group, case.name))
