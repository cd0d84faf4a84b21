"""Tokenizers whose rules leave the original's: ids and offsets are those of the reference, saved and loaded again."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import tensorflow as tf

from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer
from tests.tokenizer.conftest import Compared
from tests.tokenizer.rulesets import PLAIN, RULE_SETS, base_vocabulary, texts, vocabulary
from tests.tokenizer.texts import assigned, long_words, mixtures
from tokenizer import offsets
from tokenizer.graph import TEXTS, Graph, graph_function
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.vocabulary import Vocabulary

RULES = pytest.mark.parametrize("name", RULE_SETS)


@cache
def entries(name: str) -> Vocabulary:
    return Vocabulary(tuple(vocabulary(RULE_SETS[name])))


def rules_of(name: str) -> TokenizerRules:
    found = RULE_SETS[name]
    number, known = {entry: number for number, entry in enumerate(entries(name).entries)}, {*base_vocabulary()}
    added = (AddedToken(each, number[each], in_vocabulary=each in known, **flags) for each, flags in found.added.items())
    return TokenizerRules(
        lower_case=found.lower_case,
        strip_accents=found.strip_accents,
        tokenize_chinese_chars=found.tokenize_chinese_chars,
        special_tokens=found.special_tokens,
        added_tokens=tuple(added),
    ).checked(entries(name))


@cache
def reference(name: str) -> ReferenceTokenizer:
    found = RULE_SETS[name]
    added = rules_of(name).whole_tokens(entries(name), found.special_tokens_in_text)
    return ReferenceTokenizer(
        entries(name).entries,
        found.lower_case,
        found.strip_accents,
        found.tokenize_chinese_chars,
        found.special_tokens,
        added,
    )


@cache
def functions(name: str) -> tuple[Any, Any]:
    """The two inner functions that all others call; to save a tokenizer takes several seconds more."""
    graph = Graph(entries(name), rules_of(name), RULE_SETS[name].special_tokens_in_text)

    def with_offsets(text: tf.Tensor) -> tuple[tf.RaggedTensor, ...]:
        return offsets.trace(graph.wordpiece, text)

    return graph.tokenize, graph_function(with_offsets, TEXTS)


@RULES
def test_ids_and_offsets(newer: frozenset[str], compared: Compared, name: str) -> None:
    (tokenize, with_offsets), oracle = functions(name), reference(name)
    chars = sorted(set(assigned()) - newer)
    given = [*PLAIN, *(text for golden in GOLDEN_TEXTS for text in golden), *long_words()[::19]]
    given += [*texts(400, seed=5), *mixtures(50, seed=6, chars=chars)]
    found = tokenize(given).to_list()
    wrong = [(text, got, oracle.ids(text)) for text, got in zip(given, found, strict=True) if got != oracle.ids(text)]
    assert wrong == []
    # Alone, so that all may be plain and the rules for others are not run.
    assert [tokenize([text]).to_list()[0] for text in PLAIN] == [oracle.ids(text) for text in PLAIN]
    raw = [text.encode()[n % 2 :] for n, text in enumerate(given)]
    parts = (part.to_list() for part in with_offsets(raw))
    for text, *spans in zip(raw, *parts, strict=True):
        words = oracle.offsets(text)
        expected = [span for word in words for span in word]
        assert [(entries(name).entries[piece], *span) for piece, *span in zip(*spans, strict=True)] == expected, text
    compared(f"texts with offsets, {name}", len(given))
