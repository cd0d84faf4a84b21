"""Answers to texts are those of transformers and sentence-transformers, from the directories that these wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.inspect import inspect_checkpoint
from export.options import EncoderRequest
from export.planning import PlannedEncoder, plan_export
from export.text_certificate import golden_answers, golden_questions
from scripts.random_checkpoint import write_tf1
from scripts.text_answers import CLASSIFIERS, PAIRS, TEXTS, VECTORS
from tests.export.conftest import write_odd
from tests.export.tasks.conftest import answers, cases, planned_text, text_model, write_case
from zoo.command import main
from zoo.errors import BadArgument, BadConfig
from zoo.loading.pooling import lowered

TOLERANCE = 1e-5
CLASSES = [f"classifier: {name}" for name in CLASSIFIERS]
POOLINGS = [f"vector: {name}" for name in VECTORS]


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str, tmp_path: Path) -> None:
    planned = planned_text(write_case(name, tmp_path / "saved"))
    task, expected = planned.task, cases()[name]["answers"]
    assert (task.name, task.max_length, task.truncation) == ("classification", 40, "longest_first")
    assert task.labels == [f"class {number}" for number in range(len(expected[0]["logits"]))]
    model = text_model(planned)
    found = answers(model, TEXTS) + answers(model, PAIRS)
    for ours, theirs in zip(found, expected, strict=True):
        for output in ("logits", "scores"):
            np.testing.assert_allclose(ours[output], theirs[output], rtol=0, atol=TOLERANCE)
        assert ours["label"].item().decode() == task.labels[int(np.argmax(theirs["logits"]))]


@pytest.mark.parametrize("name", POOLINGS)
def test_vectors(name: str, tmp_path: Path) -> None:
    planned = planned_text(write_case(name, tmp_path / "saved"))
    assert (planned.task.name, planned.task.max_length) == ("vector", 30)
    assert planned.task.prompts["query"] == "a 1: "
    model, stored = text_model(planned), cases()[name]
    for ours, theirs in zip(answers(model, TEXTS), stored["answers"], strict=True):
        np.testing.assert_allclose(ours["vector"], theirs["vector"], rtol=0, atol=TOLERANCE)
    queries = answers(model, [planned.task.prompts["query"] + text for text in TEXTS])
    for ours, theirs in zip(queries, stored["query"], strict=True):
        np.testing.assert_allclose(ours["vector"], theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["classifier: electra", "classifier: bert of several labels", "vector: max and dense"])
def test_the_oracle_answers_the_same(name: str, tmp_path: Path) -> None:
    """The oracle reads the files by itself; golden texts are other ones, pairs and texts over the limit among them."""
    planned = planned_text(write_case(name, tmp_path / "saved"))
    golden, questions = golden_answers(planned), golden_questions(planned)
    model = text_model(planned)
    assert {len(text) for text in questions} == {1, 2}
    for number, text in enumerate(questions):
        row = list(text) if len(text) == 2 else text[0]
        for output, value in answers(model, [row])[0].items():
            expected = golden[f"{number}/{output}"]
            if output == "label":
                assert value.item().decode() == str(expected)
            else:
                np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCE)


# -- what a checkpoint is for -----------------------------------------------------------------------------------------


def test_a_plain_checkpoint_stays_an_encoder_until_a_task_is_asked_for(tmp_path: Path) -> None:
    write_odd(tmp_path / "odd")
    request: dict[str, Any] = {"checkpoint": tmp_path / "odd", "name": "odd", "out": tmp_path / "out"}
    assert isinstance(plan_export(EncoderRequest(**request)), PlannedEncoder)
    with pytest.raises(BadArgument, match="`--task vector --pooling mean`"):
        plan_export(EncoderRequest(**request, task="vector"))
    with pytest.raises(BadArgument, match="add --task vector"):
        plan_export(EncoderRequest(**request, pooling="mean", kind="text"))
    with pytest.raises(BadConfig, match="`--task vector --pooling mean`, or add `--kind encoder`"):
        plan_export(EncoderRequest(**request, kind="text"))
    planned = planned_text(tmp_path / "odd", task="vector", pooling="first+max", max_length=9)
    assert (planned.task.pooling, planned.task.max_length, planned.task.truncation) == ("first+max", 9, "round_robin")
    assert answers(text_model(planned), ["你好"])[0]["vector"].shape == (64,)
    theirs = planned_text(write_case("classifier: bert", tmp_path / "hf"), task="vector", pooling="mean")
    assert theirs.task.truncation == "longest_first"  # as transformers cuts pairs
    for wrong in ({"pooling": "middle"}, {"pooling": "mean", "max_length": 41}, {"pooling": "mean", "max_length": 2}):
        with pytest.raises(BadArgument, match="middle|3 to 40"):
            plan_export(EncoderRequest(**request, task="vector", **wrong))  # type: ignore[arg-type]


def test_prompts_that_are_given_stand_beside_those_of_the_files(tmp_path: Path) -> None:
    folder = write_case("vector: mean", tmp_path / "saved")
    own = planned_text(folder).task.prompts
    planned = planned_text(folder, prompts={"query": "查询: ", "passage": "b c"})
    assert planned.task.prompts == {**own, "query": "查询: ", "passage": "b c"} != own
    assert planned.task.reasons == ["modules.json", "--prompts query, passage: given with the export"]
    write_odd(tmp_path / "odd")
    plain = planned_text(tmp_path / "odd", task="vector", pooling="first", prompts={"query": "查询: "})
    assert plain.task.prompts == {"query": "查询: "}
    with pytest.raises(BadArgument, match="--prompts is of vectors, and this is classification"):
        planned_text(write_case("classifier: bert", tmp_path / "tuned"), prompts={"query": "q"}, kind="text")


def test_kind_encoder_leaves_the_head_out_by_name(tmp_path: Path) -> None:
    folder = write_case("classifier: bert", tmp_path / "saved")
    planned = plan_export(EncoderRequest(folder, "bert", tmp_path, kind="encoder"))
    assert isinstance(planned, PlannedEncoder)
    assert planned.plan.left_out["head of a fine-tuned task"] == ("classifier.bias", "classifier.weight")


def test_a_head_of_tf1_is_found_by_its_names(tmp_path: Path) -> None:
    arrays = write_odd(tmp_path / "odd")
    head = {"output_weights": np.full((3, 32), 0.1, np.float32), "output_bias": np.arange(3, dtype=np.float32)}
    config = json.loads((tmp_path / "odd" / "bert_config.json").read_text())
    shutil.copytree(tmp_path / "odd", tmp_path / "tuned")
    write_tf1(tmp_path / "tuned", config, {name: array.shape for name, array in (arrays | head).items()})
    (tmp_path / "labels.txt").write_text("差\n中\n好\n", encoding="utf-8")
    planned = planned_text(tmp_path / "tuned", labels=tmp_path / "labels.txt")
    task = planned.task
    assert (task.name, task.labels, task.scores) == ("classification", ["差", "中", "好"], "softmax")
    assert {each.sources[0] for each in planned.plan.variables if each.ours.startswith("task/")} == head.keys()
    golden = golden_answers(planned)
    number = golden_questions(planned).index(("你好",))
    np.testing.assert_allclose(
        answers(text_model(planned), ["你好"])[0]["logits"], golden[f"{number}/logits"], rtol=0, atol=TOLERANCE
    )


def test_a_file_without_a_class_is_told_by_its_pooler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """transformers' classes for tokens have no pooler; where there is one, the export says what it took it for."""
    for name, task in (("tokens: bert", "token_classification"), ("tokens: electra", "token_classification")):
        planned = planned_text(_without_class(write_case(name, tmp_path / name)))
        assert (planned.task.name, planned.doubt) == (task, "")
    folder = _without_class(write_case("classifier: bert", tmp_path / "saved"))
    for more, doubts in (([], 1), (["--task", "classification"], 0)):
        assert main(["export", str(folder), "--name", "odd", "--out", str(tmp_path / "out"), "--dry-run", *more]) == 0
        said = capsys.readouterr()
        assert said.err.count("For entities add --task token_classification.") == doubts
        assert "classification: pooling pooled; 3 classes: class 0, class 1, class 2; at most 40 tokens" in said.out
    assert planned_text(folder, task="token_classification").task.dense[0].outputs == 3
    two_layers = planned_text(_without_class(write_case("classifier: electra", tmp_path / "electra")))
    assert (two_layers.task.name, two_layers.doubt) == ("classification", "")


