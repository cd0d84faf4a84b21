"""Text archives as layers, of Keras 3 and of tf_keras: encoder and head train, and what was trained is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from scripts.architectures import sibling_weights
from tests.export.tasks.conftest import cases
from tests.zoo.keras.conftest import changed
from tests.zoo.textzoo import CASES
from tests.zoo.toyzoo import ToyZoo
from zoo import KerasLayer
from zoo.archive.card import TextCard
from zoo.errors import BadArgument

WORDS = ["w1", "w2", "hotel", "the", "你", "好", "was", "1"]
TEXTS = tf.constant(["你好", "the hotel was good", ""])


def reviews(count: int, seed: int) -> tuple[tf.Tensor, np.ndarray]:
    """Texts with one telling word somewhere in them, and which of the three it is."""
    draw = np.random.default_rng(seed)
    labels, texts = draw.integers(3, size=count), []
    for label in labels:
        words = list(draw.choice(WORDS, draw.integers(1, 5)))
        words.insert(draw.integers(len(words) + 1), ["good", "bad", "cafe"][label])
        texts.append(" ".join(words))
    return tf.constant(texts), labels


def classifier(layer: KerasLayer) -> keras.Model:
    return keras.Sequential([keras.Input([], dtype="string"), layer])


@pytest.fixture(scope="module")
def classes(text_zoo: ToyZoo) -> KerasLayer:
    return KerasLayer(text_zoo.archive("odd"), output_key="logits", trainable=True)


def test_a_model_learns_and_is_saved(
    text_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: KerasLayer
) -> None:
    """Encoder and head train; the file holds both, so that it loads where the archive is not."""
    model = classifier(classes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, run_eagerly=True)
    texts, labels = reviews(300, 1)
    moved = changed(classes, lambda: model.fit(texts, labels, 25, epochs=4, verbose=0))
    assert moved == {weight.name for weight in classes.weights} >= {"task.dense_0.kernel", "bert.pooler.dense.kernel"}
    texts, labels = reviews(100, 2)
    assert np.mean(np.argmax(model(texts), -1) == labels) > 0.97
    expected = model(TEXTS).numpy()
    model.save(tmp_path / "tuned.keras")
    model.save_weights(tmp_path / "tuned.weights.h5")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    again = keras.models.load_model(tmp_path / "tuned.keras")
    np.testing.assert_allclose(again(TEXTS), expected, rtol=0, atol=1e-6)
    fresh = classifier(KerasLayer(text_zoo.unpacked("odd"), output_key="logits"))
    assert np.abs(fresh(TEXTS) - expected).max() > 0.1
    fresh.load_weights(tmp_path / "tuned.weights.h5")
    np.testing.assert_allclose(fresh(TEXTS), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("word", "parts"),
    [("pooler", {"task", "pooler"}), ("last:1", {"task", "pooler", "layer_1"}), (False, set())],
)
def test_what_trains(word: Any, parts: set[str], classes: KerasLayer) -> None:
    classes.trainable = word
    try:
        names = [weight.name for weight in classes.trainable_weights]
    finally:
        classes.trainable = True
    assert {next((part for part in parts if part in name), name) for name in names} == parts


def test_shapes_and_calls(classes: KerasLayer, text_zoo: ToyZoo) -> None:
    assert classes(keras.Input([], dtype="string")).shape == (None, 3)
    assert classes(keras.Input([2], dtype="string")).shape == (None, 3)
    model = zoo.load(text_zoo.unpacked("vectors"))
    vectors = KerasLayer(model, endpoint="query")
    assert vectors(keras.Input([], dtype="string")).shape == (None, 24)
    np.testing.assert_array_equal(vectors(["你好", "a"]), model.query(["你好", "a"]))
    with pytest.raises(BadArgument, match="has no form for a tensor: int32 of rank 2. It takes a tensor: string"):
        classes(keras.Input([7], dtype="int32"))


def test_dropout_is_of_training(classes: KerasLayer) -> None:
    plain = classes(TEXTS).numpy()
    np.testing.assert_array_equal(classes(TEXTS, training=False), plain)
    assert np.abs(classes(TEXTS, training=True) - plain).max() > 1e-3
    classes.trainable = False
    try:
        np.testing.assert_array_equal(classes(TEXTS, training=True), plain)
    finally:
        classes.trainable = True


@pytest.mark.parametrize("name", CASES)
def test_the_checkpoints_names(name: str, text_zoo: ToyZoo) -> None:
    """Every variable of the files that transformers and sentence-transformers wrote, encoder and head, is found."""
    model = zoo.load_model(text_zoo.unpacked(name))
    found = model.checkpoint_variables()
    expected: dict[str, np.ndarray] = {}
    for file, shapes in cases()[CASES[name]]["weights"].items():
        folder = file.rpartition("/")[0]
        expected |= {f"{folder}/{key}".lstrip("/"): value for key, value in sibling_weights(shapes).items()}
    assert isinstance(model.card, TextCard)
    left_out = {each for names in model.card.left_out.values() for each in names}
    assert left_out == (set() if name == "odd" else {"pooler.dense.weight", "pooler.dense.bias"}), "no output reads it"
    assert found.keys() == expected.keys() - left_out
    assert {"classifier.weight", "2_Dense/linear.weight"} & found.keys()
    for key, value in ((key, expected[key]) for key in found):
        is_kernel = value.ndim == 2 and "embeddings" not in key
        np.testing.assert_array_equal(found[key], value.T if is_kernel else value, err_msg=key)


def test_hub_s_layer_of_tf_keras(text_zoo: ToyZoo) -> None:
    """The line that TF-Hub's own text embeddings are used by."""
    import tensorflow_hub as hub
    import tf_keras

    layer = hub.KerasLayer(str(text_zoo.unpacked("vectors")), input_shape=[], dtype=tf.string, trainable=True)
    model = tf_keras.Sequential([layer, tf_keras.layers.Dense(3)])
    plain = layer(TEXTS).numpy()
    assert plain.shape == (3, 24)
    np.testing.assert_array_equal(layer(TEXTS, training=False), plain)
    assert np.abs(layer(TEXTS, training=True) - plain).max() > 1e-3
    before = {variable.name: variable.numpy() for variable in layer.trainable_variables}
    assert {"task/dense_0/kernel:0", "task/dense_0/bias:0"} <= before.keys() and "pooler" not in " ".join(before)
    model.compile(tf_keras.optimizers.legacy.Adam(3e-3), "mse", run_eagerly=True)
    texts, labels = reviews(20, 3)
    losses = model.fit(texts, np.eye(3)[labels], batch_size=20, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert not [each.name for each in layer.trainable_variables if np.array_equal(each.numpy(), before[each.name])]
    assert np.abs(layer(TEXTS) - plain).max() > 1e-3
