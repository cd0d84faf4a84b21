"""Hostile archives: each is refused before TensorFlow sees it, by a message that names the reason."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.hostile.cases import Case, all_cases
from tests.hostile.making import make_hostile
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import read_card
from zoo.archive.pack import pack
from zoo.errors import BadArchive
from zoo.loading.verify import verify
from zoo.safety import check_ops

CASES = all_cases()
# Archives that hold links or pipes cannot be packed: their way in is a directory.
UNPACKED_ONLY = {"link_for_the_model", "link_for_a_folder", "pipe"}


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr("tensorflow.saved_model.load", refuse)


def test_there_are_many_and_each_says_what_it_tries() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.tries.endswith((".", "…")) and "\n" not in case.tries for case in CASES)


@pytest.mark.parametrize("name", ["toy", "toy_tokenizer", "toy_tokenizer_preprocess"])
def test_what_they_are_made_of_passes(name: str, toy_zoo: ToyZoo, tmp_path: Path) -> None:
    """Unchanged, and made again with the same card: otherwise the refusals below would prove nothing."""
    directory = make_hostile(toy_zoo.unpacked(name), tmp_path / "model", lambda _: None)
    assert check_ops(directory, read_card(directory)) == read_card(toy_zoo.unpacked(name)).ops


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_archives_are_refused(case: Case, toy_zoo: ToyZoo, tmp_path: Path) -> None:
    """Through the front door: packed, every digest on the card right, so that nothing but its content is wrong."""
    directory = make_hostile(toy_zoo.unpacked(case.base), tmp_path / "made" / "model", case.make)
    handle: Any = directory
    if case.name not in UNPACKED_ONLY:
        handle = tmp_path / "model.tar.gz"
        pack(directory, handle)
        shutil.rmtree(directory)
    with pytest.raises(BadArchive) as caught:
        zoo.load(handle)
    assert case.words in str(caught.value)
    assert len(str(caught.value)) < 60_000
    assert not list(tmp_path.rglob("owned*"))


@pytest.mark.parametrize("name", ["named_tanh", "unlisted_initialize", "api_implements", "offsets_beside_the_model"])
def test_every_way_in_refuses(name: str, toy_zoo: ToyZoo, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    directory = make_hostile(toy_zoo.unpacked(case.base), tmp_path / "model", case.make)
    pack(directory, tmp_path / "model.tar.gz")
    for way in (lambda: zoo.load_model(tmp_path / "model.tar.gz"), lambda: verify(directory)):
        with pytest.raises(BadArchive) as caught:
            way()
        assert case.words in str(caught.value)
