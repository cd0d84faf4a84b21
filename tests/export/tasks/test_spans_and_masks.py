"""Answers in contexts and tokens for [MASK] are those of transformers' pipelines; odd inputs have defined answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.options import EncoderRequest
from export.planning import PlannedEncoder, plan_export
from export.text_certificate import golden_answers, golden_questions
from scripts.random_checkpoint import write_tf1
from scripts.span_answers import MASKED, QUESTIONS
from tests.export.conftest import write_odd
from tests.export.tasks.conftest import answers, cases, planned_text, text_model, write_case
from zoo.errors import BadArgument, BadConfig

TOLERANCE = 1e-5
KINDS = ("bert", "albert", "electra", "distilbert")


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for output, value in theirs.items():
        expected = np.asarray(value)
        if expected.dtype.kind == "U":
            assert ours[output].astype(bytes).tolist() == np.char.encode(expected, "utf-8").tolist(), output
        elif expected.dtype.kind == "i":
            assert ours[output].tolist() == expected.tolist(), output
        else:
            np.testing.assert_allclose(ours[output], expected, rtol=0, atol=TOLERANCE, err_msg=output)


@pytest.mark.parametrize("kind", KINDS)
def test_spans_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    planned = planned_text(write_case(f"span: {kind}", tmp_path / "saved"))
    task = planned.task
    assert (task.name, task.truncation, task.most_tokens, task.labels) == ("span", "only_second", 30, [])
    found = answers(text_model(planned), QUESTIONS)
    for ours, theirs in zip(found, cases()[f"span: {kind}"]["answers"], strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_for_masks_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = write_case(f"masks: {kind}", tmp_path / "saved")
    assert isinstance(plan_export(EncoderRequest(folder, "texts", tmp_path)), PlannedEncoder)  # until it is asked for
    planned = planned_text(folder, task="fill_mask")
    found = answers(text_model(planned), MASKED)
    for ours, theirs in zip(found, cases()[f"masks: {kind}"]["answers"], strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize("name", ["span: bert", "masks: albert"])
def test_the_oracle_answers_the_same(name: str, tmp_path: Path) -> None:
    task: dict[str, Any] = {"task": "fill_mask"} if name.startswith("masks") else {}
    planned = planned_text(write_case(name, tmp_path / "saved"), **task)
    golden, questions = golden_answers(planned), golden_questions(planned)
    rows = [list(text) if len(text) == 2 else text[0] for text in questions]
    for number, ours in enumerate(answers(text_model(planned), rows)):
        assert_same(ours, {output: golden[f"{number}/{output}"] for output in ours})


def test_odd_pairs(tmp_path: Path) -> None:
    planned = planned_text(write_case("span: bert", tmp_path / "saved"))
    model, room = text_model(planned), planned.task.max_length - 3
    long, bad = "the hotel was good. " * 20, b"\xff\xfe good \xff hotel"
    nothing, no_question, cut, no_room, invalid = answers(
        model, [["你好", ""], ["", "北京"], ["你好", long], [long, "good"], ["你", bad]]
    )
    for empty in (nothing, no_room):  # no token of a context is left
        assert (empty["answer"].item(), empty["start"], empty["limit"], empty["score"]) == (b"", 0, 0, 0.0)
        np.testing.assert_allclose(empty["null_score"], 1.0, rtol=2e-7)  # two steps of float32
    assert no_question["answer"].item().decode() in "北京" and no_question["score"] > 0
    assert len(cut["logits"]) == len(no_room["logits"]) == planned.task.max_length
    assert cut["limit"] <= len(" ".join(long.replace(".", " .").split()[: room - 2]))
    start, limit = invalid["start"], invalid["limit"]
    assert bad[start:limit] == invalid["answer"].item() and limit - start > 0
    found = model.answer(tf.zeros([0, 2], tf.string), False)
    assert found["answer"].shape == (0,)


def test_odd_texts_with_masks(tmp_path: Path) -> None:
    planned = planned_text(write_case("masks: bert", tmp_path / "saved"), task="fill_mask")
    model, limit = text_model(planned), planned.task.max_length
    found = answers(model, ["", "你好", "[MASK]" * (limit + 3), b"\xff[MASK]\xff", "w1 " * limit + "[MASK]"])
    assert [each["token"].shape for each in found] == [(0, 5), (0, 5), (limit - 2, 5), (1, 5), (0, 5)]
    assert [each.shape for each in (*model.answer(tf.constant(["", "a"]), False).values(),)] == [(2, None, 5)] * 2


def test_equal_scores_go_to_the_lower_id(tmp_path: Path) -> None:
    planned = planned_text(write_case("masks: bert", tmp_path / "saved"), task="fill_mask")
    model = text_model(planned)
    weights: Any = model.encoder.encoder.weights  # type: ignore[attr-defined]
    for name in ("embeddings/word/table", "mlm/output/output_bias"):
        weights[name] = tf.zeros_like(weights[name])
    (found,) = answers(model, ["[MASK]"])
    assert found["token"][0].tolist() == list(map(str.encode, planned.tokenizer.vocabulary.entries[:5]))
    np.testing.assert_allclose(found["score"], 1 / 99, rtol=1e-5)


def test_files_of_tf1(tmp_path: Path) -> None:
    """A literal [MASK] is found in texts there too, and the head of run_squad by its names."""
    import json

    arrays = write_odd(tmp_path / "odd")
    masks = planned_text(tmp_path / "odd", task="fill_mask")
    assert masks.special_tokens_in_text and masks.encoder.heads == ("mlm",)
    assert answers(text_model(masks), ["[MASK]"])[0]["token"].shape == (1, 5)
    head = {"cls/squad/output_weights": (2, 32), "cls/squad/output_bias": (2,)}
    config = json.loads((tmp_path / "odd" / "bert_config.json").read_text())
    (tmp_path / "tuned").mkdir()
    for file in (tmp_path / "odd").glob("*.*"):
        if file.suffix in (".json", ".txt"):
            (tmp_path / "tuned" / file.name).write_bytes(file.read_bytes())
    write_tf1(tmp_path / "tuned", config, {name: array.shape for name, array in arrays.items()} | head)
    planned = planned_text(tmp_path / "tuned")
    assert planned.task.name == "span"
    assert {each.sources[0] for each in planned.plan.variables if each.ours.startswith("task/")} == head.keys()
    golden = golden_answers(planned)
    number = golden_questions(planned).index(("好？", "你好"))
    (ours,) = answers(text_model(planned), [["好？", "你好"]])
    assert_same(ours, {output: golden[f"{number}/{output}"] for output in ours})


def test_refusals_name_the_next_move(tmp_path: Path) -> None:
    span = write_case("span: bert", tmp_path / "saved")
    with pytest.raises(BadConfig, match="has no head 'mlm'"):
        planned_text(span, task="fill_mask")
    with pytest.raises(BadArgument, match="leave the option out"):
        planned_text(span, labels=tmp_path / "labels.txt")
    write_odd(tmp_path / "odd")
    with pytest.raises(BadConfig, match="cls/squad/output_weights.*`--kind encoder`"):
        planned_text(tmp_path / "odd", task="span")
    assert isinstance(plan_export(EncoderRequest(span, "texts", tmp_path, kind="encoder")), PlannedEncoder)
