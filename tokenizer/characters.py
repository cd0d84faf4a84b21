"""A table of every character: whether it is dropped, a space, a word of its own or part of one, and its symbol.

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

DROPPED, SPACE, ALONE, INSIDE = range(4)  # kinds of characters; ALONE is a word of one character
KIND = 1 << 28  # a coded character is its kind times KIND plus its symbol; so a dropped character is 0
PAGE = 256  # code points of a page; equal pages are stored once
SIGMA = 0x3A3
LETTER, IGNORED = 1, 2  # beside a sigma; all other characters are 0

_CODES = np.array([code for code in range(0x110000) if not 0xD800 <= code < 0xE000], np.int32)
_Pages = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class CharacterTable:
    """`coded[page_of[c // PAGE], c % PAGE]` is the coded character of code point c.

    A character that becomes several, such as U+0130 or a Hangul syllable, has a negative number there: -n, where row n
    of `several` holds the coded characters, in its first `lengths[n]` columns. `lengths[0]` is 1.
    """

    page_of: np.ndarray  # (pages of Unicode,) int32
    coded: np.ndarray  # (different pages, PAGE) int32
    several: np.ndarray  # (rows, most) int32
    lengths: np.ndarray  # (rows,) int32


def character_table(symbols: Mapping[str, int], rules: TokenizerRules, mark: int | None) -> CharacterTable:
    """Return the table for an alphabet, character -> symbol from 1; all other characters have the symbol 0.

    `mark` is the symbol of FOUND_AS_GIVEN, which stands for an added token; None: it is dropped as in any text.
    """
    values, splits = _folded(rules.lower_case, rules.strip_accents)
    counts, first = np.diff(splits), splits[:-1]

    unchanged = np.zeros(0x110000, np.int64)
    unchanged[_CODES] = _kinds(not rules.tokenize_chinese_chars) * KIND
    for char, symbol in symbols.items():
        unchanged[ord(char)] += symbol
    coded = np.zeros(0x110000, np.int64)
    coded[_CODES[counts == 1]] = unchanged[values[first[counts == 1]]]
    if mark is not None:
        coded[ord(FOUND_AS_GIVEN)] = ALONE * KIND + mark
    rows: dict[tuple[int, ...], int] = {(0,): 0}
    for place in np.flatnonzero(counts > 1):
        row = tuple(map(int, unchanged[values[splits[place] : splits[place + 1]]]))
        coded[_CODES[place]] = -rows.setdefault(row, len(rows))
    several = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for row, number in rows.items():
        several[number, : len(row)] = row
    return CharacterTable(*_paged(coded), several, np.array([*map(len, rows)], np.int32))


@cache
def casing_table(has_marks: bool) -> _Pages:
    """Return pages as in CharacterTable: LETTER, IGNORED or 0 for each code point.

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
    kinds[_CODES[makes_final("")]] = LETTER
    return _paged(kinds)


def _characters() -> tf.Tensor:
    return tf.strings.unicode_encode(_CODES[:, np.newaxis], "UTF-8")


@cache
def _folded(lower_case: bool, strip_accents: bool) -> _Pages:
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
    return np.array([0, INSIDE, SPACE, ALONE])[words.row_lengths().numpy()]


def _paged(of_code: np.ndarray) -> _Pages:
    """Return the page that each page of Unicode is, (pages of Unicode,), and the different pages in order, int32."""
    numbers: dict[bytes, int] = {}  # most pages are equal, and numpy's comparison of whole rows is slow
    every = of_code.reshape(-1, PAGE).astype(np.int32)
    first = [numbers.setdefault(page.tobytes(), len(numbers)) for page in every]
    pages, place = np.unique(np.frombuffer(b"".join(numbers), np.int32).reshape(-1, PAGE), axis=0, return_inverse=True)
    return place.reshape(-1)[first].astype(np.int32), pages
