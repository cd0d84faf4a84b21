"""Archives hold the operations of their kind and nothing that TensorFlow 2.9 does not know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runtimes.operations import (
    ENCODER_OPS,
    HINTS,
    KNOWN_TO_2_9,
    TEXT_ARCHIVE_OPS,
    TEXT_OPS,
    TOKENIZER_OPS,
    attributes,
)
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import read_card
from zoo.safety import ALLOWED_OPS

KINDS = [("toy", ENCODER_OPS), ("toy_tokenizer", TOKENIZER_OPS), ("toy_tokenizer_preprocess", TOKENIZER_OPS)]


def unknown_to_2_9(directory: Path) -> set[str]:
    known = {op: {*names} for op, names in json.loads(KNOWN_TO_2_9.read_text(encoding="utf-8")).items()}
    found = set()
    for op, names in attributes(directory):
        if op not in known:
            found.add(op)
        else:
            found |= {f"{op}.{name}" for name in names - known[op] - HINTS.get(op, set())}
    return found


@pytest.mark.parametrize(("name", "allowed"), KINDS)
def test_an_archive_holds_the_operations_of_its_kind(name: str, allowed: frozenset[str], toy_zoo: ToyZoo) -> None:
    ops = set(read_card(toy_zoo.unpacked(name)).ops)
    assert ops <= allowed, f"not in tests/runtimes/operations.py: {sorted(ops - allowed)}"
    assert len(ops) > 60


@pytest.mark.parametrize(("name", "allowed"), KINDS)
def test_tensorflow_2_9_knows_all_of_it(name: str, allowed: frozenset[str], toy_zoo: ToyZoo) -> None:
    assert not unknown_to_2_9(toy_zoo.unpacked(name))


def test_the_table_is_what_it_says() -> None:
    known = json.loads(KNOWN_TO_2_9.read_text(encoding="utf-8"))
    assert known.keys() == ENCODER_OPS | TOKENIZER_OPS | TEXT_ARCHIVE_OPS <= ALLOWED_OPS
    assert not ENCODER_OPS & TEXT_OPS.keys()
