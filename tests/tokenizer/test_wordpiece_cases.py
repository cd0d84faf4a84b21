"""tests/data/wordpiece-cases.json: both tokenizers and the published algorithm give its ids and offsets."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from itertools import product
from typing import Any

import pytest
import tensorflow as tf

from export.oracle.wordpiece import ReferenceTokenizer
from scripts import wordpiece_cases
from scripts.wordpiece_categories import CATEGORIES, RULES, SPECIAL
from tests.tokenizer.conftest import Compared
from tokenizer.core_graph import CoreGraph
from tokenizer.graph import Graph, WordPieceGraph
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary

OFTEN = [(WordPieceGraph, "uncased"), (WordPieceGraph, "cased"), (CoreGraph, "uncased")]
RARELY = [each for each in product((WordPieceGraph, CoreGraph), RULES) if each not in OFTEN]


@cache
def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wordpiece_cases.FILE.read_text(encoding="utf-8"))
    return found


def cases(rules: str) -> list[dict[str, Any]]:
    return [case for group in content()["groups"] if group["rules"] == rules for case in group["cases"]]


def keys(group: dict[str, Any]) -> list[tuple[str, str]]:
    return [(group["rules"], case["text"]) for case in group["cases"]]


@pytest.mark.parametrize(
    ("graph", "rules"), [*OFTEN, *(pytest.param(*each, marks=pytest.mark.slow) for each in RARELY)]
)
def test_ids_and_offsets(compared: Compared, graph: type[Graph], rules: str) -> None:
    flags, given = content()["rules"][rules], cases(rules)
    followed = TokenizerRules(**flags, special_tokens={token: token for token in SPECIAL})
    entries = Vocabulary(tuple(content()["vocabulary"]))
    tokenizer = graph(entries, followed.checked(entries), False)
    pieces, starts, limits = tokenizer.with_offsets(tf.constant([case["text"] for case in given]))
    rows = zip(given, pieces.to_list(), starts.to_list(), limits.to_list(), strict=True)
    wrong = [
        case["text"]
        for case, ids, *spans in rows
        if ids != case["ids"] or [*map(list, zip(*spans, strict=True))] != case["offsets"]
    ]
    assert wrong == []
    compared("texts on which implementations differ", len(given))


@pytest.mark.parametrize("every", [40, pytest.param(1, marks=pytest.mark.slow)])
def test_the_published_algorithm(every: int) -> None:
    for rules, flags in content()["rules"].items():
        oracle = ReferenceTokenizer(content()["vocabulary"], **flags)
        for case in cases(rules)[::every]:
            assert (oracle.tokens(case["text"]), oracle.ids(case["text"])) == (case["tokens"], case["ids"])


def test_what_the_file_holds() -> None:
    groups = content()["groups"]
    texts = Counter(key for group in groups for key in keys(group))
    assert (len(texts), texts.total()) == (10_000, 10_000)
    assert {group["category"] for group in groups} == {*content()["categories"]}
    assert {name: each.why for name, each in CATEGORIES.items()} == content()["categories"]
    for name in ("final sigma", "dead end"):  # a slice of what the script writes
        written = {key for group in groups if group["category"] == name for key in keys(group)}
        assert written and written <= {*wordpiece_cases.candidates(name)}


@pytest.mark.slow
def test_the_file_is_what_the_script_writes() -> None:
    assert wordpiece_cases.FILE.read_text(encoding="ascii") == wordpiece_cases.written()
