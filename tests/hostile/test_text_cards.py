"""Cards of text archives that say what cannot be: each is refused by name, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.pack import pack
from zoo.contract import CARD_FILE, GOLDEN_FILE
from zoo.errors import BadArchive, DamagedArchive, VerificationFailed
from zoo.loading.verify import verify

Card = dict[str, Any]
CARDS: dict[str, tuple[str, Callable[[Card], object], str]] = {
    "a task of nobody": (
        "vectors",
        lambda card: card["task"].update(name="write poems"),
        "the task 'write poems' is not",
    ),
    "a pooling of nobody": ("vectors", lambda card: card["task"].update(pooling="max+median"), "the pooling 'median'"),
    "no pooling": ("vectors", lambda card: card["task"].update(pooling=None), "a task vector has no pooling"),
    "two labels of three": ("odd", lambda card: card["task"]["labels"].pop(), "2 labels for a head of 3 outputs"),
    "labels without a head": (
        "odd",
        lambda card: card["task"].update(dense=[]),
        "3 labels for a head of 0 outputs",
    ),
    "a head of nothing": ("odd", lambda card: card["task"]["dense"][0].update(outputs=0), "task.dense.0.outputs"),
    "a limit of a million": (
        "vectors",
        lambda card: card["task"].update(max_length=10**6),
        "1,000,000 tokens, and the",
    ),
    "a limit of nothing": ("vectors", lambda card: card["task"].update(max_length=2), "task.max_length"),
    "scores of nobody": ("odd", lambda card: card["task"].update(scores="dice"), "task.scores"),
    "a prompt of nobody": (
        "vectors",
        lambda card: card["task"].update(default_prompt="poem"),
        "the default prompt 'poem'",
    ),
    "another way to cut": ("vectors", lambda card: card["task"].update(truncation="never"), "task.truncation"),
    "no tokenizer": ("vectors", lambda card: card.pop("tokenizer"), "tokenizer: Field required"),
    "no task": ("vectors", lambda card: card.pop("task"), "task: Field required"),
    "nothing proved": ("vectors", lambda card: card["certificate"].update(texts=[]), "certificate.texts"),
    "a text of three parts": (
        "vectors",
        lambda card: card["certificate"]["texts"].append(["a"] * 3),
        "certificate.texts",
    ),
    "of an encoder": ("vectors", lambda card: card.update(kind="encoder"), "certificate.shapes: Field required"),
}


@pytest.fixture
def changed(text_zoo: ToyZoo, tmp_path: Path) -> Callable[[str, Callable[[Card], object]], Path]:
    def change(name: str, make: Callable[[Card], object]) -> Path:
        place = Path(shutil.copytree(text_zoo.unpacked(name), tmp_path / name))
        card = json.loads((place / CARD_FILE).read_text(encoding="utf-8"))
        make(card)
        (place / CARD_FILE).write_text(json.dumps(card, ensure_ascii=False), encoding="utf-8")
        return place

    return change


@pytest.mark.parametrize("case", CARDS)
def test_cards_that_are_refused(
    case: str, changed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make, words = CARDS[case]
    place = changed(name, make)
    for module in ("tensorflow_hub", "tensorflow.saved_model"):
        monkeypatch.setattr(f"{module}.load", lambda *_, **__: pytest.fail("it was loaded"))
    pack(place, tmp_path / "packed.tar.gz")
    for handle in (place, tmp_path / "packed.tar.gz"):
        with pytest.raises(BadArchive, match=words):
            zoo.load(handle)
    with pytest.raises(BadArchive, match=words):
        verify(place)


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", GOLDEN_FILE])
def test_files_that_are_missing(file: str, changed: Callable[..., Path]) -> None:
    place = changed("vectors", lambda card: None)
    (place / file).unlink()
    with pytest.raises(DamagedArchive, match=f"{Path(file).name}.* missing"):
        zoo.load(place)


def test_labels_in_another_order(changed: Callable[..., Path]) -> None:
    """They fit the head, and yet are not those of the archive: only its answers show it, which `zoo verify` repeats."""
    place = changed("odd", lambda card: card["task"]["labels"].reverse())
    with pytest.raises(VerificationFailed, match=r"class 0, class 1, class 2; on the card: class 2, class 1, class 0"):
        verify(place)
