"""A text archive as people get it: exported from a classifier that transformers saved, loaded with tensorflow_hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from export.options import EncoderRequest
from export.pipeline import export_text
from export.planning import PlannedEncoder, PlannedText, plan_export
from scripts.text_answers import PAIRS, TEXTS
from tests.export.tasks.conftest import CLASSIFIER, cases, planned_text, text_archive, write_case
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import TextCard, read_card
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.errors import BadArgument, BadVocabulary, VerificationFailed
from zoo.loading.verify_text import differences
from zoo.registry.writing import own_registry


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_archive(tmp_path_factory)


@pytest.fixture(scope="module")
def model(out: Path) -> Any:
    return hub.load(str(out / "odd"))


def test_answers_of_lists_tensors_and_pairs(model: Any) -> None:
    expected = cases()[CLASSIFIER]["answers"]
    for texts, theirs in ((TEXTS, expected[: len(TEXTS)]), (PAIRS, expected[len(TEXTS) :])):
        for given in (texts, tf.constant(texts)):
            answer = model(given)
            assert answer.keys() == {"logits", "scores", "label"}
            for output in ("logits", "scores"):
                wanted = [each[output] for each in theirs]
                np.testing.assert_allclose(answer[output], wanted, rtol=0, atol=1e-5)
    assert [label.decode() for label in model(["你好"])["label"].numpy()] == ["class 0"]
    assert [label.decode() for label in model.labels().numpy()] == ["class 0", "class 1", "class 2"]
    assert model.signatures["serving_default"](text=tf.constant(["你好"]))["logits"].shape == (1, 3)


def test_no_texts_and_texts_that_are_not_utf_8(model: Any) -> None:
    assert model(tf.constant([], tf.string))["logits"].shape == (0, 3)
    broken, whole = model([b"\xff\xe4\xbd\xa0\xe5\xa5\xbd\xe4", "你好"])["logits"].numpy()
    np.testing.assert_allclose(broken, whole, rtol=0, atol=1e-6)  # bytes that are no text are skipped


def test_training_has_dropout(model: Any) -> None:
    first, second = (model(["你好"], training=True)["logits"].numpy() for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(["你好", "a"], training=True)["logits"][:, 0])
    names = {variable.name.partition(":")[0] for variable in model.trainable_variables}
    assert {"task/dense_0/kernel", "task/dense_0/bias", "bert/pooler/dense/kernel"} <= names
    assert None not in tape.gradient(loss, model.trainable_variables)


def test_the_tokenizer_and_the_encoder_inside(model: Any) -> None:
    tokens = model.tokenizer(["你好，a"])
    assert [token.decode() for token in tokens.numpy()[0]] == ["你", "好", "，", "a"]
    assert model.encoder(tokens)["sequence_output"].shape == (1, 4, 32)
    packed = model.tokenizer.preprocess(["你好"], seq_length=8)
    assert packed["input_word_ids"].numpy().tolist() == [[2, 5, 6, 3, 0, 0, 0, 0]]


def test_card_and_rows(out: Path) -> None:
    card = read_card(out / "odd")
    assert isinstance(card, TextCard)
    assert (card.task.name, card.task.pooling, card.needs) == ("classification", "pooled", [])
    assert card.left_out.keys() == {"buffer that only counts positions"} or not card.left_out
    assert "FastWordpieceTokenizeWithOffsets" not in card.ops
    assert max(card.certificate.max_difference.values()) <= card.certificate.tolerance == 2e-5
    models = own_registry(out / "out" / "registry.json").models
    assert {name: (row.kind, row.task) for name, row in models.items()} == {"odd": ("text", "classification")}


def test_the_encoder_and_the_tokenizer_as_archives_of_their_own(tmp_path: Path) -> None:
    """What `--kind all` makes beside the text archive; a slow test builds them."""
    planned = planned_text(write_case(CLASSIFIER, tmp_path / "saved"), kind="all")
    encoder, request, _ = planned.apart()
    assert (encoder.request.name, request.name, request.ops) == ("texts_encoder", "texts_tokenizer", "core")
    assert not [each.ours for each in encoder.plan.variables if each.ours.startswith("task/")]
    assert encoder.plan.left_out.keys() >= {"head of a fine-tuned task"}


def test_the_archive_is_a_checkpoint_of_its_encoder(out: Path, tmp_path: Path) -> None:
    """Its head is left out by name; a text archive of it needs to be told how the tokenizer treats capitals."""
    request: dict[str, Any] = {"checkpoint": out / "out" / "odd.tar.gz", "name": "again", "out": tmp_path}
    planned = plan_export(EncoderRequest(**request, layers=1))
    assert isinstance(planned, PlannedEncoder) and planned.config.layers == 1
    left_out = planned.plan.checked("again").left_out
    assert left_out["head of the text archive"] == ("task/dense_0/bias", "task/dense_0/kernel")
    with pytest.raises(BadVocabulary, match="choose --cased or --uncased. Or add `--kind encoder`"):
        plan_export(EncoderRequest(**request, task="vector", pooling="mean"))
    assert isinstance(plan_export(EncoderRequest(**request, task="vector", pooling="mean", cased=False)), PlannedText)


def test_vectors_of_an_archive_are_asked_for_again(text_zoo: ToyZoo, tmp_path: Path) -> None:
    """It has no files of sentence-transformers, which a certificate would read: it is a checkpoint of its encoder."""
    request: dict[str, Any] = {"checkpoint": text_zoo.archive("vectors"), "name": "again", "out": tmp_path}
    assert isinstance(plan_export(EncoderRequest(**request, layers=1, cased=False)), PlannedEncoder)
    with pytest.raises(BadArgument, match="no file beside this checkpoint says .*`--task vector --pooling mean`"):
        plan_export(EncoderRequest(**request, cased=False, task="vector"))
    planned = plan_export(EncoderRequest(**request, cased=False, task="vector", pooling="mean"))
    assert isinstance(planned, PlannedText) and not planned.task.normalize


@pytest.mark.slow
def test_kind_all_writes_four_archives(tmp_path: Path) -> None:
    write_case(CLASSIFIER, tmp_path / "saved")
    command = ["export", str(tmp_path / "saved"), "--name", "odd", "--out", str(tmp_path / "out"), "--kind", "all"]
    assert main(command) == 0
    models = own_registry(tmp_path / "out" / "registry.json").models
    assert {name: (row.kind, row.task, row.tokenizer) for name, row in models.items()} == {
        "odd": ("text", "classification", None),
        "odd_encoder": ("encoder", None, "odd_tokenizer"),
        "odd_tokenizer": ("tokenizer", None, None),
        "odd_tokenizer_preprocess": ("preprocess", None, None),
    }


def test_zoo_verify_repeats_the_golden_answers(out: Path, model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(out / "odd")]) == 0
    said = capsys.readouterr().out
    assert "odd (text)" in said and "golden texts agree" in said and "scores" in said
    card = read_card(out / "odd")
    assert isinstance(card, TextCard)
    with np.load(out / "odd" / "assets.extra" / "golden.npz") as file:
        golden = dict(file)
    for key, value in (("3/label", np.array("class 9")), ("4/logits", golden["4/logits"] + np.float32(1e-3))):
        with pytest.raises(VerificationFailed, match=key.partition("/")[2]):
            differences(model, card.certificate.texts, {**golden, key: value}, card.certificate.tolerance, "odd")


def test_tensorflow_is_all_that_loading_needs(out: Path) -> None:
    """In a process of its own, in which nothing else can be imported, and nothing is said beside the result."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["tensorflow_hub", "tensorflow_text", "pkg_resources"]))
