"""From every handle to the same model, checked before; offline where that is promised; in Keras 3, tf_keras and hub."""

from __future__ import annotations

import gc
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import zoo
from tests.localserver import LocalServer
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import EncoderCard, TokenizerCard, read_card, write_card
from zoo.errors import (
    BadArchive,
    BadArgument,
    CannotLoad,
    DigestMismatch,
    DownloadFailed,
    UnknownModel,
    VocabularyMismatch,
)
from zoo.fetching.places import cache_directory
from zoo.loading.load import check_pair, checked_model, load_directory

IDS = np.array([[2, 5, 6, 3, 0], [2, 9, 3, 0, 0]], np.int32)
INPUTS = {"input_word_ids": IDS, "input_mask": np.sign(IDS), "input_type_ids": np.zeros_like(IDS)}


def pooled(model: Any, inputs: Any = IDS) -> np.ndarray:
    return np.asarray(model(inputs)["pooled_output"])


@pytest.fixture(scope="session")
def expected(toy_zoo: ToyZoo) -> np.ndarray:
    """What the toy encoder computes for IDS, by hub alone."""
    return pooled(hub.load(str(toy_zoo.unpacked())))


@pytest.fixture
def bundle(toy_zoo: ToyZoo, tmp_path: Path) -> Path:
    zoo.bundle("toy", tmp_path / "toy.tar", registry=toy_zoo.registry)
    return tmp_path / "toy.tar"


# -- zoo.load -----------------------------------------------------------------------------------------------------


