"""The content of a tokenizer.json: WordPiece with every rule spelled out. Nothing here imports TensorFlow.

Classes of characters are given: the exporter reads them off the operations of the archives' graph, and
zoo/site/characters.json holds what it found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

from zoo.archive.wordpiece_model import CLS, CONTINUATION, SEP, UNK, WORD_LIMIT

# Settings of the runtime's BertNormalizer with which it only puts spaces around Chinese characters.
_SPACES_ALONE = {"clean_text": False, "handle_chinese_chars": True, "strip_accents": False, "lowercase": False}
# The classes that are asked for, and a capital sigma that ends a word.
CHARACTERS = ("white space", "dropped", "final sigma", "marks", "punctuation", "punctuation and Chinese characters")


class Rules(Protocol):
    """What `tokenizer.rules.TokenizerRules` says; `special_tokens` maps BERT's names to spellings."""

    @property
    def lower_case(self) -> bool: ...
    @property
    def strip_accents(self) -> bool: ...
    @property
    def tokenize_chinese_chars(self) -> bool: ...
    @property
    def special_tokens(self) -> Mapping[str, str]: ...


class Whole(Protocol):
    """A token that is found as a whole: `tokenizer.rules.AddedToken` says what its fields mean."""

    @property
    def content(self) -> str: ...
    @property
    def id(self) -> int: ...
    @property
    def single_word(self) -> bool: ...
    @property
    def normalized(self) -> bool: ...
    @property
    def in_vocabulary(self) -> bool: ...


def content_of(
    entries: Sequence[str], rules: Rules, whole: Sequence[Whole], characters: Callable[[str], str]
) -> dict[str, Any]:
    """Return the content for a vocabulary, its entries in the order of their ids.

    `characters` gives the regular expression of each of `CHARACTERS` that the rules need. The content wraps a text as
    [CLS] … [SEP] and a pair as [CLS] … [SEP] … [SEP]; it neither cuts nor pads. `whole` are the tokens that a text
    holds as a whole. A literal [MASK] in a text is split like any other word if it is none of them.
    """
    ids = {entry: number for number, entry in enumerate(entries)}
    behind = {token.content for token in whole if not token.in_vocabulary}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(token) for token in sorted(whole, key=attrgetter("id"))],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(rules, whole, characters)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _pre_tokenizers(rules, characters)},
        "post_processor": _post_processor(ids, rules.special_tokens),
        "decoder": {"type": "WordPiece", "prefix": CONTINUATION, "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": rules.special_tokens[UNK],
            "continuing_subword_prefix": CONTINUATION,
            "max_input_chars_per_word": WORD_LIMIT,
            "vocab": {entry: number for entry, number in ids.items() if entry not in behind},
        },
    }


def file_of(content: Mapping[str, Any]) -> bytes:
    """Return the file with this content: the one form in which archives, conversions and the catalogue have it."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _normalizers(rules: Rules, whole: Sequence[Whole], characters: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return the steps that change a text: white space, dropped characters, and lower case without accents."""
    steps = [_replace(characters("white space"), " "), _replace(characters("dropped"), "")]
    if rules.tokenize_chinese_chars and any(token.normalized and token.single_word for token in whole):
        # A Chinese character beside such a token is no part of its word: the runtime has to see spaces between them.
        steps.append({"type": "BertNormalizer", **_SPACES_ALONE})
    if rules.lower_case:
        steps += [_replace(characters("final sigma"), "ς"), {"type": "Lowercase"}]
    if rules.strip_accents:
        steps += [{"type": "NFD"}, _replace(characters("marks"), "")]
    return steps


def _pre_tokenizers(rules: Rules, characters: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return the steps that split a text into words: at spaces, and around Chinese characters and punctuation."""
    alone = characters("punctuation and Chinese characters" if rules.tokenize_chinese_chars else "punctuation")
    return [
        {"type": "WhitespaceSplit"},
        {"type": "Split", "pattern": {"Regex": alone}, "behavior": "Isolated", "invert": False},
    ]


def _post_processor(ids: Mapping[str, int], spellings: Mapping[str, str]) -> dict[str, Any]:
    cls, sep = spellings[CLS], spellings[SEP]

    def special(token: str, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": segment}}

    first = [special(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, special(sep, 0)]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, special(sep, 1)]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": [*first, *second],
        "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls, sep)},
    }


def _added(token: Whole) -> dict[str, Any]:
    flags = {flag: getattr(token, flag) for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    return {"id": token.id, "content": token.content, **flags}


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}
