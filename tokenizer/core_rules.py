"""The rules that a tokenizer of core operations cannot follow yet, refused by name. Nothing here knows TensorFlow."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.errors import Unsupported

_MOST_ENTRIES = (1 << 20) - 2  # an id and the length of an entry share one int32, and two ids have other meanings
_MOST_SHOWN = 3
_SPACING_SINCE_14 = "\u1734"  # dropped by the tables of Unicode 13, which older Pythons have, and kept by TensorFlow's


def checked_for_core(vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool) -> None:
    """Raise Unsupported, which lists every rule that core operations cannot follow."""
    if rules.sentencepiece:
        raise Unsupported(
            "SentencePiece runs in operations of tensorflow-text alone, so there is neither a core archive nor a text "
            "archive of this tokenizer. `zoo export … --kind encoder` and `zoo export-tokenizer` (--ops text) make an "
            "encoder and its tokenizer, and zoo.TextEncoder(encoder, tokenizer) makes vectors of texts with the pair."
        )
    if problems := [*_problems(vocabulary, rules, special_tokens_in_text)]:
        raise Unsupported(
            f"--ops core cannot {'; nor can it '.join(problems)}. Use --ops text: its archive has the same functions, "
            "and needs tensorflow-text."
        )


def _problems(vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool) -> Iterator[str]:
    tokens = rules.whole_tokens(vocabulary, special_tokens_in_text)
    if normalized := [token.content for token in tokens if token.normalized]:
        shown = ", ".join(repr(content[:50]) for content in normalized[:_MOST_SHOWN])
        more = ", …" if len(normalized) > _MOST_SHOWN else ""
        yield f"look for added tokens in normalised text ({shown}{more})"
    if rules.strip_accents and len(marks := _ordered_marks(vocabulary)) > 1:
        shown = ", ".join(f"U+{ord(char):04X}" for char in marks[:_MOST_SHOWN])
        yield f"put combining marks of the vocabulary into canonical order ({shown})"
    if len(vocabulary) > _MOST_ENTRIES:
        yield f"hold {len(vocabulary):,} entries; it can hold {_MOST_ENTRIES:,}"


def _ordered_marks(vocabulary: Vocabulary) -> list[str]:
    """Return one combining mark of each class, of those in the vocabulary that stay when accents are dropped.

    Canonical order swaps two such marks if their classes differ. It matters only where both are in the vocabulary: a
    word that holds any other mark is unknown in every order.
    """
    alphabet = sorted({char for entry in vocabulary.entries for char in entry})
    kept = {unicodedata.combining(char): char for char in alphabet if _stays(char)}
    return [char for kind, char in kept.items() if kind]


def _stays(char: str) -> bool:
    return unicodedata.category(char) != "Mn" or char == _SPACING_SINCE_14
