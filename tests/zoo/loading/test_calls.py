"""Calls of loaded models: nothing is traced, whatever shape or value comes; widths mix; contradictions are errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import zoo
from tests.conftest import ROOT
from tests.zoo.toyzoo import ToyZoo
from zoo.contract import INPUT_KEYS, INPUT_WORD_IDS, MASKED_POSITIONS
from zoo.errors import BadArgument

Call = Callable[[int], Any]


@pytest.fixture(scope="session")
def encoder(toy_zoo: ToyZoo) -> Any:
    return zoo.load(toy_zoo.unpacked())


@pytest.fixture(scope="session")
def tokenizer(toy_zoo: ToyZoo) -> Any:
    return zoo.load(toy_zoo.unpacked("toy_tokenizer"))


def ids_of(n: int) -> np.ndarray:
    """Ids of another shape for each n up to 195, and of other values."""
    return 5 + (np.arange((1 + n % 5) * (1 + n % 39)) + n).reshape(1 + n % 5, -1) % 90


def dict_of(n: int, dtype: Any = np.int32) -> dict[str, np.ndarray]:
    ids = ids_of(n).astype(dtype)
    return dict(zip(INPUT_KEYS, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True))


def with_positions(n: int, dtype: Any = np.int32) -> dict[str, np.ndarray]:
    inputs = dict_of(n, dtype)
    return {**inputs, MASKED_POSITIONS: np.zeros([len(inputs[INPUT_WORD_IDS]), 1 + n % 3], dtype)}


def texts_of(n: int) -> list[str]:
    return ["你好" * (1 + n % 7) + f" w{n % 90}"] * (1 + n % 5)


def encoder_calls(encoder: Any) -> dict[str, Call]:
    """Every public form of an encoder's object: name -> a call of another shape and other values for each n."""
    return {
        "ids, a tensor": lambda n: encoder(tf.constant(ids_of(n), tf.int32)),
        "ids, int64": lambda n: encoder(ids_of(n)),
        "ids, a list": lambda n: encoder(ids_of(n).tolist()),
        "three in a list": lambda n: encoder([*dict_of(n).values()]),
        "two in a tuple": lambda n: encoder(tuple(dict_of(n, np.int64).values())[:2]),
        "one above the other": lambda n: encoder(tf.stack([*dict_of(n).values()])),
        "dict": lambda n: encoder(dict_of(n)),
        "dict of int64": lambda n: encoder(dict_of(n, np.int64)),
        "dict of lists": lambda n: encoder({name: array.tolist() for name, array in dict_of(n).items()}),
        "dict of ids": lambda n: encoder({INPUT_WORD_IDS: ids_of(n).tolist()}),
        "dict of two": lambda n: encoder({name: dict_of(n)[name] for name in INPUT_KEYS[:2]}),
        "tokens": lambda n: encoder([["[CLS]", *["你"] * (n % 9), "[SEP]"]] * (1 + n % 5)),
        "in training": lambda n: encoder(dict_of(n), training=True),
        "in training, a list": lambda n: encoder(ids_of(n).tolist(), True),
        ".mlm": lambda n: encoder.mlm(with_positions(n)),
        ".mlm of int64": lambda n: encoder.mlm(with_positions(n, np.int64), training=False),
        ".nsp": lambda n: encoder.nsp(dict_of(n)),
        ".nsp of lists": lambda n: encoder.nsp({name: array.tolist() for name, array in dict_of(n).items()}),
        ".attention": lambda n: encoder.attention(dict_of(n)),
        ".attention of a list": lambda n: encoder.attention(ids_of(n).tolist()),
        ".attention of tokens": lambda n: encoder.attention([["[CLS]", *["你"] * (n % 9)]]),
    }


def tokenizer_calls(tokenizer: Any) -> dict[str, Call]:
    """The same of a tokenizer's or preprocess archive's object."""

    def words(n: int) -> Any:
        return tokenizer.tokenize(texts_of(n))

    return {
        "texts": lambda n: tokenizer(texts_of(n)),
        "rows": lambda n: tokenizer.preprocess([[text, text] for text in texts_of(n)], seq_length=5 + n),
        ".preprocess": lambda n: tokenizer.preprocess(texts_of(n), 3 + n),
        ".tokenize": words,
        ".tokenize_with_offsets": lambda n: tokenizer.tokenize_with_offsets(texts_of(n)),
        ".bert_pack_inputs": lambda n: tokenizer.bert_pack_inputs([words(n)], 3 + n),
        ".bert_pack_inputs, two": lambda n: tokenizer.bert_pack_inputs([words(n), words(n)], seq_length=5 + n),
        ".bert_pack_inputs, flat": lambda n: tokenizer.bert_pack_inputs((words(n).merge_dims(1, 2),)),
        ".detokenize": lambda n: tokenizer.detokenize(ids_of(n).tolist()),
        ".detokenize of int64": lambda n: tokenizer.detokenize(ids_of(n)),
        ".detokenize of words": lambda n: tokenizer.detokenize(words(n)),
        ".detokenize of pieces": lambda n: tokenizer.detokenize(words(n).merge_dims(1, 2)),
    }