def test_every_handle_is_the_same_model(
    toy_zoo: ToyZoo, bundle: Path, server: LocalServer, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_REGISTRY", str(toy_zoo.registry))
    url = server.serve("/toy.tar.gz", toy_zoo.archive().read_bytes())
    for handle in ("toy", "zoo://toy", url, toy_zoo.archive(), str(toy_zoo.archive()), bundle, bundle.as_uri()):
        directory, card = checked_model(handle)
        assert card == read_card(toy_zoo.unpacked()) and directory.parent == cache_directory()
    assert checked_model(toy_zoo.unpacked().as_uri())[0] == toy_zoo.unpacked()
    np.testing.assert_array_equal(pooled(zoo.load("toy")), expected)


def test_the_predecessors_three_lines(toy_zoo: ToyZoo) -> None:
    encoder, tokenizer = (zoo.load(name, registry=toy_zoo.registry) for name in ("toy", "toy_tokenizer"))
    out = encoder(tokenizer(["你好"]))
    assert out["sequence_output"].shape == (1, 2, 32) and out["pooled_output"].shape == (1, 32)


def test_bare_hub_can_be_told_to_trace_less(toy_zoo: ToyZoo) -> None:
    """As docs/use.md says."""
    encoder = hub.load(str(toy_zoo.unpacked()))
    encode = tf.function(encoder, reduce_retracing=True)
    for rows, length in ((1, 3), (2, 3), (2, 7), (5, 1)):
        assert encode(tf.ones([rows, length], tf.int32))["sequence_output"].shape == (rows, length, 32)
    assert encode.experimental_get_tracing_count() <= 3


def test_pins_and_names_are_refused_where_they_mean_nothing(toy_zoo: ToyZoo, bundle: Path) -> None:
    for handle in (toy_zoo.archive(), bundle):
        with pytest.raises(DigestMismatch, match="should be sha256 0000"):
            zoo.load(handle, sha256="0" * 64)
    with pytest.raises(BadArchive, match=r"name='toy' chooses a model of a bundle, and .*toy\.tar\.gz is none"):
        zoo.load_model(toy_zoo.archive(), name="toy")


def test_a_missing_package_is_told_with_its_command(toy_zoo: ToyZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(CannotLoad, match=r"^toy_tokenizer needs `pip install tensorflow tensorflow-text`"):
        zoo.load(toy_zoo.unpacked("toy_tokenizer"))
    zoo.load(toy_zoo.unpacked())  # an encoder goes without


def test_what_tensorflow_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(CannotLoad, match=r"^small does not load from .*Cannot parse file.*\Z"):
        load_directory(tmp_path, "small")


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_not_collected_while_tensorflow_loads(
    toy_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    """And is again afterwards if it was before, whether it loads or not."""
    found, load = [], tf.saved_model.load
    monkeypatch.setattr(tf.saved_model, "load", lambda path: found.append(gc.isenabled()) or load(path))
    (gc.enable if enabled else gc.disable)()
    try:
        load_directory(toy_zoo.unpacked(), "toy")
        assert gc.isenabled() is enabled
        with pytest.raises(CannotLoad):
            load_directory(tmp_path, "nothing")
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert found == [False, False]


# -- pairs --------------------------------------------------------------------------------------------------------


def test_a_tokenizer_of_another_vocabulary_is_refused(toy_zoo: ToyZoo) -> None:
    encoder, tokenizer = read_card(toy_zoo.unpacked()), read_card(toy_zoo.unpacked("toy_tokenizer"))
    assert isinstance(encoder, EncoderCard) and isinstance(tokenizer, TokenizerCard)
    check_pair(encoder, tokenizer)
    other = tokenizer.model_copy(update={"vocabulary_sha256": "a" * 64})
    with pytest.raises(
        VocabularyMismatch, match=r"toy_tokenizer does not belong to toy: .* aaaaaaaaaaaa… .*zoo info toy"
    ):
        check_pair(encoder, other)
    silent = encoder.model_copy(update={"vocabulary_sha256": None})
    check_pair(silent, other)
    with pytest.raises(VocabularyMismatch, match="gives ids up to 99, toy takes 99"):
        check_pair(silent, tokenizer.model_copy(update={"vocab_size": 100}))


# -- zoo.load_model -----------------------------------------------------------------------------------------------


def test_every_input_form_and_the_card(toy_zoo: ToyZoo, expected: np.ndarray, no_sockets: None) -> None:
    model = zoo.load_model(toy_zoo.archive())
    assert isinstance(model.card, EncoderCard) and model.card.sizes.hidden_size == 32
    assert model.path.parent == cache_directory()
    tokens = [["[CLS]", "你", "好", "[SEP]", ""], ["[CLS]", "w1", "[SEP]", "", ""]]
    forms = [INPUTS, list(INPUTS.values()), tuple(INPUTS.values())[:2], {"input_word_ids": IDS.astype(np.int64)}]
    for form in (*forms, IDS, tf.constant(IDS), IDS.tolist(), tf.constant(tokens), np.array(tokens), tokens):
        np.testing.assert_allclose(pooled(model, form), expected, atol=1e-6)
    assert np.abs(pooled(lambda inputs: model(inputs, training=True)) - expected).max() > 0.01
    masked = {**INPUTS, "masked_lm_positions": np.array([[1, 2], [1, 1]], np.int32)}
    assert model.mlm(masked)["mlm_logits"].shape == (2, 2, 99)
    assert len(model.variables) == 21
    with pytest.raises(AttributeError, match="toy has no 'discriminator'; its exported heads: mlm, nsp"):
        _ = model.discriminator


def test_texts(toy_zoo: ToyZoo, no_sockets: None) -> None:
    preprocess = zoo.load_model(toy_zoo.unpacked("toy_tokenizer_preprocess"))
    np.testing.assert_array_equal(preprocess(["你好"])["input_word_ids"][0, :5], [2, 5, 6, 3, 0])
    predicted = preprocess.keras_model().predict(tf.constant(["你好", "你"]), verbose=0)
    assert predicted["input_word_ids"].shape == (2, 128) and predicted["input_mask"].sum() == 4 + 3
    tokenizer = zoo.load_model(toy_zoo.unpacked("toy_tokenizer"))
    assert tokenizer(["你好"]).numpy().tolist() == [["你".encode(), "好".encode()]]
    assert tokenizer.preprocess(["你好"], seq_length=7)["input_mask"].shape == (1, 7)


def test_names_come_from_the_cache_or_not_at_all(bundle: Path, expected: np.ndarray, no_sockets: None) -> None:
    with pytest.raises(UnknownModel, match="no model 'toy'"):
        zoo.load_model("toy")
    zoo.install(bundle)
    bundle.unlink()
    np.testing.assert_array_equal(pooled(zoo.load_model("zoo://toy")), expected)
    with pytest.raises(DownloadFailed, match=r"toy\.tar\.gz is not in .*forbids the network"):
        zoo.load_model("https://host/toy.tar.gz")


def test_a_name_that_was_never_fetched_is_not_fetched_either(
    toy_zoo: ToyZoo, server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: np.ndarray
) -> None:
    registry = shutil.copy(toy_zoo.registry, tmp_path / "registry.json")
    base = server.serve_directory(toy_zoo.directory)
    text = registry.read_text().replace('"toy.tar.gz"', f'"{base}toy.tar.gz"')
    registry.write_text(text)
    monkeypatch.setenv("ZOO_REGISTRY", str(registry))
    with pytest.raises(DownloadFailed, match="toy is not in .*`ZOO_OFFLINE=0 zoo fetch toy`"):
        zoo.load_model("toy")
    assert server.asked == []
    zoo.path("toy")
    assert server.asked == ["/toy.tar.gz"]
    np.testing.assert_array_equal(pooled(zoo.load_model("toy")), expected)


def test_a_bundle_gives_its_only_encoder_or_what_is_named(bundle: Path, no_sockets: None) -> None:
    assert checked_model(bundle)[1].kind == "encoder"
    assert zoo.load_model(bundle, name="toy_tokenizer")(["你"]).shape == (1, 1)
    assert "toy" not in zoo.names()  # nothing was installed


def test_a_damaged_archive_is_not_loaded(toy_zoo: ToyZoo, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(toy_zoo.unpacked(), tmp_path / "toy"))
    variables = directory / "variables" / "variables.data-00000-of-00001"
    content = bytearray(variables.read_bytes())
    content[5000] ^= 1
    variables.write_bytes(content)
    with pytest.raises(BadArchive, match=r"variables\.data-00000-of-00001 is sha256"):
        zoo.load_model(directory)
    card = read_card(directory)
    write_card(card.model_copy(update={"ops": [*card.ops, "ReadFile"]}), directory)
    shutil.copy(toy_zoo.unpacked() / "variables" / variables.name, variables)
    with pytest.raises(BadArchive, match="its card lists ReadFile, which the archive does not hold"):
        zoo.load_model(directory)


# -- three ways to train and save, and what they need afterwards --------------------------------------------------


@pytest.fixture
def own(toy_zoo: ToyZoo, tmp_path: Path) -> Path:
    """An unpacked toy that the test may delete."""
    return Path(shutil.copytree(toy_zoo.unpacked(), tmp_path / "toy"))


def forget(*places: Path) -> None:
    """Delete the archive, and the cache with everything in it."""
    for place in (*places, cache_directory()):
        shutil.rmtree(place, ignore_errors=True)


LABELS = np.array([[1.0], [-1.0]], np.float32)


def test_keras_3(own: Path, tmp_path: Path, no_sockets: None) -> None:
    import keras

    encoder = zoo.load_model(own)
    base = encoder.keras_model()
    assert [tuple(tensor.shape) for tensor in base.inputs] == [(None, None)] * 3
    before = base.predict(INPUTS, verbose=0)["pooled_output"]
    np.testing.assert_allclose(before, pooled(encoder), atol=1e-6)
    in_a_list = [*INPUTS.values()]  # which Keras alone takes for mask, types and ids, without a word
    for given in (in_a_list, tuple(in_a_list), [each.tolist() for each in in_a_list], INPUTS):
        np.testing.assert_allclose(base(given)["pooled_output"], before, atol=1e-6)
    with pytest.raises(BadArgument, match=r"input_mask, input_type_ids\] in this order, not a list of 2"):
        base(in_a_list[:2])
    base = encoder.keras_model(trainable=True)
    model = keras.Model(base.input, keras.layers.Dense(1)(base.output["pooled_output"]))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(INPUTS, LABELS, verbose=0)
    assert not np.array_equal(pooled(encoder), before)  # the weights are the model's own
    predicted = model.predict(INPUTS, verbose=0)
    model.save(tmp_path / "model.keras")
    forget(own)
    np.testing.assert_allclose(model.predict(INPUTS, verbose=0), predicted, atol=1e-6)
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(INPUTS, verbose=0), predicted, atol=1e-6)


def test_keras_2(own: Path, tmp_path: Path, no_sockets: None) -> None:
    import tf_keras

    inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in INPUTS}
    layer = hub.KerasLayer(str(own))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1)(layer(inputs)["pooled_output"]))
    before = pooled(layer.resolved_object)
    layer.trainable = True  # test_hub_keras_layer_trains_what_it_should says what happens without
    model.compile(tf_keras.optimizers.SGD(0.1), "mse")
    model.fit(INPUTS, LABELS, verbose=0)
    assert not np.array_equal(pooled(layer.resolved_object), before)
    predicted = model.predict(INPUTS, verbose=0)
    model.save(tmp_path / "saved", save_format="tf")
    forget(own)
    again = tf_keras.models.load_model(tmp_path / "saved")
    np.testing.assert_allclose(again.predict(INPUTS, verbose=0), predicted, atol=1e-6)


def test_bare_hub(own: Path, tmp_path: Path, no_sockets: None) -> None:
    encoder = hub.load(str(own))
    before, dense = pooled(encoder), tf.Variable(tf.ones([32, 1]))
    variables = [dense, *encoder.trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((encoder(IDS, training=True)["pooled_output"] @ dense - LABELS) ** 2)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(0.1 * tf.convert_to_tensor(gradient))
    assert not np.array_equal(pooled(encoder), before)
    predicted = pooled(encoder)
    tf.saved_model.save(encoder, str(tmp_path / "saved"))
    forget(own)
    np.testing.assert_allclose(pooled(hub.load(str(tmp_path / "saved"))), predicted, atol=1e-6)


def test_the_loaders_of_both_keras_take_the_same_directory(own: Path, expected: np.ndarray) -> None:
    import keras
    import tf_keras

    loaded = tf_keras.models.load_model(str(own))
    layer = keras.layers.TFSMLayer(str(own), call_endpoint="__call__")
    model = zoo.load_model(own)
    forget(own)
    for way in (loaded, layer, model):
        np.testing.assert_allclose(pooled(way, {k: tf.constant(v) for k, v in INPUTS.items()}), expected, atol=1e-6)
