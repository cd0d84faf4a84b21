"""`zoo.register()`: hub itself takes names and local archives, and everything else as before."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow_hub import registry

import zoo
from tests.localserver import LocalServer, Reply
from tests.zoo.toyzoo import ToyZoo
from zoo.errors import BadArchive, UnknownModel
from zoo.fetching.places import cache_directory

IDS = np.array([[2, 5, 6, 3, 0]], np.int32)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch, toy_zoo: ToyZoo) -> None:
    monkeypatch.setattr(registry.resolver, "_impls", list(registry.resolver._impls))
    monkeypatch.setenv("ZOO_REGISTRY", str(toy_zoo.registry))
    zoo.register()


def test_registering_twice_is_registering_once() -> None:
    before = list(registry.resolver._impls)
    zoo.register()
    assert registry.resolver._impls == before


def test_names_and_archives_load(toy_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy_zoo.directory)
    places = {hub.resolve(handle) for handle in ("zoo://toy", "toy.tar.gz", toy_zoo.archive().as_uri())}
    assert [Path(place).parent for place in places] == [cache_directory()]
    assert hub.load("toy.tar.gz")(IDS)["pooled_output"].shape == (1, 32)
    assert hub.load("zoo://toy_tokenizer")(["你好"]).shape == (1, 2)


def test_keras_2_layers_take_names(toy_zoo: ToyZoo) -> None:
    import tf_keras

    layer = hub.KerasLayer("zoo://toy", trainable=True)
    ids = tf_keras.Input([None], dtype="int32")
    model = tf_keras.Model(ids, layer(ids)["pooled_output"])
    assert model.predict(IDS, verbose=0).shape == (1, 32) and len(model.trainable_variables) == 21


def test_errors_are_ours(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="Did you mean 'toy'"):
        hub.load("zoo://tooy")
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    with pytest.raises(BadArchive, match=r"x\.tar\.gz is damaged"):
        hub.load(str(tmp_path / "x.tar.gz"))


def test_other_handles_stay_hub_s(toy_zoo: ToyZoo, server: LocalServer, tmp_path: Path) -> None:
    assert hub.resolve(str(toy_zoo.unpacked())) == str(toy_zoo.unpacked())
    (tmp_path / "odd.tar.gz").mkdir()
    assert hub.resolve(str(tmp_path / "odd.tar.gz")) == str(tmp_path / "odd.tar.gz")
    server.serve_directory(toy_zoo.directory)
    fetched = hub.resolve(f"{server.url}/toy.tar.gz")
    assert Path(fetched).parent == Path(os.environ["TFHUB_CACHE_DIR"]) and not any(cache_directory().iterdir())


@pytest.fixture
def url(toy_zoo: ToyZoo, server: LocalServer) -> str:
    server.serve_directory(toy_zoo.directory)
    return f"{server.url}/toy.tar.gz"


def test_hub_s_cache_and_its_layer(url: str, toy_zoo: ToyZoo, server: LocalServer) -> None:
    """TFHUB_CACHE_DIR holds the model by the digest of its URL, as it does any other; then nobody is asked."""
    wanted = zoo.load(toy_zoo.unpacked())(IDS)["pooled_output"]
    place = Path(hub.resolve(url))
    assert place.parent == Path(os.environ["TFHUB_CACHE_DIR"]) and len(place.name) == 40
    asked = len(server.asked)
    np.testing.assert_allclose(hub.load(url)(IDS)["pooled_output"], wanted, atol=1e-6)
    np.testing.assert_allclose(hub.KerasLayer(url, output_key="pooled_output")(IDS), wanted, atol=1e-6)
    assert len(server.asked) == asked


def test_a_server_without_gs_paths(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hub alone: "Expected 303 See other HTTP response but received code 200"."""
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    place = Path(hub.resolve(url))
    assert place.parent == cache_directory() and (place / "saved_model.pb").is_file()
    assert not any(Path(os.environ["TFHUB_CACHE_DIR"]).iterdir())


def test_a_server_with_gs_paths(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    monkeypatch.setattr(tf.compat.v1.gfile, "Exists", lambda path: path == "gs://bucket/toy")
    server.replies["/toy.tar.gz?tf-hub-format=uncompressed"] = [Reply(b"gs://bucket/toy", status=303)]
    assert hub.resolve(f"{server.url}/toy.tar.gz") == "gs://bucket/toy"


def test_an_archive_in_a_bucket(toy_zoo: ToyZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {"gs://bucket/toy.tar.gz": str(toy_zoo.archive())}
    own = tf.compat.v1.gfile.GFile
    monkeypatch.setattr(tf.compat.v1.gfile, "GFile", lambda path, mode="r": own(opened.get(path, path), mode))
    place = Path(hub.resolve("gs://bucket/toy.tar.gz"))
    assert place.parent == Path(os.environ["TFHUB_CACHE_DIR"])
    assert (place / "saved_model.pb").read_bytes() == (toy_zoo.unpacked() / "saved_model.pb").read_bytes()
