"""WordPiece by our tokenizers: of tensorflow-text, and of TensorFlow's own operations."""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path

import tensorflow as tf
from wordpiece_common import LENGTH, Call, Open, WordPiece, entries

from tokenizer.module import Preprocessor
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def ours(ops: str) -> Open:
    def open_(directory: Path, lower_case: bool, strip_accents: bool) -> Call:
        vocabulary = Vocabulary(tuple(entries(directory)))
        rules = TokenizerRules(lower_case, strip_accents, special_tokens={name: name for name in SPECIAL})
        model = Preprocessor(vocabulary, rules.checked(vocabulary), ops=ops, seq_length=LENGTH)
        return lambda texts: model(tf.constant(texts))["input_word_ids"].numpy()

    return open_


serve.serve(WordPiece({"text": ours("text"), "core": ours("core")}, **serve.SETTINGS))
