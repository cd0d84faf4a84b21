"""The inner functions of a tokenizer, each traced once. The functions that are saved only call these.

Shapes: B texts or rows, S segments of a row, P pieces of all segments together, L = seq_length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tokenizer import offsets, packing
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import CLS, CONTINUATION, PAD, SEP, Vocabulary
from tokenizer.wordpiece import WordPiece
from zoo.archive.task import Truncation

TEXTS = tf.TensorSpec([None], tf.string, name="text")  # (B,)
TEXTS_OR_ROWS = tf.TensorSpec(None, tf.string, name="text")  # (B,) or (B, S)
LENGTH = tf.TensorSpec([], tf.int32, name="seq_length")
FLAG = tf.TensorSpec([], tf.bool, name="special_tokens")
PIECES = tf.RaggedTensorSpec([None, None], tf.int32)
WORDS_OF_PIECES = tf.RaggedTensorSpec([None, None, None], tf.int32)
LAID_END_TO_END = (
    tf.TensorSpec([None], tf.int32, name="pieces"),
    tf.TensorSpec([None, None], tf.int32, name="begins"),
    tf.TensorSpec([None, None], tf.int32, name="lengths"),
)

TRIMS: Mapping[Truncation, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "round_robin": packing.trim,
    "longest_first": packing.trim_longest_first,
    "only_second": packing.trim_only_second,
}
TOO_SHORT = "seq_length is too small: it must hold [CLS] and a [SEP] for each segment. Received:"


def graph_function(function: Callable[..., Any], *signature: tf.TypeSpec, **attributes: bool) -> Any:
    """Return a tf.function of fixed signature, so that a call with Python lists does not trace the function again."""
    return tf.function(function, input_signature=signature, autograph=False, experimental_attributes=attributes or None)


def seldom_called(function: Callable[..., Any], *signature: tf.TypeSpec) -> Any:
    """Return the same for a branch that few calls take, for example that of texts with accents.

    TensorFlow usually replaces a call by the operations of the function, and then spends time on each of them even
    where the branch is not taken; that counts in a call of less than a millisecond. With `_noinline` the branch stays
    one operation.
    """
    return graph_function(function, *signature, _noinline=True)


def checked(value: Any, holds: tf.Tensor | bool, rule: str, found: Any) -> Any:
    """Return `value`. Where `holds` is false, an InvalidArgumentError with the text of `rule` is raised on its use.

        checked(seq_length, seq_length >= 2, "seq_length is too small. Received:", seq_length)

    If `holds` is a Python bool, the check happens while the graph is built, costs no operation and raises ValueError.
    """
    if isinstance(holds, bool):
        if not holds:
            raise ValueError(f"{rule} {found}.")
        return value
    with tf.control_dependencies([tf.debugging.Assert(holds, [rule, found])]):
        return tf.identity(value)


class Graph:
    """The inner functions of one tokenizer. TensorFlow does not save this plain object, only functions called in it.

    A subclass says how texts become pieces: `pieces` and `with_offsets`.
    """

    resources: Mapping[str, Any] = {}  # attributes of the root: objects that TensorFlow has to save
    separators = 1  # between two segments; RoBERTa has two
    has_types = True  # whether the second segment has a type of its own

    def __init__(self, vocabulary: Vocabulary, rules: TokenizerRules) -> None:
        self.size, self.ids = len(vocabulary), rules.special_ids(vocabulary)
        self._entries = tf.constant(vocabulary.entries)
        self._starts_word = tf.constant([not entry.startswith(CONTINUATION) for entry in vocabulary.entries])
        self.wrapping = {"cls": self.ids[CLS], "sep": self.ids[SEP], "pad": self.ids[PAD]}
        self.tokenize = graph_function(self.pieces, TEXTS)
        self.preprocess = graph_function(self.packed, TEXTS_OR_ROWS, LENGTH)
        self.rows = seldom_called(self._rows, TEXTS_OR_ROWS, LENGTH)
        self.pack = graph_function(self._pack, *LAID_END_TO_END, LENGTH)
        self.join = graph_function(self._join, PIECES)

    def pieces(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Return the ids of texts (B,): (B, (pieces)) int32."""
        raise NotImplementedError

    def with_offsets(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Return ids (int32), starts and limits (int64, bytes of `text`) of each text's pieces, (B, (pieces)) each."""
        raise NotImplementedError

    def words(self, pieces: tf.RaggedTensor) -> tf.Tensor:
        """Return the places where words begin: (words + 1,) int64 row splits over the flat pieces."""
        begins = tf.where(tf.gather(self._starts_word, pieces.values))[:, 0]
        return tf.concat([begins, pieces.row_splits[-1:]], axis=0)

    def entries(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the vocabulary's entries for ids; the shape is that of the ids."""
        return tf.gather(self._entries, ids)

    def segments(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the pieces (P,) of texts (B,) or rows (B, S), then begin and length of every segment, (B, S) each."""
        rank = tf.rank(text)
        text = checked(
            text,
            (rank == 1) | (rank == 2),
            "Give a batch of strings [B], or rows of segments [B, S]. Received the shape:",
            tf.shape(text),
        )
        pieces = self.tokenize(tf.reshape(text, [-1]))
        splits = tf.cast(pieces.row_splits, tf.int32)
        shape = tf.stack([tf.shape(text)[0], tf.reduce_prod(tf.shape(text)[1:])])  # B, S
        return pieces.values, tf.reshape(splits[:-1], shape), tf.reshape(splits[1:] - splits[:-1], shape)

    def lay_out(
        self, pieces: tf.Tensor, begins: tf.Tensor, kept: tf.Tensor, columns: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Return `packing.lay_out_rows` with the ids of [CLS], [SEP] and [PAD] of this vocabulary."""
        return packing.lay_out_rows(pieces, begins, kept, columns, self.separators, self.has_types, **self.wrapping)

    def frame(self, segments: tf.Tensor) -> tf.Tensor:
        """Return the number of special tokens in a row of several segments."""
        return 1 + segments if self.separators == 1 else self.separators * (segments - 1) + 2

    def _pack(
        self, pieces: tf.Tensor, begins: tf.Tensor, lengths: tf.Tensor, seq_length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        room = seq_length - self.frame(tf.shape(lengths)[1])
        room = checked(room, room >= 0, TOO_SHORT, seq_length)
        return self.lay_out(pieces, begins, packing.trim(lengths, room), seq_length)

    def packed(self, text: tf.Tensor, seq_length: tf.Tensor | int) -> dict[str, tf.Tensor]:
        """Return the packed inputs of texts (B,) or rows (B, S).

        Most calls give texts, so texts have a branch of their own with fewer operations. A `seq_length` that is a
        Python number saves more: it is checked while the graph is built, and the shapes are known then.
        """

        def texts() -> dict[str, tf.Tensor]:
            pieces = self.tokenize(tf.reshape(text, [-1]))
            columns = checked(seq_length, seq_length >= 2, TOO_SHORT, seq_length)
            return packing.lay_out_texts(pieces.values, pieces.row_splits, columns, **self.wrapping)

        def rows() -> dict[str, tf.Tensor]:
            shape = [None, tf.get_static_value(seq_length)]
            return {key: tf.ensure_shape(value, shape) for key, value in self.rows(text, seq_length).items()}

        return tf.cond(tf.rank(text) == 1, texts, rows)

    def trimmed(self, text: tf.Tensor, limit: int, truncation: Truncation) -> dict[str, tf.Tensor]:
        """Return the packed inputs of texts (B,) or pairs (B, 2), as wide as the longest, at most `limit` columns.

        The rank of `text` is known while the graph is built.
        """
        if text.shape.rank == 1:
            return self.packed_pieces(self.tokenize(text), limit)
        pieces, begins, lengths = self.segments(text)
        kept = TRIMS[truncation](lengths, tf.constant(limit - 3))
        columns = 3 + tf.reduce_max(tf.pad(tf.reduce_sum(kept, axis=1), [[0, 1]]))
        return self.lay_out(pieces, begins, kept, columns)

    def packed_pieces(self, pieces: tf.RaggedTensor, limit: int) -> dict[str, tf.Tensor]:
        """Return the packed inputs of the pieces of texts (B, (pieces)), as `trimmed` does of the texts."""
        longest = tf.cast(tf.reduce_max(tf.pad(pieces.row_lengths(), [[0, 1]])), tf.int32)
        columns = tf.minimum(longest + 2, limit)
        return packing.lay_out_texts(pieces.values, pieces.row_splits, columns, **self.wrapping)

    def _rows(self, text: tf.Tensor, seq_length: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.pack(*self.segments(text), seq_length)

    def _join(self, ids: tf.RaggedTensor) -> tf.Tensor:
        """Return texts (B,) of ids (B, (pieces)): words are joined by spaces, pieces of words by nothing."""
        left_out = tf.constant([self.ids[token] for token in (PAD, CLS, SEP)])
        is_said = tf.reduce_all(ids.values[:, tf.newaxis] != left_out, axis=-1)
        ids = tf.ragged.boolean_mask(ids, ids.with_values(is_said))
        text = tf.strings.reduce_join(ids.with_values(self.entries(ids.values)), axis=-1, separator=" ")
        return tf.strings.regex_replace(text, f" {CONTINUATION}", "")


class WordPieceGraph(Graph):
    """The inner functions of a tokenizer whose pieces an operation of tensorflow-text finds."""

    def __init__(self, vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool) -> None:
        super().__init__(vocabulary, rules)
        self.wordpiece = WordPiece(vocabulary, rules, special_tokens_in_text)
        self.normalise = seldom_called(self._normalise, TEXTS)

    def _normalise(self, text: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return self.wordpiece.normalise(text)

    def pieces(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Return the ids of texts. Plain texts, which are most, are not normalised."""
        is_plain = self.wordpiece.is_plain(text)
        plain = tf.strings.lower(text) if self.wordpiece.rules.lower_case else text  # changes ASCII alone

        def normalised() -> tuple[tf.Tensor, ...]:
            rest = tf.where(tf.logical_not(is_plain))  # (R, 1)
            prepared, *found = self.normalise(tf.gather_nd(text, rest))
            return tf.tensor_scatter_nd_update(plain, rest, prepared), *found

        nothing_found = [tf.zeros([0], tf.int32) for _ in self.wordpiece.searches]
        return self.wordpiece.pieces(*tf.cond(tf.reduce_all(is_plain), lambda: (plain, *nothing_found), normalised))

    def with_offsets(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        return offsets.trace(self.wordpiece, text)
