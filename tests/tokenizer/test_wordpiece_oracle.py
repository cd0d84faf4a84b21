"""The oracle itself, against token lists written by hand from the published algorithm."""

from __future__ import annotations

import pytest

from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer
from tests.tokenizer.texts import long_words, mixtures

WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] [ ] mask un ##aff ##able want ##want ##ed wa runn ##ing hello ! how are you ?
, ， ！ 天 气 cafe é ς σ α ##ς ##σ ##α i istanbul Istanbul x ##x ａ a # HeLLo"""
ENTRIES = [*WORDS.split(), "\u2028", "##\u2028"]

UNCASED = [
    ("UNwant\u00e9d,running", ["un", "##want", "##ed", ",", "runn", "##ing"]),
    ("unaffable", ["un", "##aff", "##able"]),
    ("unwanted running", ["un", "##want", "##ed", "runn", "##ing"]),
    ("unwantedX running", ["un", "##want", "##ed", "##x", "runn", "##ing"]),
    (" \tHeLLo!how  \n Are yoU?  ", ["hello", "!", "how", "are", "you", "?"]),
    ("a天气x", ["a", "天", "气", "x"]),
    ("天气，HELLO！Ａ,!", ["天", "气", "，", "hello", "！", "ａ", ",", "!"]),
    ("CAFÉ cafe\u0301", ["cafe", "cafe"]),
    ("İSTANBUL", ["istanbul"]),
    ("ΑΣ ΣΑ Σ", ["α", "##ς", "σ", "##α", "σ"]),
    ("[MASK]", ["[", "mask", "]"]),
    ("hel\u00adlo\x00\ufffd\u200b", ["hello"]),
    ("hello\u3000you\u2028are\u00a0a", ["hello", "you", "are", "a"]),
    ("x" * 200, ["x"] + ["##x"] * 199),
    ("x" * 201 + " a", ["[UNK]", "a"]),
    ("\u0301 \u2028", []),
]
CASED = [
    ("HeLLo Istanbul", ["HeLLo", "Istanbul"]),
    ("HELLO é e\u0301", ["[UNK]", "é", "[UNK]"]),
    ("[MASK]天\u0301", ["[", "[UNK]", "]", "天", "[UNK]"]),
]


@pytest.mark.parametrize(("text", "tokens"), UNCASED)
def test_uncased(text: str, tokens: list[str]) -> None:
    assert ReferenceTokenizer(ENTRIES, lower_case=True).tokens(text) == tokens


@pytest.mark.parametrize(("text", "tokens"), CASED)
def test_cased(text: str, tokens: list[str]) -> None:
    assert ReferenceTokenizer(ENTRIES, lower_case=False).tokens(text) == tokens


def test_encode() -> None:
    oracle = ReferenceTokenizer(ENTRIES, lower_case=True)
    assert oracle.encode("天") == [2, ENTRIES.index("天"), 3]
    assert oracle.encode("", "天a") == [2, 3, ENTRIES.index("天"), ENTRIES.index("a"), 3]


def test_offsets_by_hand() -> None:
    oracle = ReferenceTokenizer(ENTRIES, lower_case=True)
    source = "É，unaff\u00adable İstanbul cafe\u0301 ΑΣ".encode()
    assert oracle.offsets(source) == [
        [("[UNK]", 0, 2)],
        [("，", 2, 5)],
        [("un", 5, 7), ("##aff", 7, 10), ("##able", 12, 16)],
        [("istanbul", 17, 26)],
        [("cafe", 27, 31)],
        [("α", 34, 36), ("##ς", 36, 38)],
    ]
    assert oracle.offsets(b"\xffa\xe4\xb8!") == [[("a", 1, 2)], [("!", 4, 5)]]


@pytest.mark.parametrize("lower_case", [True, False])
def test_offsets_tell_the_same_story(lower_case: bool) -> None:
    oracle = ReferenceTokenizer(ENTRIES, lower_case)
    texts = [
        *mixtures(500, seed=2, chars=ENTRIES[5:]),
        *long_words()[::3],
        *(text for golden in GOLDEN_TEXTS for text in golden),
    ]
    for text in texts:
        pieces = [piece for word in oracle.offsets(text.encode()) for piece, _, _ in word]
        assert pieces == oracle.tokens(text), text
