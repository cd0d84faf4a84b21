"""Saved, copied and exported models: complete without archive, cache and network, and honest where they are not."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.zoo.keras.conftest import compiled, functional
from tests.zoo.toyzoo import ToyZoo
from zoo import KerasLayer
from zoo.archive.digests import sha256_of
from zoo.archive.pack import pack
from zoo.errors import BadArchive, WeightMismatch
from zoo.fetching.places import cache_directory
from zoo.fetching.resolve import resolve
from zoo.keras.origin import Origin

Data = dict[str, np.ndarray]
Lose = Callable[..., None]


@dataclass(frozen=True)
class Tuned:
    """A model whose last layer was fine-tuned, what it then computes, and the files that Keras wrote of it."""

    model: keras.Model
    archive: Path
    file: Path
    weights: Path
    outputs: np.ndarray
    original: np.ndarray
    """The pooled output before."""

    @property
    def layer(self) -> KerasLayer:
        return the_layer(self.model)


@pytest.fixture(scope="module")
def only_tuned(toy_zoo: ToyZoo, data: Data, target: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    place = tmp_path_factory.mktemp("tuned")
    archive = Path(shutil.copyfile(toy_zoo.archive(), place / "mine.tar.gz"))
    layer = KerasLayer(archive, trainable="last:1")
    model, original = compiled(functional(layer)), layer(data)["pooled_output"].numpy()
    model.fit(data, target, verbose=0)
    model.save(place / "tuned.keras")
    model.save_weights(place / "tuned.weights.h5")
    return Tuned(model, archive, place / "tuned.keras", place / "tuned.weights.h5", model(data).numpy(), original)


@pytest.fixture
def tuned(only_tuned: Tuned, toy_zoo: ToyZoo) -> Tuned:
    """With its archive, and in this test's cache, whatever the test before did."""
    shutil.copyfile(toy_zoo.archive(), only_tuned.archive)
    resolve(only_tuned.archive)
    return only_tuned


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """lose(): the cache is gone and there is no network; lose(archive): nor an archive."""

    def lose(archive: Path | None = None) -> None:
        shutil.rmtree(cache_directory())
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        if archive:
            archive.unlink()

    return lose


def the_layer(model: keras.Model) -> KerasLayer:
    return next(layer for layer in model.layers if isinstance(layer, KerasLayer))


def difference(outputs: np.ndarray, model: keras.Model, data: Data) -> float:
    return float(np.max(np.abs(outputs - model(data))))


# -- .keras files -----------------------------------------------------------------------------------------------------


def test_config_says_what_it_is(tuned: Tuned, toy_zoo: ToyZoo) -> None:
    config = tuned.layer.get_config()
    origin = config["handle"]
    digest = sha256_of(tuned.archive)
    assert (origin.name, origin.digest, origin.handle) == ("toy", digest, str(tuned.archive))
    assert origin.get_config()["digest"] == digest and origin.place() == cache_directory() / digest
    assert config["trainable"] == "last:1" and len(repr(config)) < 1000  # the graph is not printed
    named = KerasLayer("toy", registry=toy_zoo.registry).get_config()["handle"]
    assert (named.handle, named.digest) == ("toy", digest)
    assert {*named.get_config()} == {"handle", "name", "digest", "graph"}  # nothing that says where to look
    assert Origin.of(toy_zoo.unpacked(), "toy").digest is None  # nobody knows it of a directory


@pytest.mark.parametrize("lost", ["nothing", "the archive", "archive and cache"])
def test_a_keras_file_is_complete(lost: str, tuned: Tuned, lose: Lose, data: Data, target: np.ndarray) -> None:
    if lost == "the archive":
        tuned.archive.unlink()
    elif lost == "archive and cache":
        lose(tuned.archive)
    again = keras.models.load_model(tuned.file)
    layer = the_layer(again)
    assert difference(tuned.outputs, again, data) < 1e-6
    assert np.max(np.abs(layer(data)["pooled_output"] - tuned.original)) > 1e-3
    assert layer.trainable == "last:1" and len(again.trainable_weights) == len(tuned.model.trainable_weights) == 9

    if lost == "archive and cache":
        assert len(layer.resolved_object.nsp.variables) == 23  # heads that were not called were saved too
        for one, other in zip(
            layer.resolved_object.nsp.variables, tuned.layer.resolved_object.nsp.variables, strict=True
        ):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(again.optimizer.variables[2], tuned.model.optimizer.variables[2])
        again.fit(data, target, verbose=0)  # goes on where the other stopped
        assert int(again.optimizer.iterations) == 2 and difference(tuned.outputs, again, data) > 1e-3


def test_a_damaged_cache_is_no_obstacle(tuned: Tuned, data: Data) -> None:
    (file,) = cache_directory().glob("*/variables/variables.data*")
    file.write_bytes(bytes(file.stat().st_size))
    assert difference(tuned.outputs, keras.models.load_model(tuned.file), data) < 1e-6


def test_exported_without_archive_or_cache(tuned: Tuned, lose: Lose, data: Data, tmp_path: Path) -> None:
    lose(tuned.archive)
    inputs = {name: tf.constant(array, tf.int32) for name, array in data.items()}
    for name, model in (("tuned", tuned.model), ("loaded", keras.models.load_model(tuned.file))):
        model.export(tmp_path / name, verbose=False)
        exported = tf.saved_model.load(tmp_path / name)
        np.testing.assert_allclose(exported.serve(inputs), tuned.outputs, atol=1e-6)


