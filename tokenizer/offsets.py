"""From pieces back to the bytes of the text. The tokenizer's steps are repeated one character at a time.

Shapes: B texts, C characters of all texts together (a step may change their number), P pieces of all texts together.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tokenizer import normalisation
from tokenizer.added import AddedTokens
from tokenizer.ragged import owners
from tokenizer.rules import TokenizerRules
from tokenizer.wordpiece import WordPiece


class Characters(NamedTuple):
    """The characters of all texts, with the text and the bytes that each character came from; all (C,)."""

    text: tf.Tensor  # which text, int64
    start: tf.Tensor
    limit: tf.Tensor
    char: tf.Tensor  # a string of one character; of several or none after a step that decomposes or drops characters

    def select(self, chosen: tf.Tensor) -> Characters:
        """Return the characters that a boolean mask or a list of places selects."""
        choose = tf.boolean_mask if chosen.dtype == tf.bool else tf.gather
        return Characters(*(choose(column, chosen) for column in self))

    def apart(self) -> Characters:
        """Return one row per character: a row whose `char` holds several becomes several rows, an empty one none."""
        found = split(self.char)
        return self.select(owners(found.row_splits))._replace(char=found.values)

    def joined(self, rows: tf.Tensor) -> tf.Tensor:
        """Return the texts, (B,)."""
        ragged = tf.RaggedTensor.from_value_rowids(self.char, self.text, rows, validate=False)
        return tf.strings.reduce_join(ragged, axis=-1)

    def with_marks(self, texts: tf.Tensor, mark: str, widths: tf.Tensor) -> Characters:
        """Return the characters of `texts` (B,), whose k-th `mark` stands for `widths[k]` of these characters."""
        chars = split(texts).values
        size = tf.tensor_scatter_nd_update(tf.ones(tf.shape(chars), tf.int64), tf.where(chars == mark), widths)
        end = tf.cumsum(size)
        first = self.select(end - size)
        return first._replace(limit=tf.gather(self.limit, end - 1), char=chars)

    def code_points(self) -> tf.Tensor:
        """Return (C,) int32, one for each single character."""
        return tf.strings.unicode_decode(self.char, "UTF-8", errors="ignore").values

    def with_texts(self, texts: tf.Tensor) -> Characters:
        """Return the characters of `texts` (B,), which hold the same ones in another order.

        The k-th occurrence of a character in a text is its k-th occurrence in the other order: canonical ordering
        never swaps equal characters. So sorting both sides by (text, character) pairs them.
        """
        found = split(texts)
        reordered = self._replace(text=owners(found.row_splits), char=found.values)
        source = tf.argsort(self._sort_key(), stable=True)
        target = tf.argsort(reordered._sort_key(), stable=True)
        places = tf.scatter_nd(target[:, tf.newaxis], source, tf.shape(source))
        return self.select(places)._replace(char=reordered.char)

    def _sort_key(self) -> tf.Tensor:
        return self.text * (1 << 21) + tf.cast(self.code_points(), tf.int64)


def split(texts: tf.Tensor) -> tf.RaggedTensor:
    """Return the characters of each text, (B, (C)).

    The texts are valid UTF-8, so errors="ignore" drops nothing. The default, errors="replace", would be wrong:
    TensorFlow 2.18 and older also replace noncharacters (U+FDD0, U+FFFF, …) then.
    """
    return tf.strings.unicode_split(texts, "UTF-8", errors="ignore")


def valid_characters(text: tf.Tensor) -> tuple[tf.RaggedTensor, Characters]:
    """Return the valid characters of texts (B,): as (B, (C)), and with their places; other bytes are skipped."""
    codes, starts = tf.strings.unicode_decode_with_offsets(text, "UTF-8", errors="ignore")
    chars = tf.strings.unicode_encode(codes.values[:, tf.newaxis], "UTF-8", errors="ignore")
    limits = starts.values + tf.cast(tf.strings.length(chars), tf.int64)
    return codes.with_values(chars), Characters(owners(codes.row_splits), starts.values, limits, chars)


def trace(wordpiece: WordPiece, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Return ids (int32), starts and limits (int64, bytes of `text`) of each text's pieces, (B, (pieces)) each.

    A piece begins with the first byte of its first character and ends with the last byte of its last character. An
    accent that is dropped belongs to the piece if it was one character with its letter (U+00E9); it is left outside if
    it was a character of its own (e and U+0301). An added token also has the white space that it swallows.
    """
    rows = tf.size(text, tf.int64)
    characters, found = _read(wordpiece, text)
    characters = characters._replace(char=wordpiece.clean(characters.char)).apart()
    characters = _fold(wordpiece.rules, characters, rows)
    if wordpiece.normalised:
        characters, ids = _with_added(wordpiece.normalised, characters, characters.joined(rows))
        found.append(ids)
    read, regroup = wordpiece.read(wordpiece.space(characters.joined(rows)))
    pieces, starts, limits = wordpiece.pieces_with_offsets(read, found)
    characters = characters.select(characters.char != " ")

    # Together the pieces hold every character but spaces, so the k-th character of all pieces is our k-th character.
    text_start = tf.cumsum(tf.cast(tf.strings.length(read), tf.int64), exclusive=True)
    begin = tf.gather(text_start, owners(pieces.row_splits))  # (P,)
    ordinal = _ordinal_of_bytes(read)
    first = tf.gather(ordinal, begin + starts.values)
    piece = owners(tf.concat([first, [tf.size(characters.char, tf.int64)]], axis=0))  # (C,)
    return (
        regroup(pieces),
        regroup(starts.with_values(tf.math.segment_min(characters.start, piece))),
        regroup(limits.with_values(tf.math.segment_max(characters.limit, piece))),
    )


