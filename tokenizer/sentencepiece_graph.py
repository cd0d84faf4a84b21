"""The inner functions of a tokenizer whose pieces SentencePiece finds, by operations of tensorflow-text.

Shapes: B texts or rows, S segments of a row, T parts of all texts together, P pieces of all texts together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_text as tf_text

from tokenizer.added import any_of
from tokenizer.graph import Graph
from tokenizer.offsets import Characters
from tokenizer.prepared import Cuts, Pieces, Preparation
from tokenizer.ragged import owners
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import CLS, PAD, SEP, UNK, Vocabulary
from zoo.archive.sentencepiece_model import SPACE


class SentencePieceGraph(Graph):
    """The inner functions of a tokenizer with a SentencePiece model.

    Offsets are those of SentencePiece: a piece that begins a word has the space before the word, too.
    """

    def __init__(self, vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool) -> None:
        super().__init__(vocabulary, rules)
        assert rules.sentencepiece is not None
        own = rules.sentencepiece
        self._model = tf_text.SentencepieceTokenizer(own.data, out_type=tf.int32)
        self.resources: Mapping[str, Any] = {"model": self._model._model_resource}
        self._ids = None if own.ids == tuple(range(len(own.ids))) else tf.constant(own.ids)
        self._starts_word = tf.constant([entry.startswith(SPACE) for entry in vocabulary.entries])
        self._whole = {token.content: token.id for token in rules.whole_tokens(vocabulary, special_tokens_in_text)}
        self._preparation = Preparation(rules, own.remove_space) if own.prepares else None
        self._cuts = Cuts.of(own, self.ids[UNK]) if own.prepares else None
        self.separators, self.has_types = own.layout.separators, own.layout.has_types

    def pieces(self, text: tf.Tensor) -> tf.RaggedTensor:
        if self._whole:
            found = self._found(text)
            return tf.RaggedTensor.from_row_splits(found.ids, found.row_splits, validate=False)
        if self._preparation:
            text = self._preparation.prepared(text)
        ids = self._model.tokenize(text)
        if self._ids is not None:
            ids = ids.with_values(tf.gather(self._ids, ids.values))
        return self._cuts.cut(ids) if self._cuts else ids

    def with_offsets(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        found = self._found(text)
        ids, starts, limits = (
            tf.RaggedTensor.from_row_splits(column, found.row_splits, validate=False) for column in found[:3]
        )
        return ids, starts, limits

    def words(self, pieces: tf.RaggedTensor) -> tf.Tensor:
        """Return the places where words begin: at a piece with the mark of a space, and where a text begins."""
        size = tf.size(pieces.values, tf.int64)
        firsts = tf.boolean_mask(pieces.row_splits[:-1], pieces.row_lengths() > 0)
        begins = tf.tensor_scatter_nd_update(
            tf.gather(self._starts_word, pieces.values), firsts[:, tf.newaxis], tf.fill(tf.shape(firsts), True)
        )
        return tf.concat([tf.where(begins)[:, 0], [size]], axis=0)

    def _join(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Return texts (B,) of ids (B, (pieces)): pieces are joined, marks of spaces become spaces."""
        left_out = tf.constant([self.ids[token] for token in (PAD, CLS, SEP)])
        is_said = tf.reduce_all(ids.values[:, tf.newaxis] != left_out, axis=-1)
        ids = tf.ragged.boolean_mask(ids, ids.with_values(is_said))
        text = tf.strings.reduce_join(ids.with_values(self.entries(ids.values)), axis=-1)
        return tf.strings.regex_replace(tf.strings.regex_replace(text, SPACE, " "), "^ ", "")

    # -- pieces with offsets, and tokens found as a whole ---------------------------------------------------------

    def _found(self, text: tf.Tensor) -> Pieces:
        """Return the pieces of texts (B,); tokens that are found as a whole cut a text into parts."""
        if not self._whole:
            return self._of_parts(text)
        pattern = any_of(self._whole)
        parts, begins, _ = tf_text.regex_split_with_offsets(text, pattern, pattern)
        is_token, number = self._tokens_among(parts.values)
        own = self._of_parts(tf.where(is_token, "", parts.values))
        # Behind the pieces of all parts lies a token for each part. A part is a range of its own pieces, or its token.
        first = tf.where(
            is_token, tf.size(own.ids, tf.int64) + tf.range(tf.size(number, tf.int64)), own.row_splits[:-1]
        )
        ranges = tf.raw_ops.RaggedRange(
            starts=first,
            limits=tf.where(is_token, first + 1, own.row_splits[1:]),
            deltas=tf.constant(1, tf.int64),
            Tsplits=tf.int64,
        )
        begin = tf.gather(begins.values, owners(own.row_splits))
        limit = begins.values + tf.cast(tf.strings.length(parts.values), tf.int64)
        columns = (
            tf.concat([own.ids, number], axis=0),
            tf.concat([own.starts + begin, begins.values], axis=0),
            tf.concat([own.limits + begin, limit], axis=0),
        )
        ids, starts, limits = (tf.gather(column, ranges.rt_dense_values) for column in columns)
        return Pieces(ids, starts, limits, tf.gather(ranges.rt_nested_splits, parts.row_splits))

    def _tokens_among(self, parts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return for each part (T,) whether it is a token that is found as a whole, and the token's id, else 0."""
        is_this = parts[:, tf.newaxis] == tf.constant([*self._whole])  # (T, tokens)
        ids = tf.reduce_sum(tf.where(is_this, tf.constant([*self._whole.values()]), 0), axis=1)
        return tf.reduce_any(is_this, axis=1), ids

    def _of_parts(self, text: tf.Tensor) -> Pieces:
        """Return the pieces of texts (B,) that hold no token to be found as a whole."""
        if self._preparation is None:
            return self._of_model(text)
        characters = self._preparation.traced(text)
        prepared = characters.joined(tf.size(text, tf.int64))
        found = self._of_model(prepared)
        found = self._cuts.cut_with_offsets(found) if self._cuts else found
        return self._in_bytes_of(characters, prepared, found)

    def _of_model(self, text: tf.Tensor) -> Pieces:
        ids, starts, limits = self._model.tokenize_with_offsets(text)
        values = ids.values if self._ids is None else tf.gather(self._ids, ids.values)
        return Pieces(values, starts.values, limits.values, ids.row_splits)

    def _in_bytes_of(self, characters: Characters, prepared: tf.Tensor, found: Pieces) -> Pieces:
        """Return pieces whose offsets count the bytes that the characters came from, not those of prepared texts (B,).

        A piece begins with the first byte of its first character and ends with the last byte of its last one. A piece
        of no bytes, as the mark of a space before a text may be, stands before the character that follows it.
        """
        sizes = tf.cast(tf.strings.length(prepared), tf.int64)
        begin = tf.gather(tf.cumsum(sizes, exclusive=True), owners(found.row_splits))  # (P,) bytes of earlier texts
        widths = tf.strings.length(characters.char)
        # One more at the end, for a piece of no bytes behind the last character.
        start = tf.concat([tf.repeat(characters.start, widths), [0]], axis=0)
        limit = tf.concat([[0], tf.repeat(characters.limit, widths)], axis=0)  # of the byte before
        starts = tf.gather(start, begin + found.starts)
        limits = tf.where(found.limits > found.starts, tf.gather(limit, begin + found.limits), starts)
        return found._replace(starts=starts, limits=limits)
