"""Texts to vectors, against the archives called by hand."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import read_card, write_card
from zoo.archive.sentence import SentenceVectors
from zoo.contract import INPUT_KEYS
from zoo.errors import BadArgument, VocabularyMismatch

TEXTS = ["你好", "w1 w2 w3 w4 w5 w6 w7", "", "好", "w9 你 w3"]


@pytest.fixture(scope="module")
def loaded(toy_zoo: ToyZoo) -> tuple[Any, Any]:
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401

    return hub.load(str(toy_zoo.unpacked("toy_tokenizer"))), hub.load(str(toy_zoo.unpacked()))


_MADE: dict[tuple[tuple[str, Any], ...], zoo.TextEncoder] = {}


def text_encoder(toy_zoo: ToyZoo, **how: Any) -> zoo.TextEncoder:
    """Return one that is made once for all tests that ask for the same: it loads two archives."""
    how = {"max_length": 12, **how}
    key = tuple(sorted(how.items()))
    if key not in _MADE:
        _MADE[key] = zoo.TextEncoder(toy_zoo.unpacked(), toy_zoo.unpacked("toy_tokenizer"), **how)
    return _MADE[key]


@pytest.mark.parametrize("pooling", ["mean", pytest.param("first", marks=pytest.mark.slow), "pooled"])
def test_vectors_are_those_of_each_text_alone(pooling: Any, toy_zoo: ToyZoo, loaded: tuple[Any, Any]) -> None:
    tokenizer, encoder = loaded
    vectors = text_encoder(toy_zoo, pooling=pooling)(TEXTS, batch_size=2)
    assert vectors.shape == (5, 32) and vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        outputs = encoder(tokenizer([text], special_tokens=True))
        wanted = {
            "mean": outputs["sequence_output"][0].numpy().mean(axis=0),
            "first": outputs["sequence_output"][0, 0].numpy(),
            "pooled": outputs["pooled_output"][0].numpy(),
        }
        np.testing.assert_allclose(vector, wanted[pooling], atol=2e-5)


def test_pairs_and_long_texts(toy_zoo: ToyZoo, loaded: tuple[Any, Any]) -> None:
    _, encoder = loaded
    encode = text_encoder(toy_zoo, pooling="first", max_length=6)
    vector = encode([("你 好 w1", "w2 w3")])[0]
    ids, types = [[2, 5, 6, 3, 10, 3]], [[0, 0, 0, 0, 1, 1]]
    wanted = encoder({"input_word_ids": ids, "input_mask": [[1] * 6], "input_type_ids": types})
    np.testing.assert_allclose(vector, wanted["sequence_output"][0, 0], atol=2e-5)
    np.testing.assert_array_equal(encode(np.array([["你 好 w1", "w2 w3"]]))[0], vector)


def test_outputs_of_one_batch(toy_zoo: ToyZoo) -> None:
    outputs = text_encoder(toy_zoo).outputs(["你好", "好"])
    assert outputs["sequence_output"].shape == (2, 4, 32) and not outputs["sequence_output"][1, 3].any()
    assert len(outputs["encoder_outputs"]) == 3 and isinstance(outputs["encoder_outputs"][0], np.ndarray)


def test_order_survives_many_windows(toy_zoo: ToyZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = text_encoder(toy_zoo)
    whole = encode(TEXTS)
    monkeypatch.setattr("zoo.vector_encoder.WINDOW", 2)
    np.testing.assert_allclose(encode(TEXTS, batch_size=1), whole, atol=2e-6)
    assert encode([]).shape == (0, 32)


def test_two_batches_are_computed_at_once(toy_zoo: ToyZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors have the bits of one batch after the other; bars get their counts in this thread."""
    encode, texts = text_encoder(toy_zoo), [f"{'你 好 ' * (place % 5)}w{place % 90}" for place in range(31)]
    vectors_of, threads, meeting = encode._steps.vectors, list[threading.Thread](), threading.Barrier(2, timeout=10)

    def recorded(batch: Any, how: Any) -> Any:
        threads.append(threading.current_thread())
        if len(threads) <= 2:
            meeting.wait()  # breaks unless two are there together
        return vectors_of(batch, how)

    monkeypatch.setattr("zoo.text_encoder.cores", lambda: 1)
    one_by_one = encode(texts, batch_size=3, show_progress=False)
    monkeypatch.setattr("zoo.text_encoder.cores", lambda: 4)
    monkeypatch.setattr(encode._steps, "vectors", recorded)
    counts = list[int]()
    found = encode.embed(encode.preprocess(texts), 3, counts.append)
    np.testing.assert_array_equal(found, one_by_one)
    assert len({*threads}) == 2 and threading.current_thread() not in threads
    assert counts == [1, *[3] * 10], "the longest texts first, and the last batch, of the shortest, is full"