def functions_of(loaded: Any) -> Iterator[Any]:
    for value in vars(loaded).values():
        if hasattr(value, "experimental_get_tracing_count"):
            yield value
        elif "__call__" in getattr(value, "__dict__", {}):
            yield from functions_of(value)


def traces(loaded: Any) -> int:
    return sum(function.experimental_get_tracing_count() for function in functions_of(loaded))


# -- nothing grows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", encoder_calls(None))
def test_no_form_of_an_encoder_is_traced(form: str, encoder: Any) -> None:
    call = encoder_calls(encoder)[form]
    for n in (0, 1, 7, 13):
        call(n)
    assert traces(encoder) == 0, "what was saved is called itself"


@pytest.mark.parametrize("form", tokenizer_calls(None))
def test_no_form_of_a_tokenizer_is_traced_twice(form: str, tokenizer: Any) -> None:
    call = tokenizer_calls(tokenizer)[form]
    call(0)
    before = traces(tokenizer)
    for n in (1, 7, 13):
        call(n)
    assert traces(tokenizer) == before
    assert before <= 5, "one for each function of a fixed signature"


def test_a_keras_layer_of_an_object_by_hub_alone_traces_nothing(toy_zoo: ToyZoo) -> None:
    loaded = hub.load(str(toy_zoo.unpacked()))
    layer, head = zoo.KerasLayer(loaded), zoo.KerasLayer(loaded, endpoint="mlm")
    for n in (0, 1, 7):
        assert layer(ids_of(n).tolist())["sequence_output"].shape == (*ids_of(n).shape, 32)
        layer(dict_of(n)), head(with_positions(n))
    assert traces(loaded) == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_two_thousand_calls_grow_by_less_than_20_mib(toy_zoo: ToyZoo) -> None:
    """Without oneDNN, which keeps code for each shape of a product: a plain tf.matmul grows by that too."""
    command = [sys.executable, "-m", "tests.zoo.loading.growth", str(toy_zoo.registry)]
    places = [str(toy_zoo.unpacked(name)) for name in ("toy", "toy_tokenizer", "toy_tokenizer_preprocess")]
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "ZOO_REGISTRY": str(toy_zoo.registry)}
    done = subprocess.run([*command, *places], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-2]) < 20, done.stdout


# -- what comes out stays what it was -----------------------------------------------------------------------------


def test_every_form_gives_what_hub_s_object_gives(toy_zoo: ToyZoo, encoder: Any, tokenizer: Any) -> None:
    ours = encoder_calls(encoder) | tokenizer_calls(tokenizer)
    theirs = encoder_calls(hub.load(str(toy_zoo.unpacked())))
    theirs |= tokenizer_calls(hub.load(str(toy_zoo.unpacked("toy_tokenizer"))))
    for name, call in ours.items():
        if "training" not in name:  # dropout
            for found, expected in zip(tf.nest.flatten(call(7)), tf.nest.flatten(theirs[name](7)), strict=True):
                found, expected = (x.to_tensor() if hasattr(x, "to_tensor") else x for x in (found, expected))
                if found.dtype == tf.string:
                    assert np.array_equal(found, expected), name
                else:
                    np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)


def test_the_object_is_hub_s(toy_zoo: ToyZoo, encoder: Any, tmp_path: Path) -> None:
    """Of its type, in functions, in tf_keras, and saved once more."""
    theirs = hub.load(str(toy_zoo.unpacked()))
    assert vars(encoder).keys() == vars(theirs).keys() - {"_is_hub_module_v1"}
    assert isinstance(encoder.__call__, type(theirs.__call__)) and len(encoder.__call__.concrete_functions) == 18
    inputs = {name: tf.constant(array) for name, array in dict_of(7).items()}
    expected = theirs(inputs)["pooled_output"]
    np.testing.assert_allclose(tf.function(encoder)(inputs)["pooled_output"], expected, atol=1e-6)
    np.testing.assert_allclose(hub.KerasLayer(encoder)(inputs)["pooled_output"], expected, atol=1e-6)
    concrete = encoder.__call__.get_concrete_function(tf.TensorSpec([None, None], tf.int32))
    assert concrete(inputs[INPUT_WORD_IDS])["pooled_output"].shape == expected.shape
    again = zoo.load(toy_zoo.unpacked())
    tf.saved_model.save(again, str(tmp_path / "again"))
    np.testing.assert_allclose(hub.load(str(tmp_path / "again"))(inputs)["pooled_output"], expected, atol=1e-6)


def test_gradients_reach_every_variable(encoder: Any) -> None:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder([[5, 6, 7]], training=True)["pooled_output"] ** 2)
    assert all(gradient is not None for gradient in tape.gradient(loss, encoder.trainable_variables))


# -- widths and shapes --------------------------------------------------------------------------------------------


