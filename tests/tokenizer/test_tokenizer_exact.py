"""Ids and offsets equal the original BERT tokenizer's, on saved and reloaded tokenizers."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings, strategies as st

from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer
from tests.tokenizer.conftest import NAMES, Compared, Load, Reference
from tests.tokenizer.editions import RECATEGORISED
from tests.tokenizer.texts import assigned, long_words, mixtures, plain_texts

VOCABULARIES = pytest.mark.parametrize("name", NAMES)
MODELS = pytest.mark.parametrize(
    ("name", "lower_case"),
    [("traps", True), ("traps", False), pytest.param("chinese", True, marks=NAMES[1].marks)],
    ids=["traps uncased", "traps cased", "chinese"],
)


def ids(tokenizer: Any, texts: Sequence[str | bytes]) -> list[list[int]]:
    words: tf.RaggedTensor = tokenizer.tokenize(tf.constant(texts, tf.string))
    return words.merge_dims(1, 2).to_list()


def nested(words: tf.RaggedTensor) -> list[list[list[int]]]:
    """What to_list() gives, which takes a minute for this many words."""
    flat, ends, rows = words.flat_values.numpy().tolist(), words.values.row_splits.numpy(), words.row_splits.numpy()
    by_word = [flat[start:end] for start, end in itertools.pairwise(ends)]
    return [by_word[start:end] for start, end in itertools.pairwise(rows)]


def different(tokenizer: Any, oracle: ReferenceTokenizer, texts: Sequence[str]) -> list[tuple[str, list[str]]]:
    found = ids(tokenizer, texts)
    entries = list(oracle.number)
    return [
        (text, [entries[number] for number in numbers])
        for text, numbers in zip(texts, found, strict=True)
        if numbers != oracle.ids(text)
    ]


@pytest.mark.parametrize(
    ("name", "lower_case", "context"),
    [
        ("traps", True, "甲{0}a"),
        pytest.param("traps", True, "aΣ{0}b aΣ{0}", marks=pytest.mark.slow),
        pytest.param("traps", False, "甲{0}a{0}", marks=pytest.mark.slow),
        pytest.param("chinese", True, "a{0}天", marks=NAMES[1].marks),
    ],
)
def test_every_assigned_character(
    load: Load,
    reference: Reference,
    newer: frozenset[str],
    compared: Compared,
    name: str,
    lower_case: bool,
    context: str,
) -> None:
    in_doubt = newer if lower_case else frozenset[str]()
    skipped = {char for char in in_doubt if char != char.lower() or "Σ" in context or char in RECATEGORISED}
    chars = [char for char in assigned() if char not in skipped]
    if context != "甲{0}a":  # once is enough for half of all characters
        chars = [char for char in chars if unicodedata.category(char) != "Co"]
    texts = [context.format(char) for char in chars]
    assert different(load(name, lower_case=lower_case), reference(name, lower_case), texts) == []
    what = f"assigned characters as {context!r}, {name}, {'un' * lower_case}cased"
    compared(what + f"; left out: {len(skipped)} that TensorFlow knows otherwise" * bool(skipped), len(texts))


@MODELS
def test_mixtures(
    load: Load, reference: Reference, newer: frozenset[str], compared: Compared, name: str, lower_case: bool
) -> None:
    chars = sorted(set(assigned()) - newer)
    texts = list(mixtures(10_000, seed=7, chars=chars))
    assert different(load(name, lower_case=lower_case), reference(name, lower_case), texts) == []
    compared(f"random mixtures, {name}, {'un' * lower_case}cased", len(texts))


@MODELS
def test_plain_texts(load: Load, reference: Reference, compared: Compared, name: str, lower_case: bool) -> None:
    """Texts that the model reads as they are, alone and beside others that it does not."""
    texts = list(plain_texts(3000, seed=9))
    texts[::7] = [f"{text}é" for text in texts[::7]]
    assert different(load(name, lower_case=lower_case), reference(name, lower_case), texts) == []
    compared(f"plain texts, {name}, {'un' * lower_case}cased", len(texts))


@VOCABULARIES
def test_chinese_full_of_punctuation(load: Load, reference: Reference, compared: Compared, name: str) -> None:
    marks = "，。！？（）、；：“”‘’《》【】「」『』…—～·￥％＆＠＃＊＋－／＝＜＞［］｛｝｜＼＾＿｀ＡｚＺ０９　"
    texts = [f"天气{a}很好{b}a{b}{a}" for a in marks for b in marks]
    assert different(load(name), reference(name), texts) == []
    compared(f"sentences of full-width punctuation, {name}", len(texts))


@MODELS
def test_words_around_the_limit(
    load: Load, reference: Reference, compared: Compared, name: str, lower_case: bool
) -> None:
    texts = long_words()
    assert different(load(name, lower_case=lower_case), reference(name, lower_case), texts) == []
    one_by_one = [number for text in texts[:40] for number in ids(load(name, lower_case=lower_case), [text])]
    assert one_by_one == [reference(name, lower_case).ids(text) for text in texts[:40]]
    compared(f"words around 200 characters, {name}, {'un' * lower_case}cased", len(texts))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=8))
def test_any_text(load: Load, reference: Reference, newer: frozenset[str], texts: list[str]) -> None:
    texts = [text for text in texts if not newer.intersection(text)]
    assert different(load("traps"), reference("traps"), texts) == []


def test_bytes_that_are_not_utf8_are_skipped(load: Load, reference: Reference, compared: Compared) -> None:
    good = list(mixtures(2000, seed=3, chars=["甲"]))
    raw = [text.encode()[index % 3 : len(text.encode()) - index % 2] for index, text in enumerate(good)]
    raw += [
        b"a\xffb",
        b"\xe4\xb8a",
        b"\xed\xa0\x80x",
        b"\xf5\x80\x80\x80y",
        b"\xc0\x80z",
        b"\xf0\x9f\x98",
        b"a\xe4\xb8\xffb",
    ]
    assert ids(load("traps"), raw) == [reference("traps").ids(text.decode("utf-8", "ignore")) for text in raw]
    compared("texts with broken UTF-8, traps", len(raw))


# -- offsets ------------------------------------------------------------------------------------------------------


@MODELS
def test_offsets(
    load: Load, reference: Reference, newer: frozenset[str], compared: Compared, name: str, lower_case: bool
) -> None:
    oracle = reference(name, lower_case)
    texts = [
        "",
        "Éa 你好！ cafe\u0301 İSTANBUL ＡＢ 𐐀😀",
        "a\x00b\u200bc 가힣",
        "각\u302e\u1baa\u0301\u302fΑΣ",
        *long_words()[-30:],
    ]
    texts += [text for golden in GOLDEN_TEXTS for text in golden]
    texts += mixtures(2000, seed=11, chars=sorted(set(assigned()) - newer))
    raw = [text.encode() for text in texts]
    raw += [text[index % 3 : len(text) - index % 2] for index, text in enumerate(raw[-500:])]

    found, starts, limits = map(nested, load(name, lower_case=lower_case).tokenize_with_offsets(raw))

    entries = list(oracle.number)
    for text, *parts in zip(raw, found, starts, limits, strict=True):
        words = [
            [(entries[piece], *span) for piece, *span in zip(*word, strict=True)] for word in zip(*parts, strict=True)
        ]
        assert words == oracle.offsets(text), text
    compared(f"texts with offsets, {name}, {'un' * lower_case}cased", len(raw))


# -- special tokens that a text names -----------------------------------------------------------------------------


def test_special_tokens_are_split_like_any_word(load: Load) -> None:
    for lower_case in (True, False):
        tokens = load("traps", lower_case=lower_case)(["[SEP]"]).numpy().tolist()
        assert [token.decode() for token in tokens[0]][::4] == ["[", "]"]


@pytest.mark.parametrize("lower_case", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["uncased", "cased"])
def test_special_tokens_kept_whole(load: Load, reference: Reference, compared: Compared, lower_case: bool) -> None:
    tokenizer, oracle = load("traps", lower_case=lower_case, special=True), reference("traps", lower_case)
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

    def tokens(text: str) -> list[tuple[str, int, int]]:
        first = (
            min((text.find(name), name) for name in names if name in text) if any(n in text for n in names) else None
        )
        if first is None:
            return [piece for word in oracle.offsets(text.encode()) for piece in word]
        start, name = first
        before, after = len(text[:start].encode()), len(text[: start + len(name)].encode())
        rest = [(piece, after + a, after + b) for piece, a, b in tokens(text[start + len(name) :])]
        return [*tokens(text[:start]), (name, before, after), *rest]

    texts = [
        "a[MASK]b",
        "[MASK][SEP]5",
        "[mask] [MA\x01SK]",
        "aΣ[MASK]\u0301Σ",
        "\x01444\x01 [UNK]",
        "[[CLS]]",
        "x" * 201 + "[PAD]",
    ]
    texts += mixtures(1500, seed=5, chars=names)
    raw = [text.encode() for text in texts]
    parts = tokenizer.tokenize_with_offsets(raw)
    assert ids(tokenizer, texts) == parts[0].merge_dims(1, 2).to_list()
    for text, words, starts, limits in zip(texts, *map(nested, parts), strict=True):
        found = list(zip(*map(itertools.chain.from_iterable, (words, starts, limits)), strict=True))
        assert found == [(oracle.number[name], a, b) for name, a, b in tokens(text)], text
    compared(f"texts with special tokens kept whole, traps, {'un' * lower_case}cased", len(texts))
