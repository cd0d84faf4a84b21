"""Text archives in other formats: ids in, numbers out, with pooling and head inside; or strings, for Serving."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.convert.check import as_numpy
from export.convert.rebuilding import Convertible
from export.convert.text_subject import _AS_ANSWERED, _numbers, _real_tokens
from export.encoder.encoder import Encoder
from export.encoder.plain import Plain
from export.tasks import TASKS
from scripts.span_answers import MASKED, QUESTIONS
from scripts.text_answers import PAIRS, TEXTS
from tests.export.convert.test_convert import need, report
from tests.export.tasks.conftest import cases, planned_text, text_archive, text_model, write_case
from zoo.archive.card import read_card
from zoo.archive.digests import check_files
from zoo.command import main
from zoo.contract import INPUT_KEYS

LABELS = ["class 0", "class 1", "class 2"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_archive(tmp_path_factory)


@pytest.fixture
def run(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """run("onnx", …) converts a classifier in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda to, *more: main(["convert", str(texts / "odd"), "--to", to, *more])


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("vector: max and dense", TEXTS),
        ("classifier: electra", PAIRS),
        ("span: albert", QUESTIONS),
        ("masks: electra", MASKED),
        ("tokens: albert", TEXTS),
    ],
)
def test_numbers_of_ids_are_those_of_the_texts(name: str, asked: Any, tmp_path: Path) -> None:
    """In the layout and the formulas that are converted, and without any text."""
    task_of_files = {} if name.partition(":")[0] != "masks" else {"task": "fill_mask"}
    planned = planned_text(write_case(name, tmp_path / "saved"), **task_of_files)
    model, task = text_model(planned), planned.task
    plain = Encoder(
        planned.encoder.config,
        {**model.encoder.encoder.weights, **model.weights},  # type: ignore[attr-defined]
        forms=Convertible(),
        layout=Plain,
    )
    inputs = model.packed(tf.constant(asked))
    found = _numbers(task, model.tokens.ids, plain, *(inputs[key] for key in INPUT_KEYS))
    assert found.keys() == TASKS[task.name].axes.keys()
    assert {key: len(axes) for key, axes in TASKS[task.name].axes.items()} == {
        k: v.shape.rank for k, v in found.items()
    }
    made = _AS_ANSWERED.get(task.name, _real_tokens)(
        task,
        planned.tokenizer.vocabulary.entries,
        {key: value.numpy() for key, value in inputs.items()},
        {key: value.numpy() for key, value in found.items()},
    )
    answered = model.answer(tf.constant(asked), False)
    for key, value in made.items():
        ours = answered[key]
        if isinstance(ours, tf.RaggedTensor):
            ours = ours.to_tensor() if key == "logits" else ours.values
        if value.dtype.kind == "U":
            assert as_numpy(ours).tolist() == value.tolist()
        else:
            np.testing.assert_allclose(value, ours, rtol=0, atol=2e-6)


def test_a_text_archive_for_another_runtime(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tflite") == 0
    found = report(Path("odd-tflite"))
    compared = found["comparison"]
    assert compared["differences"].keys() == {"logits", "scores", "label"} and compared["differences"]["label"] == 0
    assert 0 < compared["from_original"]["logits"] <= compared["tolerance"] == 2e-5
    assert [rows > 1 for rows, _ in compared["batches"]] == [True, True, False], "texts, pairs, one text alone"
    assert found["task"]["labels"] == LABELS and found["task"]["max_length"] == 40
    cut = json.loads(Path("odd-tflite/tokenizer.json").read_text(encoding="utf-8"))["truncation"]
    assert (cut["max_length"], cut["strategy"]) == (40, "LongestFirst")
    assert "a text has at most 40 tokens" in capsys.readouterr().out
    assert run("onnx", "--tokenizer", "none") == 2
    assert "has its tokenizer inside: leave --tokenizer out" in capsys.readouterr().err
    assert run("tflite", "--dry-run", "--json", "--force") == 0
    assert json.loads(capsys.readouterr().out)["tokenizer"] == "inside"


def test_onnx_by_its_own_tokenizer(run: Callable[..., int]) -> None:
    """As people use it: tokenizers and onnxruntime alone, against what transformers answered."""
    need("tf2onnx", "onnxruntime", "tokenizers")
    import onnxruntime
    from tokenizers import Tokenizer

    assert run("onnx") == 0 and report(Path("odd-onnx"))["tokenizer"]["compared"] > 10
    session = onnxruntime.InferenceSession("odd-onnx/model.onnx")
    assert {(each.name, *each.shape) for each in session.get_inputs()} == {
        (key, "batch", "length") for key in INPUT_KEYS
    }
    assert {(each.name, *each.shape) for each in session.get_outputs()} == {
        ("logits", "batch", 3),
        ("scores", "batch", 3),
    }
    tokenizer = Tokenizer.from_file("odd-onnx/tokenizer.json")
    tokenizer.enable_padding()
    asked = [*TEXTS, *PAIRS]
    rows = tokenizer.encode_batch([tuple(each) if isinstance(each, list) else each for each in asked])
    values = ([getattr(row, field) for row in rows] for field in ("ids", "attention_mask", "type_ids"))
    logits, scores = session.run(
        ["logits", "scores"], {key: np.array(each, np.int32) for key, each in zip(INPUT_KEYS, values, strict=True)}
    )
    for ours, wanted in ((logits, "logits"), (scores, "scores")):
        expected = [each[wanted] for each in cases()["classifier: bert"]["answers"]]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


def test_serving_takes_strings(run: Callable[..., int], tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_serving", reason="no tensorflow-serving-api: pip install 'bert-zoo[serving]'")
    from export.convert.serving import WARMUP_FILE, read_warmup

    assert run("serving") == 0
    place = tmp_path / "odd-serving"
    assert report(place)["task"]["labels"] == LABELS and 'name: "odd"' in (place / "models.config").read_text()
    [(signature, inputs)] = read_warmup(place / "odd/1" / WARMUP_FILE)
    served = tf.saved_model.load(str(place / "odd/1"), tags=["serve"]).signatures[signature]
    answers = served(text=tf.constant(inputs["text"]))
    assert len(answers["label"]) == len(inputs["text"]) > 5
    expected = cases()["classifier: bert"]["answers"][: len(TEXTS)]
    found = served(text=tf.constant(TEXTS))["logits"]
    np.testing.assert_allclose(found, [each["logits"] for each in expected], rtol=0, atol=1e-5)
    check_files(place / "odd/1", read_card(place / "odd/1"))
