"""Cards of a later bert-zoo: fields that are not known are ignored; another format or kind is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.zoo.small import make_tokenizer_card
from zoo.archive.card import CARDS, Card, parse_card, to_json
from zoo.archive.kinds import KINDS
from zoo.errors import BadArchive


@pytest.fixture
def card(directory: Path) -> Card:
    return make_tokenizer_card(directory)


def parsed(card: Card, **changes: Any) -> Card:
    return parse_card(json.dumps({**card.model_dump(mode="json"), **changes}).encode(), "card.json")


def test_every_kind_has_a_card() -> None:
    assert CARDS.keys() == KINDS.keys()
    for kind, made in CARDS.items():
        assert made.model_fields["needs"].default == list(KINDS[kind].needs)


def test_unknown_fields_of_a_card_are_ignored(card: Card) -> None:
    facts = card.model_dump(mode="json")
    facts["certificate"][0]["offsets"] = [[0, 3]]
    facts["source"]["page"] = "https://host"
    read = parsed(card, certificate=facts["certificate"], source=facts["source"], colours=["red"])
    assert read == card and to_json(read.model_dump(mode="json")) == to_json(card.model_dump(mode="json"))


def test_a_card_of_a_later_format_is_one_line(card: Card) -> None:
    with pytest.raises(BadArchive) as caught:
        parse_card(b'{"format": 2, "sizes": 7}', "card.json")
    assert str(caught.value) == "card.json was made by a later bert-zoo (format 2, this one reads 1): update bert-zoo."
    with pytest.raises(BadArchive, match="a later bert-zoo .format 3"):
        parsed(card, format=3, kind="program")
    for number in (0, "2", None):
        with pytest.raises(BadArchive, match="format: Input should be 1"):
            parsed(card, format=number)


def test_a_card_of_an_unknown_kind_is_one_line(card: Card) -> None:
    with pytest.raises(BadArchive) as caught:
        parsed(card, kind="program\n")
    assert str(caught.value) == (
        "card.json says that its archive is of kind 'program\\n', which this bert-zoo does not know: update bert-zoo."
    )
    for kind in (None, 7, ["encoder"], {}):
        with pytest.raises(BadArchive, match="kind: Input should be a valid string"):
            parsed(card, kind=kind)
    with pytest.raises(BadArchive, match="kind: Field required"):
        parse_card(b"{}", "card.json")