def test_a_batch_for_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.text_encoder.cores", lambda: 4)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    assert zoo.text_encoder._at_a_time(3) == 1, "Spark starts a process for every core"
    for threads, expected in (("4", 4), ("1", 1), ("16", 8), ("0", 1), ("-2", 1), ("many", 1)):
        monkeypatch.setenv("TF_NUM_INTEROP_THREADS", threads)
        assert zoo.text_encoder._at_a_time(3) == expected and zoo.text_encoder._at_a_time(1) == 1
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    assert [zoo.text_encoder._at_a_time(batches) for batches in (7, 8)] == [1, 2]


@pytest.mark.parametrize("reason", ["one core", "one thread", "a GPU", "few batches"])
def test_one_batch_after_the_other(reason: str, toy_zoo: ToyZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, threads = text_encoder(toy_zoo), list[threading.Thread]()
    vectors_of = encode._steps.vectors
    monkeypatch.setattr(
        encode._steps, "vectors", lambda *some: (threads.append(threading.current_thread()), vectors_of(*some))[1]
    )
    monkeypatch.setattr("zoo.text_encoder.cores", lambda: 1 if reason == "one core" else 4)
    if reason == "one thread":
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
        monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    if reason == "a GPU":
        monkeypatch.setattr("tensorflow.config.list_logical_devices", lambda: ["CPU", "GPU"])
    encode(["你好"] * (7 if reason == "few batches" else 20), batch_size=1, show_progress=False)
    assert {*threads} == {threading.current_thread()}


def test_a_keras_model_of_texts(toy_zoo: ToyZoo, tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    encode = text_encoder(toy_zoo)
    vectors = encode.keras_model(trainable="last:1")
    model = keras.Model(vectors.input, keras.layers.Dense(2)(vectors.output))
    texts = tf.constant(TEXTS)
    np.testing.assert_allclose(vectors(texts), encode(TEXTS), atol=2e-5)
    model.compile("sgd", "mse")
    model.fit(texts, np.ones((5, 2), np.float32), verbose=0)
    assert np.abs(vectors(texts) - encode(TEXTS)).max() > 1e-6
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(texts, verbose=0), model.predict(texts, verbose=0), atol=1e-6)


def test_a_keras_model_takes_every_form(toy_zoo: ToyZoo, tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    encode = text_encoder(toy_zoo)
    vectors, wanted = encode.keras_model(), encode(TEXTS)
    for texts in (TEXTS, tuple(TEXTS), np.array(TEXTS), tf.constant(TEXTS), {"text": TEXTS}):
        np.testing.assert_allclose(vectors(texts), wanted, atol=2e-5)
    np.testing.assert_allclose(vectors.predict(TEXTS, verbose=0), wanted, atol=2e-5)
    with pytest.raises(BadArgument, match=r"give a list of texts, not a single one: \[text\]"):
        vectors("你好")
    pairs = [("你好", "好"), ("w1", "w2 w3"), ("", "w9")]
    first, second = map(list, zip(*pairs, strict=True))
    apart, wanted = encode.keras_model(pairs="apart"), encode(pairs)
    for both in ([first, second], (first, second), {"second": second, "first": first}):
        np.testing.assert_allclose(apart(both), wanted, atol=2e-5)
    with pytest.raises(BadArgument, match=r"takes \{'first': …, 'second': …\}, or \[first, second\] in this order"):
        apart(pairs)
    model = type(apart)(apart.inputs, keras.layers.Dense(2)(apart.output))
    model.compile("sgd", "mse")
    model.fit([first, second], np.ones((3, 2), np.float32), verbose=0)
    model.save(tmp_path / "apart.keras")
    again = keras.saving.load_model(tmp_path / "apart.keras")
    np.testing.assert_allclose(again([first, second]), model([first, second]), atol=1e-6)


def test_a_single_text_of_a_dataset(toy_zoo: ToyZoo) -> None:
    import tensorflow as tf

    encode = text_encoder(toy_zoo)
    one_by_one = tf.data.Dataset.from_tensor_slices(TEXTS).map(encode.preprocess).batch(5)
    batch = tf.data.Dataset.from_tensor_slices(TEXTS).batch(5).map(encode.preprocess)
    [single], [together] = one_by_one, batch
    assert single.keys() == {*INPUT_KEYS} and single["input_mask"].shape == (5, 12)
    for key, tensor in single.items():
        np.testing.assert_array_equal(tensor, together[key])


def test_the_registry_names_the_tokenizer(toy_zoo: ToyZoo) -> None:
    encode = zoo.TextEncoder("toy", registry=toy_zoo.registry, pooling="first")
    np.testing.assert_array_equal(encode(["你好"]), text_encoder(toy_zoo, pooling="first")(["你好"]))


def test_refusals(toy_zoo: ToyZoo) -> None:
    with pytest.raises(BadArgument, match=r"no tokenizer is known for toy: give one as tokenizer="):
        zoo.TextEncoder(toy_zoo.archive())
    with pytest.raises(BadArgument, match="is a tokenizer: give the encoder first"):
        zoo.TextEncoder(toy_zoo.unpacked("toy_tokenizer"))
    with pytest.raises(BadArgument, match="tokenizer='toy' is an encoder"):
        zoo.TextEncoder(toy_zoo.unpacked(), toy_zoo.unpacked())
    with pytest.raises(BadArgument, match="max_length=50: toy takes 3 to 40 tokens"):
        text_encoder(toy_zoo, max_length=50)
    with pytest.raises(BadArgument, match="pooling='median': choose one of first, mean, pooled"):
        text_encoder(toy_zoo, pooling="median")
    encode = text_encoder(toy_zoo)
    with pytest.raises(BadArgument, match="a list of texts, not a single one"):
        encode(b"w1")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="texts and pairs together: 1 of 2 rows"):
        encode(["你", ("好", "你")])  # type: ignore[list-item]
    with pytest.raises(BadArgument, match=r"neither texts nor pairs: 2 of 3 rows \(1: None, 2: nan\)"):
        encode(["你", None, float("nan")])  # type: ignore[list-item]


def test_what_the_card_says_is_done(toy_zoo: ToyZoo, tmp_path: Path) -> None:
    """As for an encoder that was exported from a directory of sentence-transformers."""
    stated = SentenceVectors(
        pooling="first+max", normalize=True, max_length=9, prompts={"query": "w1 "}, default_prompt="query"
    )
    place = Path(shutil.copytree(toy_zoo.unpacked(), tmp_path / "stated"))
    write_card(read_card(place).model_copy(update={"sentence": stated}), place)
    tokenizer = toy_zoo.unpacked("toy_tokenizer")
    encode, plain = zoo.TextEncoder(place, tokenizer), text_encoder(toy_zoo, pooling="first+max", max_length=9)
    assert (encode.pooling, encode.max_length, encode.hidden_size) == ("first+max", 9, 64)
    wanted = plain([f"w1 {text}" for text in TEXTS])
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(encode(TEXTS), wanted, atol=1e-6)
    pairs, prompted = [("你", "好"), ("", "w2")], [("w1 你", "好"), ("w1 ", "w2")]
    again = zoo.TextEncoder(place, tokenizer, normalize=False)
    np.testing.assert_allclose(again(pairs), plain(prompted), atol=1e-6)
    with pytest.raises(BadArgument, match=r"cannot put the prompt 'w1 ' before its texts: give TextEncoder prompt=''"):
        encode.keras_model()
    silent = zoo.TextEncoder(place, tokenizer, prompt="")
    np.testing.assert_allclose(silent.keras_model()(np.array(TEXTS, object)), silent(TEXTS), atol=1e-5)


def test_a_vector_has_the_same_bits_in_any_company(toy_zoo: ToyZoo) -> None:
    generator = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in generator.integers(1, 10, count)) for count in generator.integers(1, 11, 60)]
    encode = text_encoder(toy_zoo, batch_invariant=True)
    together = encode(texts)
    np.testing.assert_allclose(together, text_encoder(toy_zoo)(texts), atol=2e-6)
    for start in range(0, 60, 7):
        assert encode(texts[start : start + 7], batch_size=3).tobytes() == together[start : start + 7].tobytes()
    assert all(encode(text).tobytes() == vector.tobytes() for text, vector in zip(texts[:20], together, strict=False))


@pytest.mark.parametrize("batch_size", [-1, 0, 2.5, "8", None, True])
def test_a_batch_of_no_text(batch_size: Any, toy_zoo: ToyZoo) -> None:
    """-1 gave zeros, without a word."""
    encode = text_encoder(toy_zoo)
    inputs = {name: np.ones([2, 4], np.int32) for name in INPUT_KEYS}
    for call, what in ((encode, TEXTS), (encode, []), (encode.embed, inputs)):
        with pytest.raises(BadArgument, match=rf"batch_size={batch_size!r}: give a whole number of texts, at least 1"):
            call(what, batch_size)  # type: ignore[operator]
    assert encode(TEXTS, np.int64(2)).shape == (len(TEXTS), 32)


def test_a_tokenizer_of_another_vocabulary(toy_zoo: ToyZoo, tmp_path: Path) -> None:
    other = Path(shutil.copytree(toy_zoo.unpacked("toy_tokenizer"), tmp_path / "other"))
    card = read_card(other)
    write_card(card.model_copy(update={"name": "other", "vocabulary_sha256": "0" * 64}), other)
    with pytest.raises(VocabularyMismatch, match="other does not belong to toy"):
        zoo.TextEncoder(toy_zoo.unpacked(), other)
