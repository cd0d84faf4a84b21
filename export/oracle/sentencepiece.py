"""SentencePiece's unigram algorithm in plain Python: ids and offsets with which exported tokenizers are compared.

Source: google/sentencepiece 0.2.1 (normalizer.cc, unigram_model.cc, sentencepiece_processor.cc), google-research/albert
(tokenization.py), and for the numbers of XLM-R's and CamemBERT's tokens their tokenizers in transformers 4.57. Nothing
is shared with the tokenizer under test: the file is read byte by byte, the table of characters is walked as written.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

MARK = "\u2581".encode()  # of a space
UNKNOWN_PENALTY = np.float32(10)
SMALLEST = np.float32(np.finfo(np.float32).tiny)  # from which the highest score is looked for

# Texts, and pairs of texts, for which wrong tokenizers give other ids. Only characters of Unicode 6 and older.
GOLDEN: tuple[tuple[str, ...], ...] = (
    ("Hello world",),
    ("",),
    ("   ",),
    ("  two  spaces\tand a tab \n",),
    ("今天天气很好，我们去公园吧！（真的？）",),
    ("ＡＢＣ１２３，full-width：“引号”、《书名》…—￥９９",),
    ("Éléonore à l'École: naïve cafe\u0301 İSTANBUL Straße ΟΔΥΣΣΕΥΣ.",),
    ("In 2019, 1,234 people paid $3.50 (or £2) for ``this''; 9,9,",),
    ("zero\u200bwidth\u00adsoft\x00nul\x07bell\ufffdmark\ufefftab\tbreak\r\nnbsp\u00a0thin\u2009sep\u2028par\u2029",),
    ("x" * 200 + " " + "й" * 201,),
    ("我爱😀北京\U0001f1e8\U0001f1f3 \U00020000\U0002a6d6 \U0001d504 ﬁ ½ Ⅻ ㎏ ｶﾞ",),
    ("[CLS] 这是[MASK]的 [SEP] <s> <mask> </s> <pad> <unk> \u2581a\u2581",),
    ("한국어 カタカナ ひらがな ภาษาไทย हिन्दी العربية עברית",),
    ("北京是中国的首都吗？", "是的，Beijing。"),
    ("", "empty"),
)


class Found(NamedTuple):
    """A piece of a text: its id, and the bytes of the text that it is made of."""

    id: int
    start: int
    limit: int


class _Part(NamedTuple):
    """A piece of normalised text: its number, its bytes, and the bytes of the text that it is made of."""

    number: int
    text: bytes
    start: int
    limit: int


class ReferenceSentencePiece:
    """Cuts texts as SentencePiece does with the model in `data`, and numbers pieces as a family of models does.

        ReferenceSentencePiece(data, "fairseq").ids("Hello world")

    `numbering` is "own" (ALBERT), "fairseq" (XLM-R) or "camembert". With "own" texts go through ALBERT's own steps;
    `lower_case`, `strip_accents` and `remove_space` are its options. `whole` maps tokens that are found in a text as a
    whole to their ids.
    """

    def __init__(
        self,
        data: bytes,
        numbering: str,
        lower_case: bool = False,
        strip_accents: bool = False,
        remove_space: bool = False,
        special: Mapping[str, int] | None = None,
        whole: Mapping[str, int] | None = None,
    ) -> None:
        self.numbering, self.lower_case, self.strip_accents = numbering, lower_case, strip_accents
        self.remove_space, self.whole = (
            remove_space,
            {token.encode(): number for token, number in (whole or {}).items()},
        )
        self.special = special or {}
        self._read(data)

    def ids(self, text: str | bytes) -> list[int]:
        """Return the ids of the pieces."""
        return [found.id for found in self.pieces(text)]

    def encode(self, text: str, pair: str | None = None) -> list[int]:
        """Return the ids of a text or a pair with the special tokens around them."""
        cls, sep = self.special["[CLS]"], self.special["[SEP]"]
        between = [] if self.numbering == "own" else [sep]
        return [cls, *self.ids(text), sep, *([] if pair is None else [*between, *self.ids(pair), sep])]

    def pieces(self, text: str | bytes) -> list[Found]:
        """Return the pieces of a text with the bytes that each is made of."""
        source = text.encode() if isinstance(text, str) else text
        found: list[Found] = []
        for start, limit, token in self._parts(source):
            if token is not None:
                found.append(Found(token, start, limit))
            else:
                found += [Found(n, start + a, start + b) for n, a, b in self._of_part(source[start:limit])]
        return found

    def _parts(self, source: bytes) -> Iterator[tuple[int, int, int | None]]:
        """Yield start, limit and id of each token that is found as a whole, and the parts between, without an id."""
        begin = place = 0
        while place < len(source):
            token = max((each for each in self.whole if source.startswith(each, place)), key=len, default=None)
            if token is None:
                place += 1
                continue
            if begin < place:
                yield begin, place, None
            yield place, place + len(token), self.whole[token]
            begin = place = place + len(token)
        if begin < len(source):
            yield begin, len(source), None

    def _of_part(self, source: bytes) -> Iterator[tuple[int, int, int]]:
        if self.numbering != "own":
            for part in self.cut(source):
                yield self.id_of(part.number), part.start, part.limit
            return
        chars = self._prepared(source)
        prepared = "".join(char for char, _, _ in chars).encode()
        starts = [start for char, start, _ in chars for _ in char.encode()]
        limits = [limit for char, _, limit in chars for _ in char.encode()]
        for part in self._with_commas_cut(self.cut(prepared)):
            start = starts[part.start] if part.start < len(starts) else 0
            yield part.number, start, limits[part.limit - 1] if part.limit > part.start else start

    def id_of(self, number: int) -> int:
        """Return the id of a piece by the piece's number in the model."""
        if self.numbering == "fairseq":
            fixed = {b"<s>": 0, b"<pad>": 1, b"</s>": 2, b"<unk>": 3}
            return 3 if number == self.unknown else fixed.get(self.texts[number], number + 1)
        if self.numbering == "camembert":
            return 3 if number == self.unknown else number + 4
        return number

    # -- ALBERT's own steps ---------------------------------------------------------------------------------------

    def _prepared(self, source: bytes) -> list[tuple[str, int, int]]:
        """Return the characters of `preprocess_text(source)`, each with the bytes of the source it came from."""
        chars = _decoded(source)
        if self.remove_space:
            chars = _with_single_spaces(chars)
        if self.strip_accents:
            chars = _decomposed(chars)
            chars = [char for char in chars if not unicodedata.combining(char[0])]
        if self.lower_case:
            whole = "".join(char for char, _, _ in chars).lower()  # knows which sigma is final
            apart = [(small, start, limit) for char, start, limit in chars for small in char.lower()]
            chars = [(small, start, limit) for small, (_, start, limit) in zip(whole, apart, strict=True)]
        return chars

    def _with_commas_cut(self, parts: Sequence[_Part]) -> Iterator[_Part]:
        numbers = {text: number for number, text in enumerate(self.texts)}
        for part in parts:
            piece = part.text.decode()
            if not (len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()):
                yield part
                continue
            again = [each.text.decode() for each in self.cut(piece[:-1].replace("\u2581", "").encode())]
            if piece[0] != "\u2581" and again[0][0] == "\u2581":
                again = again[1:] if len(again[0]) == 1 else [again[0][1:], *again[1:]]
            limit = part.limit
            placed = []
            for text in reversed([*again, ","]):
                start = limit - len(text.replace("\u2581", "").encode())
                placed.append(_Part(numbers.get(text.encode(), self.unknown), text.encode(), start, limit))
                limit = start
            yield placed.pop()._replace(start=part.start)
            yield from reversed(placed)

    # -- the unigram model ----------------------------------------------------------------------------------------

    def cut(self, source: bytes) -> list[_Part]:
        """Return the best pieces of a text; unknown characters beside each other are one piece."""
        text, origins = self._normalised(source)
        parts: list[_Part] = []
        for begin, end, number in self._best(text):
            start, limit = origins[begin], origins[end]
            if number == self.unknown and parts and parts[-1].number == self.unknown:
                parts[-1] = parts[-1]._replace(text=parts[-1].text + text[begin:end], limit=limit)
            else:
                parts.append(_Part(number, text[begin:end], start, limit))
        return parts

    def _best(self, text: bytes) -> list[tuple[int, int, int]]:
        """Return begin, end and number of the pieces whose scores have the highest sum, in float32.

        Of equal sums the one counts that was found first, from left to right. A sum is compared before it is rounded.
        """
        size = len(text)
        best = np.zeros(size + 1, np.float32)
        begins, numbers = [-1] * (size + 1), [-1] * (size + 1)
        begin = 0
        while begin < size:
            width = _width(text[begin])
            has_single = False
            for end in range(begin + 1, min(size, begin + self.longest) + 1):
                number = self.trie.get(text[begin:end])
                if number is None:
                    continue
                score = float(self.scores[number])
                if number in self.user_defined:
                    score = float(np.float32(end - begin) * self.highest) - 0.1
                candidate = score + float(best[begin])
                if begins[end] < 0 or candidate > float(best[end]):
                    best[end], begins[end], numbers[end] = candidate, begin, number
                has_single |= end - begin == width
            end = min(size, begin + width)
            if not has_single:
                lowest = np.float32(self.lowest - UNKNOWN_PENALTY) + best[begin]
                if begins[end] < 0 or lowest > best[end]:
                    best[end], begins[end], numbers[end] = lowest, begin, self.unknown
            begin += width
        found = []
        end = size
        while end:
            found.append((begins[end], end, numbers[end]))
            end = begins[end]
        return found[::-1]

    # -- the normaliser -------------------------------------------------------------------------------------------

    def _normalised(self, source: bytes) -> tuple[bytes, list[int]]:
        """Return the normalised text, and for each of its bytes and its end the place in the source."""
        place = 0
        while self.removes_spaces and place < len(source):
            replacement, width = self._step(source, place)
            if replacement != b" ":
                break
            place += width
        if place == len(source):
            return b"", [place]
        text, origins = bytearray(), []
        if self.adds_prefix:
            text += MARK
            origins += [place] * len(MARK)
        after_space = self.removes_spaces
        while place < len(source):
            replacement, width = self._step(source, place)
            if after_space:
                replacement = replacement.lstrip(b" ")
            if replacement:
                marked = replacement.replace(b" ", MARK)
                text += marked
                origins += [place] * len(marked)
                after_space = replacement.endswith(b" ")
            place += width
            after_space = after_space and self.removes_spaces
        while self.removes_spaces and text.endswith(MARK):
            place = origins[len(text) - len(MARK)]
            del text[-len(MARK) :], origins[-len(MARK) :]
        return bytes(text), [*origins, place]

    def _step(self, source: bytes, place: int) -> tuple[bytes, int]:
        """Return the replacement of the text at a place, and the number of bytes that it replaces."""
        own = max((len(each) for each in self.own_symbols if source.startswith(each, place)), default=0)
        if own:
            return source[place : place + own], own
        replaced, width = self._longest_replaced(source, place)
        if width:
            return replaced, width
        width = _width(source[place])
        try:
            source[place : place + width].decode()
        except UnicodeDecodeError:
            return "\ufffd".encode(), 1
        return source[place : place + width], width

    def _longest_replaced(self, source: bytes, place: int) -> tuple[bytes, int]:
        found, width = b"", 0
        if not self.units:
            return found, width
        node = _offset(self.units[0])
        for count, byte in enumerate(source[place:], start=1):
            node ^= byte
            unit = self.units[node]
            if unit & 0x800000FF != byte:
                break
            node ^= _offset(unit)
            if unit >> 8 & 1:
                at = self.units[node] & 0x7FFFFFFF
                found, width = self.replacements[at : self.replacements.index(b"\x00", at)], count
        return found, width

    # -- the file -------------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        self.texts: list[bytes] = []
        self.scores: list[np.float32] = []
        types: list[int] = []
        charsmap, self.adds_prefix, self.removes_spaces = b"", True, True
        for field, value in _fields(data):
            if field == 1:
                piece = dict(_fields(value))
                self.texts.append(piece[1])
                self.scores.append(np.float32(struct.unpack("<f", piece.get(2, bytes(4)))[0]))
                types.append(piece.get(3, 1))
            elif field == 3:
                rules = dict(_fields(value))
                charsmap = rules.get(2, b"")
                self.adds_prefix, self.removes_spaces = bool(rules.get(3, 1)), bool(rules.get(4, 1))
        size = struct.unpack("<I", charsmap[:4])[0] if charsmap else 0
        self.units: Sequence[int] = struct.unpack(f"<{size // 4}I", charsmap[4 : 4 + size])
        self.replacements = charsmap[4 + size :]
        self.unknown = types.index(2)
        self.user_defined = {number for number, kind in enumerate(types) if kind == 4}
        self.own_symbols = [self.texts[number] for number in self.user_defined]
        self.trie = {text: number for number, text in enumerate(self.texts) if types[number] in (1, 4)}
        self.longest = max(map(len, self.trie), default=0)
        normal = [score for score, kind in zip(self.scores, types, strict=True) if kind == 1]
        self.lowest, self.highest = min(normal), max([SMALLEST, *normal])


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field in a message of protobuf."""
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = _number(data, place)
            yield tag >> 3, value
        else:
            size, place = (4, place) if kind == 5 else _number(data, place)
            yield tag >> 3, data[place : place + size]
            place += size


def _number(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 1 << 9) >> 6)


def _width(byte: int) -> int:
    """Return the number of bytes of a character that begins with this byte."""
    return 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4


def _decoded(source: bytes) -> list[tuple[str, int, int]]:
    """Return the characters of UTF-8 with their bytes; what is none is skipped."""
    chars, place = [], 0
    while place < len(source):
        width = next((n for n in (1, 2, 3, 4) if _is_character(source[place : place + n])), 0)
        if width:
            chars.append((source[place : place + width].decode(), place, place + width))
        place += width or 1
    return chars


def _is_character(part: bytes) -> bool:
    try:
        return len(part.decode()) == 1
    except UnicodeDecodeError:
        return False


def _with_single_spaces(chars: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    kept: list[tuple[str, int, int]] = []
    for char, start, limit in chars:
        if not char.isspace():
            kept.append((char, start, limit))
        elif kept and kept[-1][0] != " ":
            kept.append((" ", start, limit))
    return kept[:-1] if kept and kept[-1][0] == " " else kept


def _decomposed(chars: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Return the characters decomposed (NFKD); marks behind a character stand in canonical order."""
    apart = [(part, start, limit) for char, start, limit in chars for part in unicodedata.normalize("NFKD", char)]
    ordered: list[tuple[str, int, int]] = []
    marks: list[tuple[str, int, int]] = []
    for each in [*apart, (" ", 0, 0)]:
        if unicodedata.combining(each[0]):
            marks.append(each)
            continue
        ordered += [*sorted(marks, key=lambda mark: unicodedata.combining(mark[0])), each]
        marks = []
    return ordered[:-1]
