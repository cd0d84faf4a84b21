"""The WordPiece model of one vocabulary: texts to pieces and back. One op, whose model is a constant of the graph.

FastWordpieceTokenizer holds the vocabulary as a constant, so an archive needs no table and no asset file: nothing has
to be initialised, the loaded model does not need the unpacked directory, and saved_model.pb holds no path and no random
table name.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as tf_text

from tokenizer import normalisation
from tokenizer.vocabulary import Vocabulary
from zoo.archive.wordpiece_model import CONTINUATION, SPECIAL_TOKENS, marks, model_bytes


class WordPiece:
    """Maps texts to the original BERT tokenizer's pieces. Plain Python around ops; its methods are called in a graph.

    A special token in a text is split like any other word, unless `special_tokens_in_text` is set. Then every [PAD],
    [UNK], [CLS], [SEP] and [MASK] that a text holds in exactly this spelling is one word, before any other rule is
    applied, and separates the words beside it as a space would. (Hugging Face does the same.)
    """

    def __init__(self, vocabulary: Vocabulary, lower_case: bool, special_tokens_in_text: bool) -> None:
        self.lower_case = lower_case
        self.kept_whole = marks(SPECIAL_TOKENS) if special_tokens_in_text else {}
        self._model = tf_text.FastWordpieceTokenizer(
            token_out_type=tf.int32, model_buffer=model_bytes(vocabulary.entries)
        )
        self._entries = tf.constant(vocabulary.entries)
        self._starts_word = tf.constant([not entry.startswith(CONTINUATION) for entry in vocabulary.entries])

    def normalise(self, text: tf.Tensor) -> tf.Tensor:
        """Return the texts as the words and spaces that FastWordpiece reads: (B,) strings in and out."""
        text = normalisation.mark(normalisation.valid(text), self.kept_whole)
        text = normalisation.clean(text, self.kept_whole)
        if self.lower_case:
            text = normalisation.strip_accents(normalisation.decompose(normalisation.lower(text)))
        return normalisation.space(text, self.kept_whole)

    def pieces(self, prepared: tf.Tensor) -> tf.RaggedTensor:
        """Return the ids of each text that `normalise` gave: (B, (pieces)) int32."""
        return self._model.tokenize(prepared)

    def pieces_with_offsets(self, prepared: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Return ids, starts and limits, (B, (pieces)) each. Starts and limits count bytes of the prepared text."""
        return self._model.tokenize_with_offsets(prepared)

    def words(self, pieces: tf.RaggedTensor) -> tf.Tensor:
        """Return the places where words begin: (words + 1,) int64 row splits over the flat pieces."""
        begins = tf.where(tf.gather(self._starts_word, pieces.values))[:, 0]
        return tf.concat([begins, pieces.row_splits[-1:]], axis=0)

    def entries(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the vocabulary's entries for ids; the shape is that of the ids."""
        return tf.gather(self._entries, ids)
