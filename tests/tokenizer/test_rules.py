"""Tokenizers whose rules leave the original's: their ids and offsets are those of the reference, and Hugging Face's."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer, golden_texts
from tests.tokenizer.conftest import Compared
from tests.tokenizer.rulesets import NO_MASK, PLAIN, RULE_SETS, base_vocabulary, texts, vocabulary
from tests.tokenizer.texts import assigned, long_words, mixtures
from tokenizer import offsets
from tokenizer.graph import TEXTS, WordPieceGraph, graph_function
from tokenizer.rules import AddedToken, TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.errors import Unsupported

OFTEN = (
    "domain",
    "accents stay, lower case",
    "accents go, cased",
    "Chinese words, added",
    "spelled otherwise, in text",
    "no mask",
    "single words",
    "all",  # tokens that are nested and tokens that strip, too
)
RULES = pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in RULE_SETS]
)
WITH_OFFSETS = pytest.mark.parametrize("name", ["accents stay, lower case", "Chinese words, added", "all"])
STORED = Path(__file__).parent / "data" / "hugging_face_pieces.json.gz"


@cache
def entries(name: str) -> Vocabulary:
    return Vocabulary(tuple(vocabulary(RULE_SETS[name])))


def rules_of(name: str) -> TokenizerRules:
    found = RULE_SETS[name]
    number, known = {entry: number for number, entry in enumerate(entries(name).entries)}, {*base_vocabulary()}
    added = (
        AddedToken(each, number[each], in_vocabulary=each in known, **flags) for each, flags in found.added.items()
    )
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
def graph(name: str) -> WordPieceGraph:
    """The inner functions, which all others call; to save a tokenizer takes several seconds more."""
    return WordPieceGraph(entries(name), rules_of(name), RULE_SETS[name].special_tokens_in_text)


def given_texts(chars: list[str]) -> list[str]:
    golden = [text for row in GOLDEN_TEXTS for text in row]
    return [*PLAIN, *golden, *long_words()[::19], *texts(400, seed=5), *mixtures(50, seed=6, chars=chars)]


@RULES
def test_ids(newer: frozenset[str], compared: Compared, name: str) -> None:
    tokenize, oracle = graph(name).tokenize, reference(name)
    given = given_texts(sorted(set(assigned()) - newer))
    found = tokenize(given).to_list()
    assert [text for text, ids in zip(given, found, strict=True) if ids != oracle.ids(text)] == []
    # Alone, so that all may be plain and the rules for others are not run.
    assert [tokenize([text]).to_list()[0] for text in PLAIN] == [oracle.ids(text) for text in PLAIN]
    assert tokenize(tf.constant([], tf.string)).to_list() == []
    compared(f"texts, {name}", len(given))


@RULES
def test_pieces_of_hugging_face(compared: Compared, name: str) -> None:
    """See make_hugging_face_pieces.py."""
    stored = json.loads(gzip.decompress(STORED.read_bytes()))
    answers = zip(stored["texts"], stored["pieces"][name], strict=True)
    expected = {text: pieces for text, pieces in answers if pieces is not None}
    found = [[entries(name).entries[each] for each in ids] for ids in graph(name).tokenize([*expected]).to_list()]
    assert [text for text, pieces in zip(expected, found, strict=True) if pieces != expected[text]] == []
    compared(f"texts, {name}, Hugging Face's pieces", len(expected))


@WITH_OFFSETS
def test_offsets(newer: frozenset[str], compared: Compared, name: str) -> None:
    wordpiece, oracle = graph(name).wordpiece, reference(name)
    raw = [text.encode()[n % 2 :] for n, text in enumerate(given_texts(sorted(set(assigned()) - newer)))]
    found = graph_function(lambda text: offsets.trace(wordpiece, text), TEXTS)(raw)
    for text, *spans in zip(raw, *(part.to_list() for part in found), strict=True):
        pieces = [(entries(name).entries[piece], *span) for piece, *span in zip(*spans, strict=True)]
        assert pieces == [piece for word in oracle.offsets(text) for piece in word], text
    compared(f"texts with offsets, {name}", len(raw))


def test_golden_texts_show_every_rule() -> None:
    """Whatever a graph did with a rule of its own, the golden texts would have other ids."""
    usual = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abceÉéeE你好今天气xX", "cafe", "##b"]
    words = (*usual, "[ENT]", "ent", "天气")
    flags = [{}, *({flag: True} for flag in ("lstrip", "rstrip", "single_word", "normalized", "in_vocabulary"))]
    tokens = [AddedToken(content, words.index(content), **flag) for content in words[-3:] for flag in flags]
    texts = golden_texts(tokens)

    def all_ids(*rules: bool, added: Sequence[AddedToken] = ()) -> list[list[int]]:
        oracle = ReferenceTokenizer(words, *rules, added=added)
        return [oracle.encode(*text) for text in texts]

    for number in range(3):
        flipped = [value if place != number else not value for place, value in enumerate([True, True, True])]
        assert all_ids(True, True, True) != all_ids(*flipped)
    for token in tokens[:3]:
        assert all_ids(True, True, True, added=[token]) != all_ids(True, True, True)
    for flag in ("single_word", "normalized", "in_vocabulary"):
        for content in ("ent", "[ENT]") if flag != "in_vocabulary" else ("ent",):
            token = AddedToken(content, words.index(content))
            assert all_ids(True, True, True, added=[token]) != all_ids(
                True, True, True, added=[replace(token, **{flag: True})]
            ), (flag, content)


# -- refused ------------------------------------------------------------------------------------------------------

VOCABULARY = Vocabulary(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "[ENT]", " b", "##c", "d\n", "\u0301"))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"special_tokens": {"[UNK]": "[UNK]"}}, r"no token has the role of \[PAD\]; .*\[CLS\]; .*\[SEP\]"),
        (
            {"special_tokens": {**NO_MASK, "[PAD]": "<pad>"}},
            r"\[PAD\] is spelled '<pad>', which is not in .* 10 entries",
        ),
        ({"special_tokens": {**NO_MASK, "[EOS]": "a"}}, r"'\[EOS\]' is no special token of BERT"),
        ({"added_tokens": (AddedToken("[ENT]", 10),)}, r"'\[ENT\]' has the id 10, but the vocabulary has 10 entries"),
        ({"added_tokens": (AddedToken("[ENT]", 4),)}, r"'\[ENT\]' has the id 4, but the vocabulary has 'a' there"),
        ({"added_tokens": (AddedToken(" b", 6),)}, "' b' is empty, or begins or ends with white space"),
        ({"added_tokens": (AddedToken("##c", 7),)}, "'##c' begins with '##'"),
        ({"added_tokens": (AddedToken("a", 4),) * 12_001}, "12,001 added tokens have 12,001 bytes together"),
    ],
)
def test_rules_that_cannot_be_followed(rules: dict[str, Any], words: str) -> None:
    rules = {"special_tokens": NO_MASK, **rules}
    with pytest.raises(Unsupported, match=f"{words}.*A copy of the files without these tokens can be exported"):
        replace(TokenizerRules.original(lower_case=True), **rules).checked(VOCABULARY)


def test_a_token_of_which_normalising_leaves_nothing() -> None:
    rules = TokenizerRules(True, True, special_tokens=NO_MASK, added_tokens=(AddedToken("\u0301", 9, normalized=True),))
    with pytest.raises(Unsupported, match="set its `normalized` to false"):
        WordPieceGraph(VOCABULARY, rules.checked(VOCABULARY), special_tokens_in_text=False)
