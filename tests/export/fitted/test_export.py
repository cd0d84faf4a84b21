"""From a fitted model to an archive that others load: one that is saved, verified, fitted again and published."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from export import pipeline, text_certificate
from export.fitted.model import read_model
from export.fitted.plan import plan_fitted
from export.fitted.task import Asked
from tests.export.fitted.conftest import Layers
from zoo.archive.card import TextCard, read_card
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.errors import BadArgument, Unsupported, VerificationFailed, ZooError
from zoo.registry.writing import own_registry

TEXTS = ["你好 w3", "w4，w5 w6", "", "好 " * 40]


@dataclass(frozen=True)
class Exported:
    model: Any
    out: Path
    unpacked: Path
    again: Any  # a layer of the archive


@pytest.fixture(scope="module")
def exported(layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A model after one step of training, and its archive."""
    out = tmp_path_factory.mktemp("fitted") / "out"
    top = keras.layers.Dense(2, activation="softmax", name="top")
    model = keras.Model(layers.text, top(keras.layers.Dropout(0.1)(layers.mean())))
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    before = layers.encoder.trainable_weights[0].numpy()
    model.fit(tf.constant(TEXTS), np.array([0, 1, 0, 1]), verbose=0)
    assert np.any(layers.encoder.trainable_weights[0].numpy() != before)
    archive = zoo.export(model, "my_reviews", out, labels=["bad", "good"], licence="MIT")
    assert archive == out / "my_reviews.tar.gz"
    unpack(archive, out.parent / "my_reviews")
    unpacked = out.parent / "my_reviews"
    return Exported(model, out, unpacked, zoo.KerasLayer(unpacked, trainable=True))


@pytest.mark.slow
def test_it_answers_as_keras_does(exported: Exported) -> None:
    answer = exported.again.resolved_object(TEXTS)
    expected = exported.model.predict(tf.constant(TEXTS), verbose=0)
    np.testing.assert_allclose(answer["scores"], expected, rtol=0, atol=1e-6)
    names = np.array([b"bad", b"good"])
    np.testing.assert_array_equal(answer["label"], names[expected.argmax(-1)])


@pytest.mark.slow
def test_card_and_entry(exported: Exported) -> None:
    card = read_card(exported.unpacked)
    assert isinstance(card, TextCard) and card.fitted_from is not None
    assert (card.fitted_from.parent, card.licence, card.task.labels) == ("toy", "MIT", ["bad", "good"])
    assert card.certificate.keras_difference.keys() == {"scores"}
    assert card.certificate.max_difference.keys() == {"logits", "scores", "label"}
    entry = own_registry(exported.out / "registry.json").entry("my_reviews")
    assert (entry.kind, entry.task, entry.licence) == ("text", "classification", "MIT")


@pytest.mark.slow
def test_it_is_published(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(exported.out), str(exported.out.parent / "site"), "--dry-run"]) == 0
    assert "my_reviews.tar.gz" in capsys.readouterr().out


@pytest.mark.slow
def test_a_fresh_process_with_tensorflow_hub_alone(exported: Exported) -> None:
    code = f"""
import sys
import tensorflow_hub as hub
answer = hub.load({str(exported.unpacked)!r})({TEXTS!r})
assert not {{"zoo", "export", "tokenizer", "tensorflow_text"}} & set(sys.modules)
print(*answer["scores"].numpy().ravel().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=exported.out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = exported.model.predict(tf.constant(TEXTS), verbose=0).ravel()
    np.testing.assert_allclose([*map(float, done.stdout.split())], expected, rtol=0, atol=1e-6)
    assert main(["verify", str(exported.out / "my_reviews.tar.gz")]) == 0


@pytest.mark.slow
def test_a_keras_file_is_a_source_of_the_command(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported.model.save(tmp_path / "fitted.keras")
    (tmp_path / "labels.txt").write_text("bad\ngood\n", encoding="utf-8")
    how = ["export", str(tmp_path / "fitted.keras"), "--name", "filed", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main([*how, "--labels", str(tmp_path / "labels.txt")]) == 0
    said = capsys.readouterr().out
    assert "a text archive, classification: pooling mean; " in said and "; bad, good; at most 12 tokens" in said
    (tmp_path / "labels.txt").write_text("bad\n", encoding="utf-8")
    assert main([*how, "--labels", str(tmp_path / "labels.txt"), "--layers", "2"]) == 2
    assert "is a fitted Keras model without --layers: leave that out" in capsys.readouterr().err
    assert main([*how, "--labels", str(tmp_path / "labels.txt")]) == 2
    said = capsys.readouterr().err
    assert "give 2 different texts" in said and "In Python: zoo.export(keras.saving.load_model(" in said
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as file:
        file.writestr("config.json", "{}")
    assert main(["export", str(tmp_path / "other.keras"), *how[2:]]) == 2
    assert "is a model of Keras 3" in capsys.readouterr().err


@pytest.mark.slow
def test_an_archive_of_classes_is_fitted_again(exported: Exported) -> None:
    text = keras.Input([], dtype="string")
    answer = exported.again(text)
    plan = plan_fitted(keras.Model(text, answer["scores"]), "again", exported.out)
    card = read_card(exported.unpacked)
    assert isinstance(card, TextCard) and plan.request.licence == "MIT"
    assert plan.task.model_dump() == {**card.task.model_dump(), "reasons": plan.task.reasons}
    assert not plan.plan.problems and plan.plan.variables[-1].sources == ("task/dense_0/bias",)
    assert "head of the text archive" not in plan.plan.left_out
    behind = read_model(keras.Model(text, keras.layers.Dense(3)(answer["logits"]))).behind
    assert [each.kernel.shape for each in behind.dense] == [(32, 2), (2, 3)]
    with pytest.raises(Unsupported, match="'label' is taken as it is"):
        read_model(keras.Model(text, answer["label"]))


@pytest.mark.slow
def test_another_answer_than_that_of_keras_is_refused(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left behind: neither the archive nor a directory to work in."""
    plan = plan_fitted(exported.model, "odd", exported.out, Asked(labels=["bad", "good"]))
    assert plan.fitted is not None
    honest, before = plan.fitted.answers, sorted(exported.out.iterdir())

    def dishonest(texts: Any) -> Any:
        return {name: 0.99 * answer for name, answer in honest(texts).items()}

    def save_nothing_new(encoder: Any, directory: Path, make_root: Any) -> None:
        shutil.copytree(exported.unpacked, directory)

    monkeypatch.setattr(pipeline, "_save", save_nothing_new)
    monkeypatch.setattr(text_certificate, "load_directory", lambda *place: exported.again.resolved_object)
    with pytest.raises(VerificationFailed, match="odd, beside the Keras model, differs .* scores of"):
        pipeline.export_text(replace(plan, fitted=replace(plan.fitted, answers=dishonest)))
    assert sorted(exported.out.iterdir()) == before


@pytest.mark.slow
def test_errors_come_before_the_work(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadArgument, match="give 2 different texts"):
        zoo.export(exported.model, "odd", tmp_path / "new", labels=["bad"])
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr("zoo.exporting.entry_points", lambda **wanted: [])
    with pytest.raises(ZooError, match="the builder of archives is not installed"):
        zoo.export(exported.model, "odd", tmp_path)