def _ordinal_of_bytes(texts: tf.Tensor) -> tf.Tensor:
    """Return, for every byte of all texts together, how many characters other than spaces precede its character."""
    chars = split(texts).values
    before = tf.cumsum(tf.cast(chars != " ", tf.int64), exclusive=True)
    return tf.repeat(before, tf.strings.length(chars))


def _read(wordpiece: WordPiece, text: tf.Tensor) -> tuple[Characters, list[tf.Tensor]]:
    """Return the valid characters of the texts, with marks in the place of tokens found, and the tokens' ids."""
    chars, characters = valid_characters(text)
    marked = normalisation.mark(tf.strings.reduce_join(chars, axis=-1), wordpiece.kept_whole)
    if wordpiece.given:
        characters, ids = _with_added(wordpiece.given, characters, normalisation.without_marks(marked))
        return characters, [ids]
    # As many characters as before: a mark has as many characters as its token.
    return characters._replace(char=split(marked).values), []


def _with_added(search: AddedTokens, characters: Characters, texts: tf.Tensor) -> tuple[Characters, tf.Tensor]:
    """Return the characters of `texts` (B,) with one mark in the place of each added token, and the tokens' ids."""
    found = search.find(texts)
    marked, widths = found.swallowed()
    return characters.with_marks(marked, search.mark, widths), found.ids()


def _fold(rules: TokenizerRules, characters: Characters, rows: tf.Tensor) -> Characters:
    """Lower-case, decompose and drop accents. Steps that look at neighbours are done on whole texts, then split."""
    if rules.lower_case:
        texts = normalisation.lower(characters.joined(rows))  # knows which sigma is final
        characters = characters._replace(char=normalisation.lower(characters.char)).apart()
        characters = characters._replace(char=split(texts).values)
    if rules.strip_accents:
        texts = texts if rules.lower_case else characters.joined(rows)
        characters = characters._replace(char=normalisation.decompose(characters.char)).apart()
        characters = characters.with_texts(normalisation.decompose(texts))  # knows the order of marks
        characters = characters._replace(char=normalisation.strip_accents(characters.char)).apart()
    return characters
