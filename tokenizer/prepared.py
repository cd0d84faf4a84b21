"""ALBERT's own steps around a SentencePiece model, as string ops: they prepare texts before it, and cut pieces behind.

Source: preprocess_text and encode_pieces of google-research/albert (tokenization.py).

Shapes: B texts, P pieces of all texts together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text

from tokenizer import normalisation
from tokenizer.offsets import Characters, split, valid_characters
from tokenizer.ragged import owners
from tokenizer.rules import TokenizerRules
from tokenizer.sentencepiece import SentencePiece
from zoo.archive.sentencepiece_model import SPACE, Piece

_WHITE = r"[\t-\r\x1C-\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}]"  # str.split
# Characters with a combining class, in Unicode 14: `unicodedata.combining` is not 0.
_COMBINING = """
    300-34E 350-36F 483-487 591-5BD 5BF 5C1-5C2 5C4-5C5 5C7 610-61A 64B-65F 670 6D6-6DC 6DF-6E4 6E7-6E8 6EA-6ED 711
    730-74A 7EB-7F3 7FD 816-819 81B-823 825-827 829-82D 859-85B 898-89F 8CA-8E1 8E3-8FF 93C 94D 951-954 9BC 9CD 9FE
    A3C A4D ABC ACD B3C B4D BCD C3C C4D C55-C56 CBC CCD D3B-D3C D4D DCA E38-E3A E48-E4B EB8-EBA EC8-ECB F18-F19 F35
    F37 F39 F71-F72 F74 F7A-F7D F80 F82-F84 F86-F87 FC6 1037 1039-103A 108D 135D-135F 1714-1715 1734 17D2 17DD 18A9
    1939-193B 1A17-1A18 1A60 1A75-1A7C 1A7F 1AB0-1ABD 1ABF-1ACE 1B34 1B44 1B6B-1B73 1BAA-1BAB 1BE6 1BF2-1BF3 1C37
    1CD0-1CD2 1CD4-1CE0 1CE2-1CE8 1CED 1CF4 1CF8-1CF9 1DC0-1DFF 20D0-20DC 20E1 20E5-20F0 2CEF-2CF1 2D7F 2DE0-2DFF
    302A-302F 3099-309A A66F A674-A67D A69E-A69F A6F0-A6F1 A806 A82C A8C4 A8E0-A8F1 A92B-A92D A953 A9B3 A9C0 AAB0
    AAB2-AAB4 AAB7-AAB8 AABE-AABF AAC1 AAF6 ABED FB1E FE20-FE2F 101FD 102E0 10376-1037A 10A0D 10A0F 10A38-10A3A
    10A3F 10AE5-10AE6 10D24-10D27 10EAB-10EAC 10F46-10F50 10F82-10F85 11046 11070 1107F 110B9-110BA 11100-11102
    11133-11134 11173 111C0 111CA 11235-11236 112E9-112EA 1133B-1133C 1134D 11366-1136C 11370-11374 11442 11446
    1145E 114C2-114C3 115BF-115C0 1163F 116B6-116B7 1172B 11839-1183A 1193D-1193E 11943 119E0 11A34 11A47 11A99
    11C3F 11D42 11D44-11D45 11D97 16AF0-16AF4 16B30-16B36 16FF0-16FF1 1BC9E 1D165-1D169 1D16D-1D172 1D17B-1D182
    1D185-1D18B 1D1AA-1D1AD 1D242-1D244 1E000-1E006 1E008-1E018 1E01B-1E021 1E023-1E024 1E026-1E02A 1E130-1E136
    1E2AE 1E2EC-1E2EF 1E8D0-1E8D6 1E944-1E94A
"""


@dataclass(frozen=True)
class Preparation:
    """ALBERT's `preprocess_text`: single spaces, no accents and no capitals, as far as the rules say so."""

    rules: TokenizerRules
    remove_space: bool

    def prepared(self, text: tf.Tensor) -> tf.Tensor:
        """Return the texts (B,) that the model reads; bytes that are not UTF-8 are skipped."""
        text = normalisation.valid(text)
        if self.remove_space:
            text = tf.strings.regex_replace(text, f"{_WHITE}+", " ")
            text = tf.strings.regex_replace(text, "^ | $", "")
        if self.rules.strip_accents:
            text = _without_combining(_decompose(text))
        return _lower(text) if self.rules.lower_case else text

    def traced(self, text: tf.Tensor) -> Characters:
        """Return the characters of `prepared(text)`, with the bytes of `text` (B,) that each came from."""
        rows = tf.size(text, tf.int64)
        _, characters = valid_characters(text)
        if self.remove_space:
            characters = _with_single_spaces(characters)
        if self.rules.strip_accents:
            texts = characters.joined(rows)
            characters = characters._replace(char=_decompose(characters.char)).apart()
            characters = characters.with_texts(_decompose(texts))  # knows the order of marks
            characters = characters._replace(char=_without_combining(characters.char)).apart()
        if self.rules.lower_case:
            texts = _lower(characters.joined(rows))  # knows which sigma is final
            characters = characters._replace(char=_lower(characters.char)).apart()
            characters = characters._replace(char=split(texts).values)
        return characters


def _decompose(text: tf.Tensor) -> tf.Tensor:
    return tf_text.normalize_utf8(text, "NFKD")