import zoo
model = zoo.load({str(out / "odd")!r})
print(model(["你好"])["label"].numpy()[0].decode(), model.encoder([[2, 3]])["pooled_output"].shape)
try:
    zoo.register()
except zoo.CannotLoad as error:
    print(error)
import tensorflow as tf
print(tf.saved_model.load({str(out / "odd")!r})(["你好"])["label"].numpy()[0].decode())
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()
    assert said[0].startswith("class 0 (1, ") and said[2] == "class 0"
    assert "`pip install tensorflow-hub 'setuptools<81'` brings it" in said[1]
    assert done.stderr == ""


@pytest.mark.slow
def test_a_masked_language_model_is_exported_and_answers(tmp_path: Path) -> None:
    """Its head is an object inside of the archive, which is called before it is saved."""
    planned = planned_text(write_case("masks: bert", tmp_path / "saved"), task="fill_mask")
    export_text(planned)
    unpack(tmp_path / "out" / "texts.tar.gz", tmp_path / "texts")
    answer = hub.load(str(tmp_path / "texts"))(["你好 [MASK]", "a"])
    assert [len(masks) for masks in answer["token"].to_list()] == [1, 0]
    assert answer["score"].to_list()[0][0] == sorted(answer["score"].to_list()[0][0], reverse=True)
