"""Everything a tokenizer or preprocess archive offers, asked of saved and reloaded ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from export.oracle.wordpiece import GOLDEN_TEXTS, ReferenceTokenizer
from tokenizer import packing
from tokenizer.module import Preprocessor, Tokenizer
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.contract import INPUT_KEYS, INPUT_MASK, INPUT_TYPE_IDS, INPUT_WORD_IDS

TEXTS = ["unaffable 你好！", "", "ab é"]
UNCASED = TokenizerRules.original(lower_case=True)
ROWS = [["你好", "abc"], ["", "ж"], ["unaffable", ""]]


def strings(tensor: tf.Tensor) -> list[list[str]]:
    return [[token.decode() for token in row] for row in tensor.numpy().tolist()]


def few(vocabularies: dict[str, Vocabulary]) -> Vocabulary:
    """Return entries for which a tokenizer is made sooner, where its answers do not matter."""
    return Vocabulary(vocabularies["traps"].entries[:300])


@pytest.fixture
def oracle(vocabularies: dict[str, Vocabulary]) -> ReferenceTokenizer:
    return ReferenceTokenizer(vocabularies["traps"].entries, lower_case=True)


# -- root ---------------------------------------------------------------------------------------------------------


def test_root_gives_string_tokens(tokenizer: Any, oracle: ReferenceTokenizer) -> None:
    tokens = tokenizer(["你好"])
    assert (tokens.shape, tokens.dtype) == ((1, 2), tf.string)
    assert strings(tokens) == [["你", "好"]]
    width = max(len(oracle.tokens(text)) for text in TEXTS)
    assert strings(tokenizer(TEXTS)) == [(oracle.tokens(text) + [""] * width)[:width] for text in TEXTS]


def test_root_with_nothing_to_say(tokenizer: Any) -> None:
    assert tokenizer([""]).shape == (1, 0)
    assert tokenizer(tf.zeros([0], tf.string)).shape == (0, 0)
    assert strings(tokenizer([""], special_tokens=True)) == [["[CLS]", "[SEP]"]]
    assert tokenizer(tf.zeros([0, 2], tf.string), special_tokens=True).shape[0] == 0


def test_special_tokens_and_pairs(tokenizer: Any) -> None:
    assert strings(tokenizer(["你好"], special_tokens=True)) == [["[CLS]", "你", "好", "[SEP]"]]
    assert strings(tokenizer([["你好", "天"], ["", "气"]], special_tokens=True)) == [
        ["[CLS]", "你", "好", "[SEP]", "天", "[SEP]"],
        ["[CLS]", "[SEP]", "气", "[SEP]", "", ""],
    ]
    assert strings(tokenizer([["你", "好", "天"]], special_tokens=True)) == [
        ["[CLS]", "你", "[SEP]", "好", "[SEP]", "天", "[SEP]"]
    ]
    assert strings(tokenizer([["你好"]])) == [["你", "好"]]
    assert strings(tokenizer(tf.constant(["你"]), tf.constant(True))) == [["[CLS]", "你", "[SEP]"]]


@pytest.mark.parametrize(
    ("text", "special", "words"),
    [
        ([["a", "b"]], False, "several segments need special_tokens=True"),
        ("你好", False, "a batch of strings"),
        ([[["a"]]], True, "rows of segments"),
    ],
)
def test_wrong_shapes_are_explained(tokenizer: Any, text: Any, special: bool, words: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        tokenizer(text, special_tokens=special)


def test_python_lists_do_not_trace_again(tokenizer: Any, vocabularies: dict[str, Vocabulary]) -> None:
    new = Tokenizer(few(vocabularies), UNCASED)
    for root in (tokenizer, new):
        functions = (root.__call__, root.tokenize.__call__, root.preprocess)
        for function in functions:
            function(["a"])
        before = [function.experimental_get_tracing_count() for function in functions]
        for n in range(5):
            for function in functions:
                function([f"{n}"] * (n + 1))
        root.preprocess([["a", "b"]], seq_length=7 + len(before))
        assert [function.experimental_get_tracing_count() for function in functions] == before


def test_lists_that_hub_reads(tokenizer: Any, preprocessor: Any) -> None:
    for root in (tokenizer, preprocessor):
        for name in ("variables", "trainable_variables", "regularization_losses"):
            assert list(getattr(root, name)) == []


# -- text API of TF-Hub -------------------------------------------------------------------------------------------


def test_tokenize(tokenizer: Any, oracle: ReferenceTokenizer) -> None:
    ragged = tokenizer.tokenize(TEXTS)
    assert (ragged.shape.rank, ragged.dtype, ragged.ragged_rank) == (3, tf.int32, 2)
    words = [[[oracle.number[piece] for piece in oracle.pieces(word)] for word in oracle.words(text)] for text in TEXTS]
    assert ragged.to_list() == words
    assert tokenizer.tokenize(tf.zeros([0], tf.string)).to_list() == []


def test_special_tokens_dict(tokenizer: Any, oracle: ReferenceTokenizer) -> None:
    found = tokenizer.tokenize.get_special_tokens_dict()
    assert {name: int(number) for name, number in found.items()} == {
        "vocab_size": len(oracle.number),
        "padding_id": oracle.number["[PAD]"],
        "start_of_sequence_id": oracle.number["[CLS]"],
        "end_of_segment_id": oracle.number["[SEP]"],
        "mask_id": oracle.number["[MASK]"],
    }
    assert all((number.dtype, number.shape) == (tf.int32, ()) for number in found.values())


def test_offsets_of_nothing(tokenizer: Any) -> None:
    for texts in ([""], [" \x00", ""], []):
        pieces, starts, limits = tokenizer.tokenize_with_offsets(tf.constant(texts, tf.string))
        assert pieces.to_list() == starts.to_list() == limits.to_list() == [[] for _ in texts]
    assert (pieces.dtype, starts.dtype, limits.dtype) == (tf.int32, tf.int64, tf.int64)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("seq_length", [5, 8, 13, 128])
def test_bert_pack_inputs_as_tensorflow_text(tokenizer: Any, count: int, seq_length: int) -> None:
    rng = np.random.default_rng(count)
    segments = [
        tf.ragged.constant([list(rng.integers(5, 99, rng.integers(0, 9))) for _ in range(7)], tf.int32)
        for _ in range(count)
    ]
    special = {name: int(number) for name, number in tokenizer.tokenize.get_special_tokens_dict().items()}

    trimmed = tf_text.RoundRobinTrimmer(seq_length - count - 1).trim(segments)
    ids, types = tf_text.combine_segments(trimmed, special["start_of_sequence_id"], special["end_of_segment_id"])
    ids, mask = tf_text.pad_model_inputs(ids, seq_length, pad_value=special["padding_id"])
    types, _ = tf_text.pad_model_inputs(types, seq_length)

    words = [segment.with_values(tf.RaggedTensor.from_tensor(segment.values[:, tf.newaxis])) for segment in segments]
    for inputs in (segments, tuple(segments), words, tuple(words)):
        packed = tokenizer.bert_pack_inputs(inputs, seq_length=seq_length)
        assert set(packed) == set(INPUT_KEYS)
        assert all((value.dtype, value.shape) == (tf.int32, (7, seq_length)) for value in packed.values())
        np.testing.assert_array_equal(packed[INPUT_WORD_IDS], ids)
        np.testing.assert_array_equal(packed[INPUT_MASK], mask)
        np.testing.assert_array_equal(packed[INPUT_TYPE_IDS], types)


def test_bert_pack_inputs_takes_what_tokenize_gives(tokenizer: Any, oracle: ReferenceTokenizer) -> None:
    first, second = tokenizer.tokenize(["你好", "a"]), tokenizer.tokenize(["天", ""])
    packed = tokenizer.bert_pack_inputs([first, second])
    assert packed[INPUT_WORD_IDS].shape == (2, 128)
    assert packed[INPUT_WORD_IDS].numpy()[0, :6].tolist() == oracle.encode("你好", "天")
    assert packed[INPUT_TYPE_IDS].numpy()[0, :7].tolist() == [0, 0, 0, 0, 1, 1, 0]
    np.testing.assert_array_equal(
        tokenizer.bert_pack_inputs([first], 9)[INPUT_WORD_IDS], tokenizer.preprocess(["你好", "a"], 9)[INPUT_WORD_IDS]
    )


@pytest.mark.parametrize("call", ["bert_pack_inputs", "preprocess"])
def test_seq_length_too_small(tokenizer: Any, call: str) -> None:
    pair = [tokenizer.tokenize(["a"])] * 2 if call == "bert_pack_inputs" else [["a", "b"]]
    assert getattr(tokenizer, call)(pair, seq_length=3)[INPUT_MASK].numpy().tolist() == [[1, 1, 1]]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"seq_length is too small.*\[SEP\] for each segment"):
        getattr(tokenizer, call)(pair, seq_length=2)


@pytest.mark.parametrize("seq_length", [-1, 0, 1])
def test_seq_length_too_small_for_texts(tokenizer: Any, seq_length: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="seq_length is too small"):
        tokenizer.preprocess(["a"], seq_length=seq_length)


@pytest.mark.parametrize("seq_length", [-1, 0, 1])
def test_no_preprocessor_is_traced_for_a_length_too_small(vocabularies: dict[str, Vocabulary], seq_length: int) -> None:
    with pytest.raises(ValueError, match=rf"seq_length is too small.* {seq_length}\.$"):
        Preprocessor(few(vocabularies), UNCASED, seq_length=seq_length)(["a"])


def test_preprocess(tokenizer: Any, oracle: ReferenceTokenizer) -> None:
    for row in GOLDEN_TEXTS:
        packed = tokenizer.preprocess([list(row)], seq_length=512)
        ids = oracle.encode(*row)
        assert packed[INPUT_WORD_IDS].numpy()[0].tolist() == ids + [0] * (512 - len(ids))
        assert packed[INPUT_MASK].numpy().sum() == len(ids)
    assert tokenizer.preprocess(TEXTS)[INPUT_WORD_IDS].shape == (3, 128)
    assert tokenizer.preprocess(tf.zeros([0], tf.string))[INPUT_WORD_IDS].shape == (0, 128)


def test_preprocess_is_tokenize_and_pack(tokenizer: Any) -> None:
    rows = np.array(ROWS * 5)
    segments = [tokenizer.tokenize(list(column)) for column in rows.T]
    for seq_length in (4, 5, 6, 9):
        together, apart = tokenizer.preprocess(rows, seq_length), tokenizer.bert_pack_inputs(segments, seq_length)
        for key in INPUT_KEYS:
            np.testing.assert_array_equal(together[key], apart[key])


def test_texts_are_rows_of_one_segment(tokenizer: Any) -> None:
    texts = ["", "你", "a b c d e f g h", "你好", *TEXTS]
    for seq_length in (2, 3, 4, 5, 10, 128):
        flat, rows = (tokenizer.preprocess(each, seq_length) for each in (texts, [[text] for text in texts]))
        for key in INPUT_KEYS:
            np.testing.assert_array_equal(flat[key], rows[key])


@pytest.mark.parametrize(("cls", "sep", "pad"), [(2, 3, 0), (3, 0, 2), (0, 2, 3)])
def test_texts_are_laid_out_as_segments(cls: int, sep: int, pad: int) -> None:
    """Wherever the vocabulary has its special tokens, and with any of them among the pieces."""
    pieces, splits = tf.constant([0, 1, 2, 3, 4, 0, 1, 2]), np.array([0, 3, 3, 5, 8])
    begins, lengths = (tf.constant(each[:, np.newaxis], tf.int32) for each in (splits[:-1], np.diff(splits)))
    for columns in range(2, 9):
        kept = packing.trim(lengths, columns - 2)
        segments = packing.lay_out_rows(pieces, begins, kept, columns, 1, True, cls, sep, pad)
        texts = packing.lay_out_texts(pieces, tf.constant(splits), columns, cls, sep, pad)
        for key in INPUT_KEYS:
            np.testing.assert_array_equal(texts[key], segments[key])


def test_detokenize(tokenizer: Any, oracle: ReferenceTokenizer) -> None:
    ragged = tokenizer.tokenize(["Unaffable 你好!", "", "ab # #"])
    said = ["unaffable 你 好 !", "", "ab # #"]
    dense = tokenizer.preprocess(["Unaffable 你好!", "", "ab # #"])[INPUT_WORD_IDS]
    for ids in (ragged, ragged.merge_dims(1, 2), dense, tf.cast(dense, tf.int64)):
        assert [text.decode() for text in tokenizer.detokenize(ids).numpy()] == said
    kept = tf.constant([[oracle.number["[MASK]"], oracle.number["[UNK]"], 0]])
    assert tokenizer.detokenize(kept).numpy().tolist() == [b"[MASK] [UNK]"]


def test_preprocessor_root(tokenizer: Any, preprocessor: Any) -> None:
    for text in (TEXTS, ROWS):
        packed, expected = preprocessor(text), tokenizer.preprocess(text)
        for key in INPUT_KEYS:
            assert packed[key].shape == (3, 128)
            np.testing.assert_array_equal(packed[key], expected[key])
    assert preprocessor.tokenize(TEXTS).to_list() == tokenizer.tokenize(TEXTS).to_list()
    assert preprocessor.preprocess(TEXTS, seq_length=6)[INPUT_MASK].shape == (3, 6)
    assert preprocessor.detokenize(preprocessor.tokenize(["你好"])).numpy()[0].decode() == "你 好"
