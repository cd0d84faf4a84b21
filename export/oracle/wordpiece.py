"""The original BERT tokenizer in plain Python: the published algorithm, with which exported tokenizers are compared.

Source: google-research/bert, tokenization.py (FullTokenizer), read as a specification; for added tokens, which the
original lacks, AddedVocabulary of Hugging Face's tokenizers. The code prefers clarity to speed: one function for one
rule, and nothing shared with the tokenizer under test. `offsets` repeats the algorithm with characters that know their
bytes in the source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Protocol

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

# Names of letters in circles and squares: symbols, but part of a word to Rust's regular expressions.
CIRCLED = re.compile("(NEGATIVE )?(CIRCLED|SQUARED) LATIN CAPITAL LETTER [A-Z]|CIRCLED LATIN SMALL LETTER [A-Z]")

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


class Added(Protocol):
    """A token that is found in a text as a whole."""

    @property
    def content(self) -> str: ...
    @property
    def id(self) -> int: ...
    @property
    def lstrip(self) -> bool: ...
    @property
    def rstrip(self) -> bool: ...
    @property
    def single_word(self) -> bool: ...
    @property
    def normalized(self) -> bool: ...
    @property
    def special(self) -> bool: ...
    @property
    def in_vocabulary(self) -> bool: ...


def golden_texts(added: Sequence[Added]) -> list[tuple[str, ...]]:
    """Return the golden texts of a tokenizer: `GOLDEN_TEXTS`, and some with every kind of added token.

    Of the tokens with the same flags the first three get a text, in which the token stands alone, beside letters and
    Chinese characters, and in other cases.
    """
    kinds: dict[tuple[bool, ...], list[str]] = {}
    for token in added:
        flags = (token.lstrip, token.rstrip, token.single_word, token.normalized, token.in_vocabulary)
        kinds.setdefault(flags, []).append(token.content)
    contents = [content for same in kinds.values() for content in same[:3]]
    texts = [f"{each} a{each}b  {each}\u3000好{each}，{each}{each} {each.upper()} {each.lower()}" for each in contents]
    return [*GOLDEN_TEXTS, *((text,) for text in texts)]


Span = tuple[int, int, Added | None]  # where a part of a text begins and ends, and the token that the part is


class ReferenceTokenizer:
    """Tokenises as the original does. `entries` are the lines of a vocab.txt, in the order of their ids.

        ReferenceTokenizer(entries, lower_case=True).tokens("unaffable")  # ["un", "##aff", "##able"]

    The original has no other settings. `strip_accents` (None: as lower_case), `chinese_chars` (False: Chinese
    characters are letters as others), `special` (BERT's name of a special token -> its spelling) and `added` are those
    of Hugging Face's tokenizers.
    """

    def __init__(
        self,
        entries: Sequence[str],
        lower_case: bool,
        strip_accents: bool | None = None,
        chinese_chars: bool = True,
        special: Mapping[str, str] = MappingProxyType({}),
        added: Sequence[Added] = (),
    ) -> None:
        behind = {token.id for token in added if not token.in_vocabulary}
        self.number = {entry: number for number, entry in enumerate(entries) if number not in behind}
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.chinese_chars = chinese_chars
        self.entries = entries
        spelled = (special.get(name, name) for name in ("[UNK]", "[CLS]", "[SEP]", "[MASK]"))
        self.unknown, self.cls, self.sep, self.mask = spelled
        special_first = sorted(added, key=lambda token: not token.special)
        self.in_text = [(token.content, token) for token in special_first if not token.normalized]
        self.in_normal_form = [(self.normal_form(token.content), token) for token in special_first if token.normalized]

    def tokens(self, text: str) -> list[str]:
        """Return the word pieces of a text."""
        return [piece for piece, _ in self._numbered(text)]

    def ids(self, text: str) -> list[int]:
        """Return the ids of the word pieces."""
        return [number for _, number in self._numbered(text)]

    def encode(self, text: str, pair: str | None = None) -> list[int]:
        """Return [CLS] text [SEP], or [CLS] text [SEP] pair [SEP]."""
        cls, sep = self.number[self.cls], self.number[self.sep]
        return [cls, *self.ids(text), sep, *([] if pair is None else [*self.ids(pair), sep])]

    def _numbered(self, text: str) -> Iterator[tuple[str, int]]:
        for start, stop, token in spans(text, self.in_text):
            if token is not None:
                yield token.content, token.id
                continue
            normal = self.normal_form(text[start:stop])
            for first, last, found in spans(normal, self.in_normal_form):
                if found is not None:
                    yield found.content, found.id
                    continue
                for word in split_words(normal[first:last]):
                    yield from ((piece, self.number[piece]) for piece in self.pieces(word))

    # -- the basic tokenizer: text to words -----------------------------------------------------------------------

    def words(self, text: str) -> list[str]:
        """Return the words that WordPiece splits into pieces, of a text without added tokens."""
        return split_words(self.normal_form(text))

    def normal_form(self, text: str) -> str:
        """Return the text without control characters, with spaces around ideographs, in lower case, without accents."""
        text = "".join(" " if is_whitespace(char) else char for char in text if not is_dropped(char))
        if self.chinese_chars:
            text = "".join(f" {char} " if is_ideograph(char) else char for char in text)
        text = text.lower() if self.lower_case else text
        return without_accents(text) if self.strip_accents else text

    # -- WordPiece: word to pieces --------------------------------------------------------------------------------

    def pieces(self, word: str) -> list[str]:
        """Return the greedy longest matches, or [UNK] for a word that is too long or that no pieces make up."""
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        found: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.number), None)
            if end is None:
                return [self.unknown]
            found.append(prefix + word[start:end])
            start = end
        return found

    # -- the same algorithm with the bytes of the source ----------------------------------------------------------

    def offsets(self, source: bytes) -> list[list[tuple[str, int, int]]]:
        """Return, for every word, (piece, start, limit) of its pieces: [[("un", 0, 2), ("##aff", 2, 5)]].

        `start` and `limit` count bytes of the source, bytes that are not UTF-8 included. A piece reaches from the first
        to the last source character that is part of it. An added token is a word.
        """
        words = []
        for part, token in _parts(decode(source), self.in_text):
            if token is not None:
                words.append([_span(token.content, part)])
                continue
            for rest, found in _parts(self._span_normal_form(part), self.in_normal_form):
                if found is not None:
                    words.append([_span(found.content, rest)])
                else:
                    words += [list(self._span_pieces(word)) for word in _span_words(rest)]
        return words

    def _span_normal_form(self, chars: Sequence[Char]) -> list[Char]:
        normal: list[Char] = []
        for char in chars:
            if is_dropped(char.char):
                continue
            if is_whitespace(char.char):
                normal.append(Char(" ", char.start, char.limit))
            elif self.chinese_chars and is_ideograph(char.char):
                normal += [Char(" ", char.start, char.start), char, Char(" ", char.limit, char.limit)]
            else:
                normal.append(char)
        normal = _lowered(normal) if self.lower_case else normal
        return _without_accents(normal) if self.strip_accents else normal

    def _span_pieces(self, word: list[Char]) -> Iterator[tuple[str, int, int]]:
        pieces = self.pieces("".join(char.char for char in word))
        is_unknown = pieces == [self.unknown]
        lengths = [len(word)] if is_unknown else [len(piece) - 2 * (n > 0) for n, piece in enumerate(pieces)]
        start = 0
        for piece, length in zip(pieces, lengths, strict=True):
            yield _span(piece, word[start : start + length])
            start += length


# -- added tokens -------------------------------------------------------------------------------------------------


def spans(text: str, wanted: Sequence[tuple[str, Added]]) -> list[Span]:
    """Return the parts of a text: those that are added tokens, and those between.

    At each place the longest text in `wanted` counts, of equal ones the first. A token that must be a single word but
    is not is passed over as a whole. White space goes to the first token that swallows it.
    """
    if not wanted:
        return [(0, len(text), None)]
    found: list[Span] = []
    end = place = 0
    while place < len(text):
        length, token = max(
            ((len(each), token) for each, token in wanted if text.startswith(each, place)),
            key=lambda fit: fit[0],
            default=(1, None),
        )
        start, place = place, place + length
        is_joined = is_word_character(text[start - 1 : start]) or is_word_character(text[place : place + 1])
        if token is None or (token.single_word and is_joined):
            continue
        while token.lstrip and start > end and is_space(text[start - 1]):
            start -= 1
        stop = place
        while token.rstrip and stop < len(text) and is_space(text[stop]):
            stop += 1
        found += [(end, start, None), (start, stop, token)]
        end = stop
    found.append((end, len(text), None))
    return [span for span in found if span[0] < span[1]]


def is_word_character(char: str) -> bool:
    """Return whether a character is a letter, mark, digit, underscore or joiner; no for none. Rust's \\w."""
    if not char:
        return False
    category = unicodedata.category(char)
    is_letter = category[0] in "LM" or category in ("Nl", "Nd", "Pc")
    return is_letter or char in "\u200c\u200d" or bool(CIRCLED.fullmatch(unicodedata.name(char, "")))


def is_space(char: str) -> bool:
    """Return whether a character is white space as Unicode says, which the separators U+001C to U+001F are not."""
    return char.isspace() and not "\x1c" <= char <= "\x1f"


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


def split_words(text: str) -> list[str]:
    """Split a normalised text at white space and at punctuation, which is kept."""
    words: list[str] = []
    for token in text.split():
        words.extend(split_at_punctuation(token))
    return " ".join(words).split()


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


def _span(piece: str, chars: Sequence[Char]) -> tuple[str, int, int]:
    chars = [char for char in chars if char.start < char.limit]  # leaves out the spaces around ideographs
    return piece, min(char.start for char in chars), max(char.limit for char in chars)


def _parts(chars: Sequence[Char], wanted: Sequence[tuple[str, Added]]) -> list[tuple[Sequence[Char], Added | None]]:
    found = spans("".join(char.char for char in chars), wanted)
    return [(chars[start:stop], token) for start, stop, token in found]


def _span_words(chars: Sequence[Char]) -> list[list[Char]]:
    """Split characters into words: white space separates words and is dropped, punctuation is a word."""
    words: list[list[Char]] = [[]]
    for char in chars:
        if char.char.isspace():
            words.append([])
        elif is_punctuation(char.char):
            words += [[char], []]
        else:
            words[-1].append(char)
    return [word for word in words if word]


def _lowered(chars: Sequence[Char]) -> list[Char]:
    lowered = "".join(char.char for char in chars).lower()
    sources = [char for char in chars for _ in char.char.lower()]
    return [Char(char, source.start, source.limit) for char, source in zip(lowered, sources, strict=True)]


def _without_accents(chars: Sequence[Char]) -> list[Char]:
    """Decompose, put marks in canonical order and drop nonspacing ones; bytes of characters are kept."""
    single = [Char(part, char.start, char.limit) for char in chars for part in unicodedata.normalize("NFD", char.char)]
    ordered: list[Char] = []
    for _, group in groupby(single, key=lambda char: unicodedata.combining(char.char) > 0):
        marks = list(group)
        in_order = unicodedata.combining(marks[0].char) > 0
        ordered += sorted(marks, key=lambda char: unicodedata.combining(char.char)) if in_order else marks
    return [char for char in ordered if unicodedata.category(char.char) != "Mn"]