def _without_combining(text: tf.Tensor) -> tf.Tensor:
    ranges = ("-".join(rf"\x{{{end}}}" for end in each.split("-")) for each in _COMBINING.split())
    return tf.strings.regex_replace(text, f"[{''.join(ranges)}]", "")


def _lower(text: tf.Tensor) -> tf.Tensor:
    """Return the texts in lower case. A NUL, which would end a text there, becomes a character as unknown as a NUL."""
    return normalisation.lower(tf.strings.regex_replace(text, r"\x00", "\ufdd0"))


def _with_single_spaces(characters: Characters) -> Characters:
    """Return the characters with one space for each run of white space, and none where a text begins or ends."""
    characters = characters._replace(char=tf.strings.regex_replace(characters.char, f"^{_WHITE}$", " "))
    is_space, size = characters.char == " ", tf.size(characters.char)
    is_first = tf.concat([[True], characters.text[1:] != characters.text[:-1]], axis=0)[:size]
    after_space = tf.concat([[False], is_space], axis=0)[:size]
    characters = characters.select(~(is_space & (is_first | after_space)))
    is_last = tf.concat([characters.text[1:] != characters.text[:-1], [True]], axis=0)[: tf.size(characters.char)]
    return characters.select(~((characters.char == " ") & is_last))


class Pieces(NamedTuple):
    """The pieces of texts, and the bytes of the text that each is made of."""

    ids: tf.Tensor  # (P,) int32
    starts: tf.Tensor  # (P,) int64
    limits: tf.Tensor  # (P,) int64
    row_splits: tf.Tensor  # (B + 1,) int64


class CutPiece(NamedTuple):
    """A part of a piece that was cut: its id, and its bytes without the mark of a space."""

    id: int
    width: int


class Cuts:
    """ALBERT's `encode_pieces`: a piece that ends in a digit and a comma becomes the pieces of the digits, and ",".

    The pieces of a text become ranges of a table: the first rows are the model's pieces, each a range of one row; the
    rows behind them are what pieces are cut into.
    """

    def __init__(self, cut: Mapping[int, Sequence[CutPiece]], size: int) -> None:
        first = np.arange(size)
        count = np.ones(size, np.int64)
        rows: list[CutPiece] = []
        for number, into in cut.items():
            first[number], count[number] = size + len(rows), len(into)
            rows += into
        widths = [[part.width for part in into] for into in cut.values()]
        behind = [sum(each[place:]) for each in widths for place in range(1, len(each) + 1)]
        self._first, self._count = tf.constant(first), tf.constant(count)
        self._ids = tf.constant([*range(size), *(row.id for row in rows)], tf.int32)
        self._widths = tf.constant([*[0] * size, *(row.width for row in rows)], tf.int64)
        self._behind = tf.constant([*[0] * size, *behind], tf.int64)
        self._begins = tf.constant([*[True] * size, *(place == 0 for each in widths for place in range(len(each)))])

    @classmethod
    def of(cls, model: SentencePiece, unknown: int) -> Cuts | None:
        """Return the cuts of a model, None if it has no piece to cut."""
        pieces = model.model.pieces
        chosen = {number: piece.text for number, piece in enumerate(pieces) if is_cut(piece)}
        if not chosen:
            return None
        number_of = {piece.text: number for number, piece in enumerate(pieces)}
        digits = [text[:-1].replace(SPACE, "") for text in chosen.values()]
        found = tf_text.SentencepieceTokenizer(model.data, out_type=tf.string).tokenize(digits).to_list()
        cut: dict[int, list[CutPiece]] = {}
        for (number, text), own in zip(chosen.items(), found, strict=True):
            parts = [part.decode() for part in own]
            if text[0] != SPACE and parts[0][0] == SPACE:
                parts[0] = parts[0][1:]
            parts = [part for part in (*parts, ",") if part]
            cut[number] = [
                CutPiece(number_of.get(part, unknown), len(part.replace(SPACE, "").encode())) for part in parts
            ]
        return cls(cut, len(pieces))

    def cut(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Return the pieces (B, (pieces)) int32 with those cut that have to be."""
        places, splits = self._places(ids.values)
        row_splits = tf.gather(splits, ids.row_splits)
        return tf.RaggedTensor.from_row_splits(tf.gather(self._ids, places), row_splits, validate=False)

    def cut_with_offsets(self, found: Pieces) -> Pieces:
        """Return the same with offsets, counted from the last byte of a piece, as it may begin with a space."""
        places, splits = self._places(found.ids)
        piece = owners(splits)
        limits = tf.gather(found.limits, piece) - tf.gather(self._behind, places)
        starts = tf.where(
            tf.gather(self._begins, places), tf.gather(found.starts, piece), limits - tf.gather(self._widths, places)
        )
        return Pieces(tf.gather(self._ids, places), starts, limits, tf.gather(splits, found.row_splits))

    def _places(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the rows of the table for pieces (P,), and where the rows of each piece begin, (P + 1,) int64."""
        first = tf.gather(self._first, ids)
        ranges = tf.raw_ops.RaggedRange(
            starts=first, limits=first + tf.gather(self._count, ids), deltas=tf.constant(1, tf.int64), Tsplits=tf.int64
        )
        return ranges.rt_dense_values, ranges.rt_nested_splits


def is_cut(piece: Piece) -> bool:
    """Return whether a piece ends in a digit and a comma."""
    return len(piece.text) > 1 and piece.text[-1] == "," and piece.text[-2].isdigit()
