"""tokenizer.json: its rules are those of the in-graph tokenizer, its ids those of the original algorithm."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import tensorflow as tf

from export.convert.tokenizer_json import tokenizer_json
from export.oracle.wordpiece import (
    ReferenceTokenizer,
    is_dropped,
    is_ideograph,
    is_punctuation,
    is_whitespace,
)
from scripts.hard_texts import FILE, hard_texts
from tests.tokenizer.editions import RECATEGORISED, UNKNOWN_SCRIPT
from tests.tokenizer.rulesets import PLAIN, RULE_SETS, texts
from tests.tokenizer.test_rules import entries, reference as reference_of, rules_of
from tests.tokenizer.texts import assigned, long_words, mixtures, plain_texts, trap_vocabulary
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary


@cache
def content(lower_case: bool, special: bool = False) -> dict[str, Any]:
    rules = TokenizerRules.original(lower_case)
    return tokenizer_json(trap_vocabulary(), rules, rules.whole_tokens(Vocabulary(tuple(trap_vocabulary())), special))


def members(pattern: str) -> set[str]:
    """The characters of a class that is written as ranges."""
    ranges = re.findall(r"\\x\{([0-9A-F]+)\}-\\x\{([0-9A-F]+)\}", pattern)
    assert pattern == "[" + "".join(rf"\x{{{a}}}-\x{{{b}}}" for a, b in ranges) + "]"
    return {chr(code) for a, b in ranges for code in range(int(a, 16), int(b, 16) + 1)}


def test_the_file_of_hard_texts_is_what_its_maker_writes() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == hard_texts()


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        (0, lambda char: is_whitespace(char) or unicodedata.category(char) in ("Zl", "Zp")),
        (1, lambda char: is_dropped(char) or char in "\t\n\r"),  # these are spaces by then
        (-1, lambda char: unicodedata.category(char) == "Mn"),
        (None, lambda char: is_ideograph(char) or is_punctuation(char)),
    ],
    ids=["whitespace", "dropped", "marks", "words of their own"],
)
def test_ranges_are_the_original_algorithms(step: int | None, rule: Callable[[str], bool]) -> None:
    """Of every character but the few that were given another category since."""
    made = content(True)
    steps, split = made["normalizer"]["normalizers"], made["pre_tokenizer"]["pretokenizers"][1]
    pattern = (split if step is None else steps[step])["pattern"]["Regex"]
    different = {char for char in assigned() if rule(char)} ^ (members(pattern) & set(assigned()))
    assert different <= RECATEGORISED


def test_what_has_to_stay_apart_is_not_added() -> None:
    assert content(True)["added_tokens"] == []
    assert [token["content"] for token in content(True, special=True)["added_tokens"]][:2] == ["[PAD]", "[UNK]"]


# -- in the runtime ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime() -> Any:
    return pytest.importorskip("tokenizers", reason="no `tokenizers`: pip install 'bert-zoo[onnx]'").Tokenizer


def test_hard_texts(runtime: Any) -> None:
    hard = json.loads(FILE.read_text(encoding="utf-8"))
    tokenizer = runtime.from_str(
        json.dumps(tokenizer_json(hard["vocabulary"], TokenizerRules.original(hard["lower_case"])))
    )
    assert [row["text"] for row in hard["texts"] if tokenizer.encode(row["text"]).ids != row["ids"]] == []


@pytest.mark.slow
@pytest.mark.parametrize("lower_case", [True, False], ids=["uncased", "cased"])
def test_any_text(runtime: Any, lower_case: bool) -> None:
    """Every assigned character beside a sigma, words around the limit, random mixtures."""
    tokenizer, oracle = runtime.from_str(json.dumps(content(lower_case))), reference(lower_case)
    chars = [char for char in known() if unicodedata.category(char) != "Co"]
    texts = [*mixtures(1000, seed=3, chars=chars), *plain_texts(200, seed=4), *long_words()]
    texts += [f"甲aΣ{char}b {char}" for char in chars[::2]]
    found = tokenizer.encode_batch(texts, add_special_tokens=False)
    assert [text for text, each in zip(texts, found, strict=True) if each.ids != oracle.ids(text)] == []


def test_pairs_and_special_tokens(runtime: Any) -> None:
    tokenizer, oracle = runtime.from_str(json.dumps(content(True))), reference(True)
    pair = tokenizer.encode("你好", "天气[SEP]")
    assert pair.ids == oracle.encode("你好", "天气[SEP]")
    assert pair.type_ids == [0] * 4 + [1] * (len(pair.ids) - 4)
    whole = runtime.from_str(json.dumps(content(True, special=True)))
    assert whole.encode("你[MASK]好", add_special_tokens=False).tokens == ["你", "[MASK]", "好"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RULE_SETS)
def test_rules(runtime: Any, name: str) -> None:
    rules, vocabulary = rules_of(name), entries(name)
    whole = rules.whole_tokens(vocabulary, RULE_SETS[name].special_tokens_in_text)
    tokenizer, oracle = (
        runtime.from_str(json.dumps(tokenizer_json(vocabulary.entries, rules, whole))),
        reference_of(name),
    )
    given = [*PLAIN, *texts(1000, seed=2)]
    if "Ent" in RULE_SETS[name].added:
        # ENT, Ent and ent have one normal form, and tokenizers 0.23 takes any of them, in the order of a hash table.
        given = [text for text in given if "ent" not in text.lower()]
    found = tokenizer.encode_batch(given, add_special_tokens=False)
    assert [text for text, each in zip(given, found, strict=True) if each.ids != oracle.ids(text)] == []
    assert tokenizer.encode("a", "b").ids == oracle.encode("a", "b")


def known() -> list[str]:
    """Every assigned character that the tables inside TensorFlow know too; see DIFFERENCES."""
    chars = assigned()
    is_known = tf.strings.unicode_script([ord(char) for char in chars]).numpy() != UNKNOWN_SCRIPT
    left_out = RECATEGORISED | {"\U00011938"}  # the second is decomposed by later tables alone
    return [char for char, known in zip(chars, is_known, strict=True) if known and char not in left_out]


@cache
def reference(lower_case: bool) -> ReferenceTokenizer:
    return ReferenceTokenizer(trap_vocabulary(), lower_case)