def _without_class(folder: Path) -> Path:
    config = json.loads((folder / "config.json").read_text())
    del config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_labels_are_as_many_as_classes(tmp_path: Path) -> None:
    folder = write_case("classifier: bert", tmp_path / "saved")
    labels = tmp_path / "labels.txt"
    labels.write_text("yes\nno\n")
    with pytest.raises(BadConfig, match="2 labels, the head 3 classes"):
        planned_text(folder, labels=labels, kind="text")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": "yes", "1": "no"}}))
    with pytest.raises(BadConfig, match="id2label in the config has 2 labels for the head's 3 classes"):
        planned_text(folder, kind="text")
    labels.write_text("yes\nno\nperhaps\n")
    assert planned_text(folder, labels=labels).task.labels == ["yes", "no", "perhaps"]


def test_the_activation_of_a_cross_encoder_makes_its_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_case("classifier: bert of one class", tmp_path / "saved")
    config = json.loads((folder / "config.json").read_text())
    assert planned_text(folder).task.scores == "sigmoid"
    for settings, scores in (
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "identity"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}, "sigmoid"),
    ):
        (folder / "config.json").write_text(json.dumps(config | settings))
        assert planned_text(folder).task.scores == scores
    (folder / "config.json").write_text(json.dumps(config | {"sentence_transformers": {"activation_fn": "own.Swish"}}))
    with pytest.raises(BadConfig, match=r"scores by 'own\.Swish'"):
        planned_text(folder, kind="text")
    assert main(["export", str(folder), "--name", "swish", "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    assert "swish: an encoder, and no text archive: " in (said := capsys.readouterr().err) and "own.Swish" in said
    assert main(["export", str(folder), "--name", "x", "--out", str(tmp_path), "--dry-run", "--kind", "encoder"]) == 0
    assert capsys.readouterr().err == "", "it was asked for"


@pytest.mark.parametrize("name", ["classifier: distilbert", "vector: cls and mean"])
def test_inspect_says_what_export_makes(name: str, tmp_path: Path) -> None:
    folder = write_case(name, tmp_path / "saved")
    inspection, planned = inspect_checkpoint(folder), planned_text(folder)
    assert inspection.task is not None and inspection.task.task == planned.task
    assert inspection.to_dict()["kind"] == "text" and "a text archive, which takes strings" in str(inspection)
    assert inspection.plan == planned.plan
    assert (inspection.export_command or "").endswith("--name NAME --out DIR")


def test_training_drops_what_goes_into_the_head(tmp_path: Path) -> None:
    """The encoder here computes without dropout, so all that differs is the head's."""
    planned = planned_text(write_case("classifier: bert", tmp_path / "saved"))
    assert planned.task.dropout == 0.1
    model, texts = text_model(planned), tf.constant(["你好"] * 50)
    logits = model.answer(texts, True)["logits"].numpy()
    same = model.answer(texts, False)["logits"].numpy()
    assert np.abs(logits - same).max() > 1e-3 and len(np.unique(logits[:, 0])) > 10
    assert np.abs(logits.mean(0) - same[0]).max() < 0.5, "what stays is scaled up"


def test_lower_casing_goes_on_behind_a_nul(tmp_path: Path) -> None:
    """For a tokenizer that keeps capitals, in the graph and in zoo.TextEncoder: both call `lowered`."""
    folder = write_case("vector: mean", tmp_path / "saved")
    settings = {"max_seq_length": 30, "do_lower_case": True}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    found = answers(text_model(planned_text(folder)), ["THE\x00 HOTEL", "the hotel", "the"])
    np.testing.assert_array_equal(found[0]["vector"], found[1]["vector"])
    assert np.abs(found[0]["vector"] - found[2]["vector"]).max() > 0.1
    assert lowered(tf.constant(["A\x00É"])).numpy()[0].decode() == "aé"


def test_cutting_pairs() -> None:
    """Both rules against plain loops, over all lengths of a small room."""
    from tokenizer.packing import trim, trim_longest_first, trim_only_second

    lengths = [(first, second) for first in range(9) for second in range(9)]
    for room in range(9):
        tensor = tf.constant(lengths, tf.int32)
        rust = [_cut_by_tokenizers(*pair, room) for pair in lengths]
        assert trim_longest_first(tensor, tf.constant(room)).numpy().tolist() == rust
        assert trim(tensor, tf.constant(room)).numpy().tolist() == [_cut_by_google(*pair, room) for pair in lengths]
        second = [[min(a, room), min(b, room - min(a, room))] for a, b in lengths]
        assert trim_only_second(tensor, tf.constant(room)).numpy().tolist() == second


def _cut_by_google(first: int, second: int, room: int) -> list[int]:
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return [first, second]


def _cut_by_tokenizers(first: int, second: int, room: int) -> list[int]:
    """`truncate_encodings` of Hugging Face's tokenizers."""
    if first + second <= room:
        return [first, second]
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return [long, short] if first > second else [short, long]
