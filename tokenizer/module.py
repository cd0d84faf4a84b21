"""The saved roots: Tokenizer and Preprocessor, ready for tf.saved_model.save. Functions and their signatures, no rules.

Every public function only calls the same inner function, so that the graph holds the tokenizer once. The objects are
tf.train.Checkpoints, whose attributes are saved under their own names; tf.Module would hide the `variables` list that
hub.KerasLayer reads.

Shapes: B texts, S segments of a row, T tokens, L = seq_length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tokenizer.core_graph import CoreGraph
from tokenizer.graph import (
    FLAG,
    LENGTH,
    PIECES,
    TEXTS,
    TEXTS_OR_ROWS,
    WORDS_OF_PIECES,
    Graph,
    WordPieceGraph,
    checked,
    graph_function,
)
from tokenizer.ragged import by_text, by_word
from tokenizer.rules import Ops, TokenizerRules
from tokenizer.sentencepiece_graph import SentencePieceGraph
from tokenizer.vocabulary import CLS, MASK, PAD, SEP, Vocabulary
from zoo.contract import INPUT_MASK, INPUT_WORD_IDS, SERVING_SIGNATURE

SEQ_LENGTH = 128
MOST_SEGMENTS = 4
_GRAPHS = {"text": WordPieceGraph, "core": CoreGraph}  # of BERT's algorithm, by the operations that a graph is made of


class _Root(tf.train.Checkpoint):
    """Calls the tf.function in the attribute `__call__`, so that the object is callable before it is saved, too.

    (Python looks up `__call__` in the class only; a loaded SavedModel finds the attribute.)
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)["__call__"](*args, **kwargs)


