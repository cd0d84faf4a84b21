"""A tokenizer in core TensorFlow operations alone: all words, or all characters, of all texts at once.

Its ids are those of tokenizer/wordpiece.py, which needs tensorflow-text. A call takes one of two ways. A few plain
texts, and any number of ASCII ones, are split into words by a regular expression, which takes few operations. All
others are decoded, and tokenizer/characters.py says what becomes of each character: most Chinese ones are ids at once.
tokenizer/core_words.py turns the words of both ways into pieces.

The time of a call with one text is the number of its operations, so what few texts need stands in branches of their
own, and tables are constants inside of the functions that read them.

Shapes: B texts, C characters of all texts together, U units of all texts together (words, and characters that are words
of their own), P pieces, T added tokens found in all texts together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tokenizer import normalisation
from tokenizer.added import AddedTokens, any_of
from tokenizer.characters import (
    CASED,
    FINAL_SIGMA,
    IGNORED,
    LETTER,
    NO_LETTER,
    SIGMA,
    SPACE,
    UNUSUAL,
    casing_table,
    character_table,
    looked_up,
)
from tokenizer.core_rules import checked_for_core
from tokenizer.core_words import BEGIN, BORDER, MISSED, WordSplitter
from tokenizer.graph import TEXTS, Graph, graph_function, seldom_called
from tokenizer.ragged import owners, spread
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import CONTINUATION, UNK, Vocabulary
from zoo.archive.wordpiece_model import FOUND_AS_GIVEN, WORD_LIMIT

_ASCII = r"\t\n\r -~"
_PLAIN = f"{_ASCII}{normalisation.SIGNS}{normalisation.IDEOGRAPHS}"
_FEW_TEXTS = 8  # more texts are decoded faster than a regular expression replaces every character of them
_CODES = tf.TensorSpec([None], tf.int32)
_SPLITS = tf.TensorSpec([None], tf.int64)


class Units(NamedTuple):
    """Words, and characters that are words of their own."""

    ids: tf.Tensor  # (U,) int32; MISSED for words that are no entries
    row_splits: tf.Tensor  # (B + 1,) int64
    missed: Callable[[], tf.Tensor]  # gives the words that are no entries, strings
    is_unit: tf.Tensor | None = None  # (C,) whether a unit begins at a character


class CoreGraph(Graph):
    """The inner functions of a tokenizer. Raises Unsupported for rules that core operations cannot follow yet."""

    def __init__(self, vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool) -> None:
        super().__init__(vocabulary, rules)
        checked_for_core(vocabulary, rules, special_tokens_in_text)
        whole = rules.whole_tokens(vocabulary, special_tokens_in_text)
        self._added = AddedTokens({token.content: token for token in whole}, FOUND_AS_GIVEN) if whole else None
        self._lower_case = rules.lower_case
        words = normalisation.IDEOGRAPHS if rules.tokenize_chinese_chars else ""
        self._alone = f"[[:punct:]{normalisation.SIGNS}{words}]"  # what is a unit of its own in a plain text

        unreachable = {token.id for token in whole if not token.in_vocabulary}
        never = {" ", chr(NO_LETTER), BEGIN, BORDER}  # words hold none of them
        ids = {
            entry: number
            for number, entry in enumerate(vocabulary.entries)
            if number not in unreachable and len(entry) <= WORD_LIMIT and never.isdisjoint(entry)
        }
        begins = {entry: number for entry, number in ids.items() if not entry.startswith(CONTINUATION)}
        continues = {entry[len(CONTINUATION) :]: ids[entry] for entry in ids.keys() - begins.keys()}
        self._words = WordSplitter(begins, continues, self.ids[UNK])
        self.resources = {"whole_words": self._words.whole, "parts_of_words": self._words.parts}

        letters = set().union(*begins, *continues)
        has_casing = rules.lower_case and not letters.isdisjoint((chr(FINAL_SIGMA), chr(SIGMA).lower()))
        self._casing = casing_table(bool(whole)) if has_casing else None
        self._mark = len(vocabulary)
        mark = self._mark if whole else None
        known = {**dict.fromkeys(continues, self.ids[UNK]), **begins}
        self._table = character_table(known, self.ids[UNK], rules, mark, has_casing)
        self._numbers = graph_function(self._numbers_of, _CODES)
        self._others = seldom_called(self._pieces_of_others, TEXTS)
        self._apart = seldom_called(self._made_usual, _CODES, _CODES, _SPLITS)
        self._plain = graph_function(self._without_added, TEXTS)
        self._with_added = seldom_called(self._marked, TEXTS)

    def pieces(self, text: tf.Tensor) -> tf.RaggedTensor:
        if not self._added:
            return self._without_added(text)
        # A text that holds the mark itself has to lose it, too.
        pattern = f"(?s:.*(?:{any_of([*self._added.tokens, FOUND_AS_GIVEN])}).*)"
        holds_added = tf.reduce_any(tf.strings.regex_full_match(text, pattern))
        return tf.cond(holds_added, lambda: self._with_added(text), lambda: self._plain(text))

    def _marked(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Return the pieces of texts of which one holds an added token."""
        assert self._added is not None
        tokens = self._added.find(normalisation.without_marks(normalisation.valid(text)))
        return self._with_found(self._plain(tokens.marked()), tokens.ids())

    def _with_found(self, pieces: tf.RaggedTensor, found: tf.Tensor) -> tf.RaggedTensor:
        """Return the pieces with the ids of the added tokens, (T,), in the places of the marks."""
        marks = tf.where(pieces.values == self._mark)
        return pieces.with_values(tf.tensor_scatter_nd_update(pieces.values, marks, found))

    def _without_added(self, text: tf.Tensor) -> tf.RaggedTensor:
        is_plain = tf.reduce_all(tf.strings.regex_full_match(text[: _FEW_TEXTS + 1], f"[{_PLAIN}]*"))
        few_plain = is_plain & (tf.size(text) <= _FEW_TEXTS)
        return tf.cond(few_plain, lambda: self._pieces_of_plain(text), lambda: self._others(text))

    def _pieces_of_others(self, text: tf.Tensor) -> tf.RaggedTensor:
        is_ascii = tf.reduce_all(tf.strings.regex_full_match(text, f"[{_ASCII}]*"))
        return tf.cond(is_ascii, lambda: self._pieces_of_plain(text), lambda: self._pieces_of_any(text))

    def with_offsets(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        codes, starts = tf.strings.unicode_decode_with_offsets(text, "UTF-8", errors="ignore")
        chars = tf.strings.unicode_encode(codes.values[:, tf.newaxis], "UTF-8", errors="ignore")
        begin, end = starts.values, starts.values + tf.cast(tf.strings.length(chars), tf.int64)
        found = None
        if self._added:
            tokens = self._added.find(normalisation.without_marks(tf.strings.reduce_join(codes.with_values(chars), -1)))
            marked, widths = tokens.swallowed()
            codes, found = tf.strings.unicode_decode(marked, "UTF-8"), tokens.ids()
            is_mark = tf.where(codes.values == ord(FOUND_AS_GIVEN))
            width = tf.tensor_scatter_nd_update(tf.ones_like(codes.values, tf.int64), is_mark, widths)
            behind = tf.cumsum(width)
            begin, end = tf.gather(begin, behind - width), tf.gather(end, behind - 1)
        numbers, row_splits, source = self._usual(self._numbers(codes.values), codes.values, codes.row_splits)
        units = self._units(numbers, row_splits)
        solid = tf.where(numbers != SPACE)[:, 0]  # characters of words
        unit_at = tf.where(tf.gather(units.is_unit, solid))[:, 0]
        lengths = tf.concat([unit_at[1:], [tf.size(solid, tf.int64)]], 0) - unit_at
        pieces, splits = self._split(units)
        lengths = self._lengths(pieces.values, splits, tf.cast(lengths, tf.int32))
        pieces = pieces if found is None else self._with_found(pieces, found)
        piece = owners(tf.concat([[0], tf.cumsum(lengths)], 0))
        source = tf.gather(source, solid)
        return (
            pieces,
            pieces.with_values(tf.math.segment_min(tf.gather(begin, source), piece)),
            pieces.with_values(tf.math.segment_max(tf.gather(end, source), piece)),
        )

    def _lengths(self, pieces: tf.Tensor, splits: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Return the number of characters of pieces, (P,) int32, from that of units (U,)."""
        unit = owners(splits)
        pieces = tf.minimum(pieces, self.size - 1)  # the mark of an added token is no entry
        of_entries = tf.strings.length(self.entries(pieces), "UTF8_CHAR")
        of_entries -= tf.where(tf.gather(self._starts_word, pieces), 0, len(CONTINUATION))
        is_whole = tf.gather(splits[1:] - splits[:-1], unit) == 1
        return tf.where(is_whole, tf.gather(lengths, unit), of_entries)

    # -- plain texts --------------------------------------------------------------------------------------------------

    def _pieces_of_plain(self, text: tf.Tensor) -> tf.RaggedTensor:
        text = tf.strings.lower(text) if self._lower_case else text  # changes ASCII alone
        words = tf.raw_ops.StringSplitV2(input=tf.strings.regex_replace(text, self._alone, r" \0 "), sep="")
        row, rows = words.indices[tf.newaxis, :, 0], tf.range(tf.size(text, tf.int64) + 1)
        row_splits = tf.raw_ops.LowerBound(sorted_inputs=row, values=rows[tf.newaxis], out_type=tf.int64)[0]
        ids = self._words.ids(words.values)
        return self._split(Units(ids, row_splits, lambda: tf.gather_nd(words.values, tf.where(ids == MISSED))))[0]

    # -- any texts ----------------------------------------------------------------------------------------------------

    def _numbers_of(self, codes: tf.Tensor) -> tf.Tensor:
        return looked_up(self._table.numbers, codes)

    def _pieces_of_any(self, text: tf.Tensor) -> tf.RaggedTensor:
        codes = tf.raw_ops.UnicodeDecode(input=text, input_encoding="UTF-8", errors="ignore")
        numbers = self._numbers(codes.char_values)

        def as_they_are() -> tf.RaggedTensor:
            return tf.RaggedTensor.from_row_splits(numbers, codes.row_splits, validate=False)

        def with_words() -> tf.RaggedTensor:
            usual, row_splits, _ = self._usual(numbers, codes.char_values, codes.row_splits)
            return self._split(self._units(usual, row_splits))[0]

        return tf.cond(tf.reduce_all(numbers >= 0), as_they_are, with_words)

    def _units(self, numbers: tf.Tensor, row_splits: tf.Tensor) -> Units:
        """Return the words of characters (C,), none of which is unusual."""
        in_word = numbers < SPACE
        begins_text = row_splits[:, tf.newaxis]
        is_behind = tf.concat([[False], in_word], 0)  # behind a part of a word of the same text
        is_behind = tf.tensor_scatter_nd_update(is_behind, begins_text, tf.zeros_like(row_splits, tf.bool))
        goes_on = in_word & is_behind[:-1]
        is_unit = (numbers != SPACE) & tf.logical_not(goes_on)
        ids = tf.gather_nd(numbers, tf.where(is_unit))
        letters = tf.where(in_word)
        word_at = tf.where(tf.gather_nd(is_unit, letters))[:, 0]
        words = tf.raw_ops.UnicodeEncode(
            input_values=LETTER - tf.gather_nd(numbers, letters),
            input_splits=tf.concat([word_at, tf.shape(letters, tf.int64)[:1]], 0),
            output_encoding="UTF-8",
        )
        of_words = self._words.ids(words)
        ids = tf.tensor_scatter_nd_update(ids, tf.where(ids < 0), of_words)
        missed = tf.where(of_words == MISSED)
        before = tf.concat([[0], tf.cumsum(tf.cast(is_unit, tf.int64))], 0)
        return Units(ids, tf.gather(before, row_splits), lambda: tf.gather_nd(words, missed), is_unit)

    def _usual(self, numbers: tf.Tensor, codes: tf.Tensor, row_splits: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return numbers of which none is unusual, their row splits, and which code point (C,) each comes from."""
        return tf.cond(
            tf.reduce_all(numbers > UNUSUAL),
            lambda: (numbers, row_splits, tf.range(tf.size(numbers))),
            lambda: self._apart(numbers, codes, row_splits),
        )

    def _made_usual(self, numbers: tf.Tensor, codes: tf.Tensor, row_splits: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows = tf.maximum(UNUSUAL - numbers + 1, 0)  # 0 if a character is usual
        lengths = tf.concat([[1], self._table.lengths], 0)
        counts = tf.gather(lengths, rows)
        ends = tf.concat([[0], tf.cumsum(counts)], 0)
        count = ends[-1]
        source = spread(tf.range(tf.size(counts)), ends[:-1], count)
        row = tf.gather(rows, source) - 1
        part = tf.gather_nd(
            self._table.several, tf.stack([tf.maximum(row, 0), tf.range(count) - tf.gather(ends, source)], 1)
        )
        if self._casing:
            final = LETTER - FINAL_SIGMA
            part = tf.where(tf.gather(self._is_final(codes, row_splits), source), final, part)
        numbers = tf.where(row < 0, tf.gather(numbers, source), part)
        return numbers, tf.gather(tf.cast(ends, tf.int64), row_splits), source

    def _is_final(self, codes: tf.Tensor, row_splits: tf.Tensor) -> tf.Tensor:
        """Return which characters (C,) are capital sigmas at the end of a word, which become U+03C2.

        Source: Final_Sigma in section 3.13 of the Unicode standard. A letter has to stand before the sigma and none
        behind it, not counting dropped characters and those that are ignored, such as an apostrophe.
        """
        assert self._casing is not None
        kind = looked_up(self._casing, codes)
        places = tf.where(kind != IGNORED)
        is_letter, text = tf.gather_nd(kind, places) == CASED, tf.gather_nd(owners(row_splits), places)
        joined = is_letter[:-1] & is_letter[1:] & (text[:-1] == text[1:])
        behind_letter, before_letter = tf.concat([[False], joined], 0), tf.concat([joined, [False]], 0)
        is_final = (tf.gather_nd(codes, places) == SIGMA) & behind_letter & tf.logical_not(before_letter)
        return tf.scatter_nd(places, is_final, tf.shape(codes, tf.int64))

    # -- units into pieces --------------------------------------------------------------------------------------------

    def _split(self, units: Units) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Return the pieces of texts (B,), and of units their row splits, (U + 1,) int64."""

        def split() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            pieces, splits = self._words.split(units.ids, units.missed())
            return pieces, splits, tf.gather(splits, units.row_splits)

        def as_they_are() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return units.ids, tf.range(tf.size(units.ids, tf.int64) + 1), units.row_splits

        ids, splits, row_splits = tf.cond(tf.reduce_any(units.ids == MISSED), split, as_they_are)
        return tf.RaggedTensor.from_row_splits(ids, row_splits, validate=False), splits
