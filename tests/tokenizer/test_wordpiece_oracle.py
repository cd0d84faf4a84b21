"""The oracle itself, against token lists written by hand from the published algorithm."""

from __future__ import annotations

from dataclasses import dataclass

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


# Token lists of Hugging Face's `tokenizers` 0.22, typed by hand: added tokens with their flags, text, tokens.
ADDED = [
    ({"ab": "", "abc": "", "bcd": ""}, "abcd xbcd zabz", ["abc", "[UNK]", "x", "bcd", "[UNK]", "ab", "[UNK]"]),
    ({"ab": "single_word", "b": ""}, "xab abab ab_ ab,b", ["[UNK]", "[UNK]", "[UNK]", "[UNK]", "ab", ",", "b"]),
    ({"[R]": "rstrip", "[L]": "lstrip"}, "a [R] \t [L] x", ["a", "[R]", "[L]", "x"]),
    ({"天气": "normalized"}, "a天气x 天 气天气", ["a", "天气", "x", "天", "气", "天气"]),
    (
        {"Hello": "normalized", "CAFÉ": "normalized"},
        "xHELLOx he\u200bllo cafe\u0301x",
        ["x", "Hello"] * 2 + ["CAFÉ", "x"],
    ),
    ({"Hello": ""}, "Hello HELLO", ["Hello", "hello"]),
    ({"你": "normalized single_word", "[E]": ""}, "x你 天你 [E]你", ["x", "[UNK]", "天", "你", "[E]", "你"]),
    ({"Foo": "normalized", "foo": "normalized", "FOO": ""}, "Foo foo FOO", ["Foo", "Foo", "FOO"]),
]


@dataclass(frozen=True)
class Token:
    content: str
    id: int
    lstrip: bool
    rstrip: bool
    single_word: bool
    normalized: bool
    special: bool = False
    in_vocabulary: bool = False


@pytest.mark.parametrize(("added", "text", "tokens"), ADDED)
def test_added_tokens(added: dict[str, str], text: str, tokens: list[str]) -> None:
    names = ("lstrip", "rstrip", "single_word", "normalized")
    made = [
        Token(content, 900 + number, *(name in flags.split() for name in names))
        for number, (content, flags) in enumerate(added.items())
    ]
    oracle = ReferenceTokenizer(ENTRIES, lower_case=True, added=made)
    assert oracle.tokens(text) == tokens
    assert oracle.ids(text) == [
        900 + [*added].index(token) if token in added else ENTRIES.index(token) for token in tokens
    ]
    assert [piece for word in oracle.offsets(text.encode()) for piece, _, _ in word] == tokens


def test_white_space_that_added_tokens_swallow() -> None:
    both = Token("[B]", 900, lstrip=True, rstrip=True, single_word=False, normalized=False)
    oracle = ReferenceTokenizer(ENTRIES, lower_case=True, added=[both])
    source = "a [B] \x0b\x85\u3000 [B] x".encode()
    assert oracle.offsets(source) == [
        [("a", 0, 1)],
        [("[B]", 1, 13)],
        [("[B]", 13, 17)],
        [("x", 17, 18)],
    ]


@pytest.mark.parametrize(
    ("text", "lower_case", "strip_accents", "chinese_chars", "words"),
    [
        ("É cafe\u0301", True, False, True, ["é", "cafe\u0301"]),
        ("É cafe\u0301", False, True, True, ["E", "cafe"]),
        ("a天气x，天", True, True, False, ["a天气x", "，", "天"]),
    ],
)
def test_flags(text: str, lower_case: bool, strip_accents: bool, chinese_chars: bool, words: list[str]) -> None:
    assert ReferenceTokenizer(ENTRIES, lower_case, strip_accents, chinese_chars).words(text) == words


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
