"""WordPiece by any library: a function for each that opens a vocabulary."""

from __future__ import annotations

import serve

# isort: split
from pathlib import Path

import numpy as np
from wordpiece_common import LENGTH, Call, Open, WordPiece, entries, framed, padded


def tensorflow_text(fast: bool) -> Open:
    def open_(directory: Path, lower_case: bool, strip_accents: bool) -> Call:
        import tensorflow as tf
        import tensorflow_text as text

        if lower_case != strip_accents:
            raise ValueError("accents go with the lower case, and stay with the capitals")
        known = entries(directory)
        cls, sep = known.index("[CLS]"), known.index("[SEP]")
        if fast:
            tokenizer = text.FastBertTokenizer(known, lower_case_nfd_strip_accents=lower_case)
        else:
            numbers = tf.lookup.KeyValueTensorInitializer(tf.constant(known), tf.range(len(known), dtype=tf.int64))
            table = tf.lookup.StaticVocabularyTable(numbers, 1)
            tokenizer = text.BertTokenizer(table, token_out_type=tf.int32, lower_case=lower_case)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def pack(texts: tf.Tensor) -> tf.Tensor:
            pieces = tf.cast(tokenizer.tokenize(texts).merge_dims(1, -1), tf.int32)
            segments, _ = text.combine_segments([pieces[:, : LENGTH - 2]], cls, sep)
            return text.pad_model_inputs(segments, LENGTH)[0]

        return lambda texts: pack(tf.constant(texts)).numpy()

    return open_


def hugging_face(directory: Path, *_: bool) -> Call:
    from tokenizers import Tokenizer

    encode = Tokenizer.from_file(str(directory / "tokenizer.json")).encode_batch_fast  # keeps no offsets
    return lambda texts: padded([encoding.ids for encoding in encode(texts)])


def flash(directory: Path, lower_case: bool, strip_accents: bool) -> Call:
    from flash_tokenizer import BertTokenizerFlash

    if lower_case != strip_accents:
        raise ValueError("accents go with the lower case, and stay with the capitals")
    file = str(directory / "vocab.txt")
    encode = BertTokenizerFlash(file, do_lower_case=lower_case, model_max_length=LENGTH).tokenizer.batch_encode
    return lambda texts: padded(encode(texts, "longest", LENGTH, True))


def blingfire(directory: Path, lower_case: bool, strip_accents: bool) -> Call:
    import blingfire

    known = entries(directory)
    if not lower_case or not strip_accents or len(known) != 30522 or known[1996] != "the":
        raise ValueError("its models are made of vocabularies of its own, of which only the English one is compared")
    model = blingfire.load_model(str(Path(blingfire.path) / "bert_base_tok.bin"))
    convert, unknown, frame = blingfire.text_to_ids, known.index("[UNK]"), framed(directory)
    return lambda texts: frame([convert(model, text, LENGTH - 2, unknown, True) for text in texts])


def nanotoken(directory: Path, *_: bool) -> Call:
    from nanotoken import Tokenizer

    encode = Tokenizer(str(directory / "tokenizer.json")).encode_batch_padded
    options = {"max_length": LENGTH, "truncation": True, "padding": "max_length"}
    return lambda texts: encode(texts, **options)["input_ids"].astype(np.int32)


def kitoken(directory: Path, *_: bool) -> Call:
    from kitoken import Kitoken

    encode, frame = Kitoken.from_tokenizers_file(str(directory / "tokenizer.json")).encode_all, framed(directory)
    return lambda texts: frame(encode(texts))


def morpheme(directory: Path, *_: bool) -> Call:
    from morpheme import Tokenizer

    encode = Tokenizer.from_file(str(directory / "tokenizer.json")).encode_batch
    return lambda texts: padded([encoding.ids for encoding in encode(texts)])


def budtiktok(directory: Path, *_: bool) -> Call:
    from budtiktok import Tokenizer

    encode, frame = Tokenizer.from_file(str(directory / "tokenizer.json")).encode_batch, framed(directory)
    return lambda texts: frame([encoding.ids for encoding in encode(texts, add_special_tokens=False)])


def paddle(directory: Path, lower_case: bool, strip_accents: bool) -> Call:
    from fast_tokenizer import ErnieFastTokenizer

    flags = {"lowercase": lower_case, "strip_accents": strip_accents}
    tokenizer = ErnieFastTokenizer(str(directory / "vocab.txt"), **flags)
    tokenizer.enable_truncation(LENGTH)
    return lambda texts: padded([encoding.get_ids() for encoding in tokenizer.encode_batch(texts)])


LIBRARIES: dict[str, Open] = {
    "bert_tokenizer": tensorflow_text(fast=False),
    "fast_bert_tokenizer": tensorflow_text(fast=True),
    "tokenizers": hugging_face,
    "flash_tokenizer": flash,
    "blingfire": blingfire,
    "nanotoken": nanotoken,
    "kitoken": kitoken,
    "morpheme": morpheme,
    "budtiktok": budtiktok,
    "fast_tokenizer": paddle,
}

serve.serve(WordPiece(LIBRARIES, **serve.SETTINGS))
