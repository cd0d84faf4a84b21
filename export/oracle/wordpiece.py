"""The original BERT tokenizer in plain Python: the published algorithm, with which exported tokenizers are compared.

Source: google-research/bert, tokenization.py (FullTokenizer), read as a specification. The code prefers clarity to
speed: one function for one rule, and nothing shared with the tokenizer under test. `offsets` repeats the algorithm with
characters that know their bytes in the source.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

LONGEST_WORD = 200

# First and last character of the eight blocks that the original code treats as Chinese.
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)

# Texts, and pairs of texts, for which wrong tokenizers give other ids. Only characters of Unicode 6 and older.
GOLDEN_TEXTS: tuple[tuple[str, ...], ...] = (
    ("你好",),
    ("",),
    ("今天天气很好，我们去公园吧！（真的？）",),
    ("ＡＢＣ１２３，full-width：“引号”、《书名》…—￥９９",),
    ("Éléonore à l'École: naïve cafe\u0301 İSTANBUL Straße ΟΔΥΣΣΕΥΣ ΣΑΣ.",),
    ("The unaffable HuggingFace embeddings, tokenization & WordPiece (2018-2023) cost $3.50!",),
    (
        "zero\u200bwidth\u00adsoft\x00nul\x07bell\ufffdmark\ufefftab\tline\nbreak\r\nnbsp\u00a0thin\u2009sep\u2028par\u2029",
    ),
    ("x" * 200 + " " + "x" * 201 + " " + "й" * 200 + " " + "й" * 201,),
    ("我爱😀北京\U0001f1e8\U0001f1f3 \U00020000\U0002a6d6 \U0001d504",),
    ("[CLS] 这是[MASK]的 [SEP] ##字 [UNK] [mask]",),
    ("한국어 カタカナ ひらがな ภาษาไทย हिन्दी العربية עברית",),
    ("北京是中国的首都吗？", "是的，Beijing。"),
    ("", "空"),
)


@dataclass(frozen=True)
class Char:
    """One character and the bytes of the source that it came from."""

    char: str
    start: int
    limit: int


class ReferenceTokenizer:
    """Tokenises as the original does. `entries` are the lines of a vocab.txt, in the order of their ids.

    ReferenceTokenizer(entries, lower_case=True).tokens("unaffable")  # ["un", "##aff", "##able"]
    """

    def __init__(self, entries: Sequence[str], lower_case: bool) -> None:
        self.number = {entry: number for number, entry in enumerate(entries)}
        self.lower_case = lower_case

    def tokens(self, text: str) -> list[str]:
        """Return the word pieces of a text."""
        return [piece for word in self.words(text) for piece in self.pieces(word)]

    def ids(self, text: str) -> list[int]:
        """Return the ids of the word pieces."""
        return [self.number[token] for token in self.tokens(text)]

    def encode(self, text: str, pair: str | None = None) -> list[int]:
        """Return [CLS] text [SEP], or [CLS] text [SEP] pair [SEP]."""
        cls, sep = self.number["[CLS]"], self.number["[SEP]"]
        return [cls, *self.ids(text), sep, *([] if pair is None else [*self.ids(pair), sep])]

    # -- the basic tokenizer: text to words -----------------------------------------------------------------------

    def words(self, text: str) -> list[str]:
        """Return the words that WordPiece splits into pieces."""
        cleaned = "".join(" " if is_whitespace(char) else char for char in text if not is_dropped(char))
        spaced = "".join(f" {char} " if is_ideograph(char) else char for char in cleaned)
        words: list[str] = []
        for token in spaced.split():
            words.extend(split_at_punctuation(without_accents(token.lower()) if self.lower_case else token))
        return " ".join(words).split()

    # -- WordPiece: word to pieces --------------------------------------------------------------------------------

    def pieces(self, word: str) -> list[str]:
        """Return the greedy longest matches, or [UNK] for a word that is too long or that no pieces make up."""
        if len(word) > LONGEST_WORD:
            return ["[UNK]"]
        found: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.number), None)
            if end is None:
                return ["[UNK]"]
            found.append(prefix + word[start:end])
            start = end
        return found

    # -- the same algorithm with the bytes of the source ----------------------------------------------------------

    def offsets(self, source: bytes) -> list[list[tuple[str, int, int]]]:
        """Return, for every word, (piece, start, limit) of its pieces: [[("un", 0, 2), ("##aff", 2, 5)]].

        `start` and `limit` count bytes of the source, bytes that are not UTF-8 included. A piece reaches from the first
        to the last source character that is part of it.
        """
        return [list(self._span_pieces(word)) for word in self._span_words(source)]

    def _span_pieces(self, word: list[Char]) -> Iterator[tuple[str, int, int]]:
        pieces = self.pieces("".join(char.char for char in word))
        lengths = [len(word)] if pieces == ["[UNK]"] else [len(piece) - 2 * (n > 0) for n, piece in enumerate(pieces)]
        start = 0
        for piece, length in zip(pieces, lengths, strict=True):
            chars = word[start : start + length]
            yield piece, min(char.start for char in chars), max(char.limit for char in chars)
            start += length

    def _span_words(self, source: bytes) -> list[list[Char]]:
        chars = [char for char in decode(source) if not is_dropped(char.char)]
        words: list[list[Char]] = []
        for token in _runs(chars, apart=is_ideograph, between=lambda char: is_whitespace(char) or char.isspace()):
            folded = _fold(token) if self.lower_case else token
            words.extend(_runs(folded, apart=is_punctuation, between=str.isspace))
        return words


# -- characters ---------------------------------------------------------------------------------------------------


def is_whitespace(char: str) -> bool:
    """Return whether a character becomes a space: tab, newline, carriage return and the space separators (Zs)."""
    return char in "\t\n\r" or unicodedata.category(char) == "Zs"


def is_dropped(char: str) -> bool:
    """Return whether a character is removed: NUL, U+FFFD, and control and format characters that are not whitespace."""
    return char in "\0\ufffd" or (char not in "\t\n\r" and unicodedata.category(char) in ("Cc", "Cf"))


def is_ideograph(char: str) -> bool:
    """Return whether a character is always a word of its own. Hangul and kana are not, as in the original code."""
    return any(first <= ord(char) <= last for first, last in IDEOGRAPHS)


def is_punctuation(char: str) -> bool:
    """Return whether a character is punctuation: category P*, or ASCII but no letter, digit or space ($ + < ^ too)."""
    return char in r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~""" or unicodedata.category(char).startswith("P")


