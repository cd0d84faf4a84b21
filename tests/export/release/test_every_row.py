"""Every row of the packaged registry has an upstream that scripts.every_row can play; a part of them is asked here."""

from __future__ import annotations

from collections import Counter

import pytest

from scripts.every_row import ask
from scripts.publishers import offer_of
from zoo.fetching.registries import read_registry
from zoo.registry.recipes import origin
from zoo.registry.registry import PACKAGED

MODELS = read_registry(PACKAGED).models
# A vocabulary; a .zip of TF1, and its tokenizer from the hub; a directory of sentence-transformers; a licence.
ASKED = ["bert_tokenizer_chinese", "albert_tiny", "bge_small_zh", "uer_roberta_tiny"]


def test_every_row_has_an_upstream() -> None:
    offers = [offer_of(MODELS[whole]) for whole in {origin(name, MODELS) for name in MODELS}]
    assert Counter(offer.layout for offer in offers)["hub, sentence-transformers"] > 35
    assert sum(not offer.is_known for offer in offers) == 7, "six rows, and the tokenizer of one"


@pytest.mark.slow
def test_rows_answer_or_name_their_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    rows = {row.name: row for row in ask(ASKED)}
    assert not [row for row in rows.values() if row.problem] and sorted(rows) == sorted(ASKED)
    assert rows["albert_tiny"].moved > 15e6 and rows["bge_small_zh"].answer.startswith("vectors (2, 512)")
    assert "because of its licence" in rows["uer_roberta_tiny"].answer
