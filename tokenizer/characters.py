"""A table of every character: whether it is dropped, a space, a word of its own or part of one, and what it becomes.

The table is made with the rules of tokenizer/normalisation.py and with FastWordpiece, one character at a time, so that
both tokenizers follow the same edition of Unicode. One rule looks at the characters beside one: a capital sigma at the
end of a word becomes another small letter than elsewhere. `casing_table` says which characters count for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from tokenizer import normalisation
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import UNK
from zoo.archive.wordpiece_model import FOUND_AS_GIVEN, model_bytes

# What a character becomes is one number: the id of a word of its own, SPACE, LETTER less the code point of a part of a
# word (lower case, no accents), or UNUSUAL less a row of CharacterTable.several.
SPACE, LETTER, UNUSUAL = -1, -2, -(1 << 28)
NO_LETTER = 0xFFFD  # in texts it is dropped, so no word holds it
PAGE = 256  # code points of a page; equal pages are stored once
SIGMA, FINAL_SIGMA = 0x3A3, 0x3C2
CASED, IGNORED = 1, 2  # beside a sigma; all other characters are 0

_CODES = np.array([code for code in range(0x110000) if not 0xD800 <= code < 0xE000], np.int32)
_SPACE, _ALONE, _INSIDE = range(1, 4)
Pages = tuple[np.ndarray, np.ndarray]  # of each page of Unicode, where its numbers begin; the numbers; int32


@dataclass(frozen=True)
class CharacterTable:
    """`numbers` says what each character becomes.

    A character that becomes none or several, such as U+0301 or a Hangul syllable, is UNUSUAL - n there: it becomes the
    numbers in the first `lengths[n]` columns of row n of `several`. So is a capital sigma, if the characters beside it
    decide.
    """

    numbers: Pages
    several: np.ndarray  # (rows, most) int32
    lengths: np.ndarray  # (rows,) int32


def character_table(
    entries: Mapping[str, int], unknown: int, rules: TokenizerRules, mark: int | None, sigma_is_unusual: bool
) -> CharacterTable:
    """Return the table of a vocabulary. Words of one character that it lacks have the id `unknown`.

    A part of a word that no entry holds becomes NO_LETTER. `mark` is the number of FOUND_AS_GIVEN, which stands for an
    added token; None: it is dropped as in any text.
    """
    values, splits = _folded(rules.lower_case, rules.strip_accents)
    counts, first = np.diff(splits), splits[:-1]

    letters = np.full(0x110000, LETTER - NO_LETTER, np.int64)
    known = [ord(char) for char in set().union(*entries)]
    letters[known] = LETTER - np.array(known)
    alone = np.full(0x110000, unknown, np.int64)
    single = {ord(entry): number for entry, number in entries.items() if len(entry) == 1}
    alone[[*single]] = [*single.values()]
    kinds = np.zeros(0x110000, np.int64)
    kinds[_CODES] = _kinds(not rules.tokenize_chinese_chars)
    unchanged = np.where(kinds == _ALONE, alone, np.where(kinds == _INSIDE, letters, SPACE))

    numbers = np.full(0x110000, UNUSUAL, np.int64)
    numbers[_CODES[counts == 1]] = unchanged[values[first[counts == 1]]]
    if mark is not None:
        numbers[ord(FOUND_AS_GIVEN)] = mark
    rows: dict[tuple[int, ...], int] = {(): 0}
    unusual = [*np.flatnonzero(counts > 1), *([SIGMA] if sigma_is_unusual else [])]
    for place_ in unusual:
        row = tuple(map(int, unchanged[values[splits[place_] : splits[place_ + 1]]]))
        numbers[_CODES[place_]] = UNUSUAL - rows.setdefault(row, len(rows))
    several = np.zeros((len(rows), max(map(len, rows)) or 1), np.int32)
    for row, number in rows.items():
        several[number, : len(row)] = row
    return CharacterTable(paged(numbers), several, np.array([*map(len, rows)], np.int32))


@cache
def casing_table(has_marks: bool) -> Pages:
    """Return for each code point CASED, IGNORED or 0.

    Characters that are dropped before a text becomes lower case are IGNORED. Combining marks are dropped later, and
    only those that `lower` knows are IGNORED: it does not know U+0898, which came with Unicode 14.
    """
    chars = _characters()

    def makes_final(before: str) -> np.ndarray:
        text = normalisation.clean(tf.strings.join([before, chars, chr(SIGMA)]), has_marks)
        lowered = normalisation.lower(text)
        return tf.strings.regex_full_match(lowered, "(?s).*\u03c2").numpy()

    kinds = np.zeros(0x110000, np.int64)
    kinds[_CODES[makes_final("A")]] = IGNORED
    kinds[_CODES[makes_final("")]] = CASED
    return paged(kinds)


def _characters() -> tf.Tensor:
    return tf.strings.unicode_encode(_CODES[:, np.newaxis], "UTF-8")


@cache
def _folded(lower_case: bool, strip_accents: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the characters that each character becomes, one after another, and where those of each begin."""
    folded = normalisation.clean(_characters(), has_marks=False)
    if lower_case:
        folded = normalisation.lower(folded)
    if strip_accents:
        folded = normalisation.strip_accents(normalisation.decompose(folded))
    found = tf.strings.unicode_decode(folded, "UTF-8", errors="ignore")
    return found.values.numpy(), found.row_splits.numpy()


@cache
def _kinds(chinese_words: bool) -> np.ndarray:
    """Return the kind of each character that no rule changes: "aa,a" is three words, "aa a" is two, "aaba" is one."""
    text = normalisation.space(tf.strings.join(["aa", _characters(), "a"]), "", chinese_words)
    if chinese_words:
        words = tf.strings.split(text)
    else:
        model = tf_text.FastWordpieceTokenizer(token_out_type=tf.int32, model_buffer=model_bytes([UNK, "a"]))
        words = model.tokenize(text)
    return np.array([0, _INSIDE, _SPACE, _ALONE])[words.row_lengths().numpy()]


def paged(of_code: np.ndarray) -> Pages:
    """Return the numbers of all code points, (0x110000,), as `looked_up` finds them: equal pages are stored once."""
    numbers: dict[bytes, int] = {}  # most pages are equal, and numpy's comparison of whole rows is slow
    every = of_code.reshape(-1, PAGE).astype(np.int32)
    first = [numbers.setdefault(page.tobytes(), len(numbers)) for page in every]
    pages, place = np.unique(np.frombuffer(b"".join(numbers), np.int32).reshape(-1, PAGE), axis=0, return_inverse=True)
    return place.reshape(-1)[first].astype(np.int32) * PAGE, pages.reshape(-1)


def looked_up(pages: Pages, codes: tf.Tensor) -> tf.Tensor:
    """Return the numbers of code points, (C,) int32."""
    page_of, numbers = pages
    return tf.gather(numbers, tf.gather(page_of, codes // PAGE) + codes % PAGE)