def test_exported_with_the_table_of_tokens(tuned: Tuned, lose: Lose, tmp_path: Path) -> None:
    inputs = keras.Input([None], dtype="string")
    model = keras.Model(inputs, KerasLayer(tuned.layer.resolved_object, output_key="pooled_output")(inputs))
    tokens = tf.constant([["你", "好", ""]])
    lose(tuned.archive)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(tokens), model(tokens), atol=1e-6)


# -- weights and configs apart ----------------------------------------------------------------------------------------


def test_weights_alone(tuned: Tuned, lose: Lose, data: Data) -> None:
    text = tuned.model.to_json()
    other = functional(KerasLayer(tuned.archive, trainable=True))  # what trains decides nothing about the file
    assert difference(tuned.outputs, other, data) > 1e-3
    other.load_weights(tuned.weights)
    assert difference(tuned.outputs, other, data) < 1e-6

    lose(tuned.archive)
    rebuilt = keras.models.model_from_json(text)
    with pytest.raises(BadArchive, match=r"config of toy holds no weights.*mine\.tar\.gz"):
        rebuilt(data)
    rebuilt.load_weights(tuned.weights)
    assert difference(tuned.outputs, rebuilt, data) < 1e-6


@pytest.mark.parametrize("lost", ["nothing", "cache"])
def test_a_config_finds_its_weights_again(lost: str, tuned: Tuned, lose: Lose, data: Data) -> None:
    config = tuned.layer.get_config()
    if lost == "cache":
        lose()
    layer = KerasLayer.from_config(config)
    assert len(layer.trainable_weights) == 7
    inputs = {key: keras.Input([None], dtype="int32", name=key) for key in data}
    predicted = keras.Model(inputs, layer(inputs)["pooled_output"]).predict(data, verbose=0)  # asked for while tracing
    np.testing.assert_allclose(predicted, tuned.original, atol=2e-6)


def test_another_model_at_the_same_place(tuned: Tuned, toy_zoo: ToyZoo, data: Data, tmp_path: Path) -> None:
    """A directory has no digest: its card has to be the same."""
    config = tuned.layer.get_config()
    config["handle"] = replace(config["handle"], handle=str(tmp_path / "model"), digest=None)
    shutil.copytree(toy_zoo.unpacked("toy_tokenizer"), tmp_path / "model")
    with pytest.raises(BadArchive, match="is not toy any more"):
        KerasLayer.from_config(config)(data)


def test_weights_of_another_model_are_all_named(tuned: Tuned) -> None:
    store: dict[str, Any] = {}
    tuned.layer.save_own_variables(store)
    before = tuned.layer.weights[0].numpy()
    del store["bert.pooler.dense.bias"]
    store["bert.pooler.dense.kernel"] = np.zeros((3, 2))
    store["bert.extra"] = np.zeros(1)
    store["bert.embeddings.word_embeddings"] = np.zeros((99, 32))
    with pytest.raises(WeightMismatch) as error:
        tuned.layer.load_own_variables(store)
    for words in (
        "dense.bias is missing",
        "dense.kernel is (3, 2), should be (32, 32)",
        "bert.extra does not belong",
    ):
        assert words in str(error.value)
    np.testing.assert_array_equal(tuned.layer.weights[0], before)  # nothing was read


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), keras.models.clone_model],
    ids=["deepcopy", "pickle", "clone_model"],
)
def test_copies(copied: Any, tuned: Tuned, data: Data) -> None:
    other = copied(tuned.model)
    other.set_weights(tuned.model.get_weights())
    assert difference(tuned.outputs, other, data) < 1e-6
    the_layer(other).trainable = True
    the_layer(other).weights[0].assign(np.zeros((99, 32)))
    assert tuned.layer.trainable == "last:1" and np.any(tuned.layer.weights[0].numpy())


def test_names_do_not_depend_on_where_a_layer_is_made(toy_zoo: ToyZoo) -> None:
    with tf.name_scope("outer"), keras.name_scope("other"):
        layer = KerasLayer(toy_zoo.unpacked(), name="encoder")
    assert layer.weights[0].name == "bert.embeddings.word_embeddings"
    assert layer.weights[0].path == "other/encoder/bert.embeddings.word_embeddings"


def test_a_config_cannot_bring_in_other_operations(tuned: Tuned, tmp_path: Path) -> None:
    root = tf.train.Checkpoint()
    root.__call__ = tf.function(tf.io.read_file, input_signature=[tf.TensorSpec([], tf.string, "filename")])
    tf.saved_model.save(root, str(tmp_path / "evil"))
    config = tuned.layer.get_config()
    with config["handle"].unpacked() as kept:
        shutil.copyfile(tmp_path / "evil" / "saved_model.pb", kept / "saved_model.pb")
        pack(kept, tmp_path / "graph.tar.gz")
    graph = (tmp_path / "graph.tar.gz").read_bytes()
    config["handle"] = replace(config["handle"], digest="0" * 64, graph=graph)
    with pytest.raises(BadArchive, match="ReadFile in .* is not allowed"):
        KerasLayer.from_config(config)