class _Tokenize(_Root):
    """`.tokenize` as in TF-Hub's preprocessors: a callable that also has `get_special_tokens_dict()`."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()

        def tokenize(text: tf.Tensor) -> tf.RaggedTensor:
            pieces = graph.tokenize(text)
            return by_word(pieces.values, pieces.row_splits, graph.words(pieces))

        def get_special_tokens_dict() -> dict[str, tf.Tensor]:
            ids = {
                "vocab_size": graph.size,
                "padding_id": graph.ids[PAD],
                "start_of_sequence_id": graph.ids[CLS],
                "end_of_segment_id": graph.ids[SEP],
            }
            if MASK in graph.ids:
                ids["mask_id"] = graph.ids[MASK]
            return {name: tf.constant(number) for name, number in ids.items()}

        self.__call__ = graph_function(tokenize, TEXTS)  # type: ignore[method-assign]
        self.get_special_tokens_dict = graph_function(get_special_tokens_dict)


class _TextModel(_Root):
    """The functions that a tokenizer archive and a preprocess archive share.

    | attribute | gives |
    |---|---|
    | `tokenize(text)` | ids (B, (words), (pieces)), ragged int32, as TF-Hub's bert_zh_preprocess |
    | `tokenize.get_special_tokens_dict()` | vocab_size, padding_id, start_of_sequence_id, end_of_segment_id, mask_id |
    | `tokenize_with_offsets(text)` | ids; starts, limits, int64 bytes of the text; (B, (words), (pieces)) each |
    | `bert_pack_inputs(segments, seq_length=128)` | the three keys, (B, L) int32, of 1 to 4 ragged id tensors |
    | `preprocess(text, seq_length=128)` | the same three keys, of texts (B,) or rows of segments (B, S) |
    | `detokenize(ids)` | texts (B,) of dense or ragged ids: words joined by spaces, [PAD] [CLS] [SEP] left out |

    Without a [MASK] in the vocabulary there is no mask_id. The roles are BERT's, whatever their spelling: where the
    padding token is "<pad>", padding_id is the id of "<pad>".
    """

    def __init__(
        self, vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool, seq_length: int, ops: Ops
    ) -> None:
        super().__init__()
        make = SentencePieceGraph if rules.sentencepiece else _GRAPHS[ops]
        self.graph = graph = make(vocabulary, rules, special_tokens_in_text)  # a plain object: it is not saved
        for name, resource in graph.resources.items():
            setattr(self, name, resource)
        self.tokenize = _Tokenize(graph)
        self.tokenize_with_offsets = graph_function(_with_offsets(graph), TEXTS)
        self.bert_pack_inputs = _bert_pack_inputs(graph, seq_length)
        self.detokenize = _detokenize(graph)

        def preprocess(text: tf.Tensor, seq_length: tf.Tensor | int = seq_length) -> dict[str, tf.Tensor]:
            return graph.preprocess(text, seq_length)

        self.preprocess = graph_function(preprocess, TEXTS_OR_ROWS, LENGTH)
        self.variables: list[tf.Variable] = []
        self.trainable_variables: list[tf.Variable] = []
        self.regularization_losses: list[tf.Tensor] = []
        self.__call__ = self._call(graph, seq_length)  # type: ignore[method-assign]

    def _call(self, graph: Graph, seq_length: int) -> Any:
        raise NotImplementedError

    def signatures(self) -> dict[str, Any]:
        """Return the functions for `tf.saved_model.save(root, path, signatures=root.signatures())`."""
        return {SERVING_SIGNATURE: graph_function(self._serve, TEXTS)}

    def _serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        raise NotImplementedError


class Tokenizer(_TextModel):
    """Root of a tokenizer archive: strings to string tokens, for every text those of the original BERT tokenizer.

        tokenizer = Tokenizer(Vocabulary.read(path), TokenizerRules.original(lower_case=True))
        tokenizer(["你好"])  # [["你", "好"]], (B, T) strings, '' is padding
        tokenizer([["你好", "再见"]], special_tokens=True)  # [["[CLS]", "你", "好", "[SEP]", "再", "见", "[SEP]"]]

    Tokens are the vocabulary's entries, '##' pieces included; an unknown word is '[UNK]'. Texts are UTF-8; bytes that
    are not UTF-8 are skipped. Rows of several segments need `special_tokens=True`: without [SEP] their segments could
    not be told apart. A call with a Python list traces no new graph. A single string, or a tensor of rank 3, raises an
    InvalidArgumentError that says which shapes to give.

    `special_tokens_in_text=True` keeps a literal [PAD], [UNK], [CLS], [SEP] or [MASK] in a text whole (see WordPiece).
    `ops="core"` makes the same tokenizer of TensorFlow's own operations, so that it loads without tensorflow-text.
    """

    def __init__(
        self, vocabulary: Vocabulary, rules: TokenizerRules, special_tokens_in_text: bool = False, ops: Ops = "text"
    ) -> None:
        super().__init__(vocabulary, rules, special_tokens_in_text, SEQ_LENGTH, ops)

    def _call(self, graph: Graph, seq_length: int) -> Any:
        def call(text: tf.Tensor, special_tokens: tf.Tensor | bool = False) -> tf.Tensor:
            pieces, begins, lengths = graph.segments(text)
            segments = tf.shape(lengths)[1]

            def wrapped() -> tf.Tensor:
                columns = graph.frame(segments) + tf.reduce_max(tf.pad(tf.reduce_sum(lengths, axis=1), [[0, 1]]))
                packed = graph.lay_out(pieces, begins, kept=lengths, columns=columns)
                return tf.where(packed[INPUT_MASK] == 1, graph.entries(packed[INPUT_WORD_IDS]), "")

            def plain() -> tf.Tensor:
                rule = "Rows of several segments need special_tokens=True. Received segments:"
                flat = checked(lengths, segments == 1, rule, segments)[:, 0]
                return tf.RaggedTensor.from_row_lengths(graph.entries(pieces), flat).to_tensor("")

            return tf.cond(special_tokens, wrapped, plain)

        return graph_function(call, TEXTS_OR_ROWS, FLAG)

    def _serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"tokens": self.__call__(text, False)}


class Preprocessor(_TextModel):
    """Root of a preprocess archive: strings to the inputs of an encoder. It can replace TF-Hub's bert_zh_preprocess.

    preprocessor = Preprocessor(Vocabulary.read(path), TokenizerRules.original(lower_case=True))
    preprocessor(["你好"])  # {"input_word_ids": …, "input_mask": …, "input_type_ids": …}, (B, 128) int32 each

    Rows of segments (B, S) are packed together. Everything else is as in a tokenizer archive.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        rules: TokenizerRules,
        special_tokens_in_text: bool = False,
        seq_length: int = SEQ_LENGTH,
        ops: Ops = "text",
    ) -> None:
        super().__init__(vocabulary, rules, special_tokens_in_text, seq_length, ops)

    def _call(self, graph: Graph, seq_length: int) -> Any:
        def call(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return graph.packed(text, seq_length)

        return graph_function(call, TEXTS_OR_ROWS)

    def _serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(self.__call__(text))


# -- functions of several forms -----------------------------------------------------------------------------------


def _with_offsets(graph: Graph) -> Callable[[tf.Tensor], tuple[tf.RaggedTensor, ...]]:
    def tokenize_with_offsets(text: tf.Tensor) -> tuple[tf.RaggedTensor, ...]:
        pieces, starts, limits = graph.with_offsets(text)
        words = graph.words(pieces)
        return tuple(by_word(ragged.values, pieces.row_splits, words) for ragged in (pieces, starts, limits))

    return tokenize_with_offsets


def _bert_pack_inputs(graph: Graph, seq_length: int) -> Any:
    def bert_pack_inputs(
        inputs: Sequence[tf.RaggedTensor], seq_length: tf.Tensor | int = seq_length
    ) -> dict[str, tf.Tensor]:
        segments = [by_text(segment) for segment in inputs]
        before = tf.cumsum([tf.size(segment.values) for segment in segments], exclusive=True)  # (S,)
        begins = before + tf.stack([tf.cast(segment.row_starts(), tf.int32) for segment in segments], axis=1)
        lengths = tf.stack([tf.cast(segment.row_lengths(), tf.int32) for segment in segments], axis=1)
        return graph.pack(tf.concat([segment.values for segment in segments], axis=0), begins, lengths, seq_length)

    function = tf.function(bert_pack_inputs, autograph=False)
    # Lists and tuples are traced, a single tensor is not: a loaded function that has a form for a tensor fails when
    # TensorFlow compares that form with a tuple.
    for spec in (PIECES, WORDS_OF_PIECES):
        for count in range(1, MOST_SEGMENTS + 1):
            function.get_concrete_function([spec] * count, LENGTH)
            function.get_concrete_function((spec,) * count, LENGTH)
    return function


def _detokenize(graph: Graph) -> Any:
    def detokenize(ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        ragged = ids if isinstance(ids, tf.RaggedTensor) else tf.RaggedTensor.from_tensor(tf.cast(ids, tf.int32))
        return graph.join(by_text(ragged))

    function = tf.function(detokenize, autograph=False)
    for dtype in (tf.int32, tf.int64):
        function.get_concrete_function(tf.TensorSpec([None, None], dtype))
    for spec in (PIECES, WORDS_OF_PIECES):
        function.get_concrete_function(spec)
    return function
