"""Heads of TF2 Model Garden: its own classes wrote the checkpoints and the logits, see scripts/garden_answers.py."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from export.options import EncoderRequest
from export.planning import PlannedEncoder, PlannedText, plan_export
from export.tasks import TASKS
from export.text_certificate import golden_answers, golden_questions
from scripts.architectures import sibling_weights
from scripts.garden_answers import CASES, CONFIG, INPUTS
from scripts.random_checkpoint import write_vocabulary
from tests.export.conftest import VOCABULARY
from tests.export.tasks.conftest import DATA, answers, planned_text, text_model
from zoo.errors import BadConfig

TASK_OF = {"classifier": "classification", "tokens": "token_classification", "span": "span"}


@cache
def cases() -> dict[str, Any]:
    return dict(json.loads(gzip.decompress((DATA / "garden_answers.json.gz").read_bytes())))


def write_case(name: str, folder: Path, changed: tuple[bytes, bytes] = (b"", b"")) -> Path:
    """Write the checkpoint of a case; `changed` are bytes of its object graph, and as many others in their place."""
    case = cases()[name]
    graph = base64.b64decode(case["graph"]).replace(*changed)
    names = {
        each.checkpoint_key: each.full_name
        for node in TrackableObjectGraph.FromString(graph).nodes
        for each in node.attributes
    }
    shapes = case["shapes"]
    slots = {key for key in shapes if "OPTIMIZER_SLOT" in key or key.startswith(("optimizer/", "save_", "global_"))}
    numbers = sibling_weights({names[key]: shape for key, shape in shapes.items() if key not in slots})
    saved = {
        key: np.full(shape, 9, np.float32) if key in slots else numbers[names[key]] for key, shape in shapes.items()
    }
    place = folder / case["folder"]
    place.mkdir(parents=True)
    tf.raw_ops.SaveV2(
        prefix=str(place / ("variables" if case["folder"] else "model.ckpt-7")),
        tensor_names=[*saved, "_CHECKPOINTABLE_OBJECT_GRAPH"],
        shape_and_slices=[""] * (len(saved) + 1),
        tensors=[*map(tf.constant, saved.values()), tf.constant(graph)],
    )
    if case["folder"]:
        (folder / "saved_model.pb").touch()  # which is not read
    (folder / "bert_config.json").write_text(json.dumps(case["config"]), encoding="utf-8")
    write_vocabulary(folder / "vocab.txt", VOCABULARY)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_model_garden(name: str, tmp_path: Path) -> None:
    planned = planned_text(write_case(name, tmp_path / "saved"))
    head = next(word for word in TASK_OF if word in name)
    assert planned.task.name == TASK_OF[head] and not planned.doubt
    inputs = {key: tf.constant(rows, tf.int32) for key, rows in INPUTS.items()}
    found = TASKS[planned.task.name].numbers(text_model(planned), inputs, False)["logits"]
    np.testing.assert_allclose(found, cases()[name]["logits"], rtol=0, atol=1e-5)
    assert planned.task.scores == ("identity" if "one class" in name else planned.task.scores)


@pytest.mark.parametrize("name", ["classifier with a dense layer", "albert span, SavedModel"])
def test_the_oracle_finds_the_head_by_itself(name: str, tmp_path: Path) -> None:
    planned = planned_text(write_case(name, tmp_path / "saved"))
    golden, questions = golden_answers(planned), golden_questions(planned)[:6]
    model = text_model(planned)
    for number, text in enumerate(questions):
        found = answers(model, [list(text) if len(text) == 2 else text[0]])[0]["logits"]
        np.testing.assert_allclose(found, golden[f"{number}/logits"], rtol=0, atol=2e-5)


def test_a_head_of_before_2_4_is_asked_for(tmp_path: Path) -> None:
    """Those versions did not track attributes, so that the layers of all three heads have the same names."""
    folder = write_case("span", tmp_path / "saved", (b"span_labeling", b"layer_9999999"))
    request: dict[str, Any] = {"checkpoint": folder, "name": "odd", "out": tmp_path / "out"}
    planned = plan_export(EncoderRequest(**request))
    assert isinstance(planned, PlannedEncoder) and not planned.plan.problems
    assert "classification or token_classification or span, and no file says which" in planned.no_task
    with pytest.raises(BadConfig, match="predictions/transform/logits may be of .* Choose with --task"):
        plan_export(EncoderRequest(**request, kind="text"))
    for task, pooling in (("classification", "pooled"), ("token_classification", None), ("span", None)):
        asked = planned_text(folder, task=task).task
        assert (asked.name, asked.pooling, asked.dense[0].outputs) == (task, pooling, 2)


def test_an_encoder_leaves_the_heads_out_by_name(tmp_path: Path) -> None:
    case = "classifier with a dense layer, as weights and items"
    folder = write_case(case, tmp_path / "saved")
    planned = plan_export(EncoderRequest(folder, "odd", tmp_path, kind="encoder"))
    assert not isinstance(planned, PlannedText) and not planned.plan.problems
    assert planned.plan.left_out["head of a fine-tuned task"] == tuple(
        f"sentence_prediction/{layer}/{leaf}" for layer in ("dense", "out_proj") for leaf in ("bias", "kernel")
    )
    assert CONFIG["hidden_size"] == planned.config.hidden_size
