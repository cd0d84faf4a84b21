"""Characters that Python's tables of Unicode and those inside TensorFlow know differently."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable
from functools import cache

import tensorflow as tf

from tests.tokenizer.texts import assigned
from tokenizer.vocabulary import Vocabulary

RECATEGORISED = frozenset("\u1734")  # Mn until Unicode 13, Mc since
UNKNOWN_SCRIPT = 103  # ICU's USCRIPT_UNKNOWN, "Zzzz"
ASSIGNED = r"[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Z}\p{Cc}\p{Cf}\p{Co}]"


@cache
def newer() -> frozenset[str]:
    """Return the characters that this Python's tables have and ICU's inside TensorFlow, or RE2's, have not.

    TensorFlow 2.21: ICU of Unicode 13, RE2 of 15 or later. So the characters of Unicode 14 and 15 are told apart
    rightly as letters, marks and punctuation, but their capitals stay, and they do not know a final sigma.
    """
    chars = assigned()
    private = (unicodedata.category(char) == "Co" for char in chars)
    unknown_to_icu = tf.strings.unicode_script([*map(ord, chars)]).numpy() == UNKNOWN_SCRIPT
    unknown_to_re2 = ~tf.strings.regex_full_match(chars, ASSIGNED).numpy()
    is_newer = [not own and bool(new) for own, new in zip(private, unknown_to_icu | unknown_to_re2, strict=True)]
    return RECATEGORISED.union(itertools.compress(chars, is_newer))


def without_ordered_marks(entries: Iterable[str]) -> Vocabulary:
    """Leave out the entries for which `--ops core` refuses a vocabulary."""
    marks = {char for char in assigned() if unicodedata.combining(char) and unicodedata.category(char) != "Mn"}
    return Vocabulary(tuple(entry for entry in entries if marks.isdisjoint(entry)))