def without_accents(word: str) -> str:
    """Decompose a word (NFD) and drop nonspacing marks: é becomes e."""
    return "".join(char for char in unicodedata.normalize("NFD", word) if unicodedata.category(char) != "Mn")


def split_at_punctuation(word: str) -> list[str]:
    """Split a word at punctuation, which is kept: "a-b" gives ["a", "-", "b"]."""
    parts: list[str] = []
    glue = False
    for char in word:
        if is_punctuation(char) or not glue:
            parts.append(char)
        else:
            parts[-1] += char
        glue = not is_punctuation(char)
    return parts


# -- characters with their bytes ----------------------------------------------------------------------------------


def decode(source: bytes) -> list[Char]:
    """Return the characters of UTF-8 bytes with their places; bytes that are not UTF-8 are skipped."""
    chars = []
    place = 0
    while place < len(source):
        for size in range(1, 5):
            try:
                char = source[place : place + size].decode("utf-8")
            except UnicodeDecodeError:
                continue
            chars.append(Char(char, place, place + size))
            break
        else:
            size = 1
        place += size
    return chars


def _runs(chars: Sequence[Char], apart: Callable[[str], bool], between: Callable[[str], bool]) -> list[list[Char]]:
    """Split characters into runs: characters of `between` separate runs and are dropped, one of `apart` is a run."""
    runs: list[list[Char]] = [[]]
    for char in chars:
        if between(char.char):
            runs.append([])
        elif apart(char.char):
            runs += [[char], []]
        else:
            runs[-1].append(char)
    return [run for run in runs if run]


def _fold(token: Sequence[Char]) -> list[Char]:
    """Lower-case, decompose, put marks in canonical order and drop nonspacing ones; bytes of characters are kept."""
    lowered = "".join(char.char for char in token).lower()
    sources = [char for char in token for _ in char.char.lower()]
    single = [
        Char(part, source.start, source.limit)
        for char, source in zip(lowered, sources, strict=True)
        for part in unicodedata.normalize("NFD", char)
    ]
    ordered: list[Char] = []
    for _, group in groupby(single, key=lambda char: unicodedata.combining(char.char) > 0):
        marks = list(group)
        in_order = unicodedata.combining(marks[0].char) > 0
        ordered += sorted(marks, key=lambda char: unicodedata.combining(char.char)) if in_order else marks
    return [char for char in ordered if unicodedata.category(char.char) != "Mn"]