def mixed(inputs: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for dtype in (np.int64, np.uint8, np.bool_):
        yield {**inputs, "input_mask": inputs["input_mask"].astype(dtype)}
    for dtype in (np.int64, np.int16, np.uint32):
        yield {**inputs, INPUT_WORD_IDS: inputs[INPUT_WORD_IDS].astype(dtype)}


def test_widths_of_integers_mix(toy_zoo: ToyZoo, encoder: Any) -> None:
    model, layer = zoo.load_model(toy_zoo.unpacked()), zoo.KerasLayer(encoder)
    expected = encoder(dict_of(7))["pooled_output"]
    for inputs in mixed(dict_of(7)):
        for way in (encoder, model, layer, encoder.nsp, tf.function(encoder)):
            np.testing.assert_allclose(way(inputs)["pooled_output"], expected, atol=1e-6)
        np.testing.assert_allclose(encoder([*inputs.values()])["pooled_output"], expected, atol=1e-6)
    logits = encoder.mlm(with_positions(7))["mlm_logits"]
    for inputs in mixed(with_positions(7)):
        np.testing.assert_allclose(encoder.mlm(inputs)["mlm_logits"], logits, atol=1e-5)
    encoder.attention({**dict_of(7), "input_mask": dict_of(7)["input_mask"].astype(np.int64)})


@pytest.mark.parametrize("number", [2**40, 2**32 + 5, -(2**32) + 5])
def test_ids_beyond_int32_are_no_others(number: int, toy_zoo: ToyZoo, encoder: Any) -> None:
    """KerasLayer took 2**40 for padding, and 2**32 + 5 for the id 5."""
    ids = np.array([[2, number, 3]])
    inputs = {INPUT_WORD_IDS: ids, "input_mask": np.ones([1, 3], np.int32), "input_type_ids": np.zeros([1, 3], int)}
    layer, serving = zoo.KerasLayer(encoder), "serving_default"
    signature = zoo.KerasLayer(encoder, signature=serving, output_key="pooled_output")
    for way, given in [(encoder, ids), (encoder, ids.tolist()), (layer, ids), (encoder, inputs), (layer, inputs)]:
        with pytest.raises(tf.errors.InvalidArgumentError, match="input_word_ids of this model are 0 to 98"):
            way(given)
    with pytest.raises(tf.errors.InvalidArgumentError, match="input_word_ids of this model are 0 to 98"):
        signature(inputs)


@pytest.mark.parametrize("key", INPUT_KEYS[1:])
@pytest.mark.parametrize("shape", [(1, 9), (2, 8), (2, 1), (9,)])
def test_shapes_that_contradict_each_other(key: str, shape: tuple[int, ...], encoder: Any) -> None:
    inputs = {**{name: np.ones([2, 9], np.int32) for name in INPUT_KEYS}, key: np.ones(shape, np.int32)}
    words = rf"input_word_ids is \(2, 9\); {key} is \({', '.join(map(str, shape))},?\)"
    for way in (encoder, encoder.mlm, encoder.nsp, encoder.attention, zoo.KerasLayer(encoder)):
        with pytest.raises(BadArgument, match=words):
            way({**inputs, MASKED_POSITIONS: np.ones([2, 1], np.int32)} if way is encoder.mlm else inputs)
    if len(shape) == 2:
        with pytest.raises(BadArgument, match=r"need one shape, but these have \(2, 9\) and"):
            encoder([inputs[INPUT_WORD_IDS], inputs[key] if key == "input_mask" else np.ones(shape, np.int32)])


def test_symbolic_shapes_that_contradict_each_other(encoder: Any) -> None:
    import keras

    lengths = dict(zip(INPUT_KEYS, (9, 8, 9), strict=True))
    inputs = {name: keras.Input([length], dtype="int32") for name, length in lengths.items()}
    with pytest.raises(BadArgument, match=r"input_word_ids is \(None, 9\); input_mask is \(None, 8\)"):
        zoo.KerasLayer(encoder)(inputs)
    # Where a graph knows no shapes, the archive itself says so.
    unknown = {name: keras.Input([None], dtype="int32", name=name) for name in INPUT_KEYS}
    model = keras.Model(unknown, zoo.KerasLayer(encoder)(unknown)["pooled_output"])
    graph = tf.function(model, input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_KEYS}])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[2 9\] \[2 8\] \[2 9\]"):
        graph({name: tf.ones([2, length], tf.int32) for name, length in lengths.items()})


def test_positions_for_another_number_of_rows(encoder: Any) -> None:
    with pytest.raises(BadArgument, match=r"input_word_ids is \(3, 3\); masked_lm_positions is \(1, 2\)"):
        encoder.mlm({**dict_of(2), MASKED_POSITIONS: np.zeros([1, 2], np.int32)})


def test_what_no_tensor_can_be_made_of(encoder: Any) -> None:
    with pytest.raises(BadArgument, match="all rows need the same length"):
        encoder([[5, 6], [7]])
    with pytest.raises(ValueError, match="Could not find matching concrete function"):
        encoder([[0.5, 0.5]])
    with pytest.raises(TypeError, match="'trainin'"):
        encoder([[5, 6]], trainin=True)
