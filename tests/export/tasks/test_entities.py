"""Entities of texts are those of transformers' pipeline, or of pytorch-crf's decoder; odd texts have an answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

from export.options import EncoderRequest
from export.oracle.entities import entities_of
from export.planning import plan_export
from export.saved_model.slimming import slim
from export.tasks.schemes import scheme_of
from export.tasks.tokens import _entities
from export.tasks.viterbi import Field, best_labels
from export.text_certificate import golden_answers, golden_questions
from scripts.random_checkpoint import write_tf1
from scripts.token_answers import BIO, CLASSIFIERS, SENTENCES
from tests.export.conftest import write_odd
from tests.export.tasks.conftest import answers, cases, planned_text, text_model, write_case
from tests.runtimes.operations import TEXT_ARCHIVE_OPS
from zoo.errors import BadArgument, BadConfig, WeightMismatch
from zoo.safety.form import bodies
from zoo.safety.loops import loops
from zoo.safety.written import MOST_LOOPED

TOLERANCE = 1e-5
CRF = "tokens: bert with a crf"


def assert_same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for output, value in theirs.items():
        expected = np.asarray(value)
        if expected.dtype.kind == "U" or not expected.size:
            assert [each.decode() for each in ours[output].tolist()] == expected.tolist(), output
        elif expected.dtype.kind == "i":
            assert ours[output].tolist() == expected.tolist(), output
        else:
            np.testing.assert_allclose(ours[output], expected, rtol=0, atol=TOLERANCE, err_msg=output)


@pytest.mark.parametrize("name", [*CLASSIFIERS, "bert with a crf"])
def test_entities_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    planned = planned_text(write_case(f"tokens: {name}", tmp_path / "saved"))
    labels = CLASSIFIERS[name.removesuffix(" with a crf")][2]
    task = planned.task
    assert (task.name, task.labels, task.crf) == ("token_classification", labels, name.endswith("crf"))
    assert task.scheme == ("plain" if "noun" in labels else "BIO")
    found = answers(text_model(planned), SENTENCES)
    for ours, theirs in zip(found, cases()[f"tokens: {name}"]["answers"], strict=True):
        assert_same(ours, theirs)
    if task.crf:  # what transformers' pipeline makes of the best labels of each token is something else
        best = [labels[int(np.argmax(row))] for each in found for row in each["logits"]]
        assert best != [label.decode() for each in found for label in each["token_label"]]


@pytest.mark.parametrize("name", ["tokens: electra", CRF])
def test_the_oracle_answers_the_same(name: str, tmp_path: Path) -> None:
    planned = planned_text(write_case(name, tmp_path / "saved"))
    golden, questions = golden_answers(planned), golden_questions(planned)
    for number, ours in enumerate(answers(text_model(planned), [text for (text,) in questions])):
        assert_same(ours, {output: golden[f"{number}/{output}"] for output in ours})


def test_odd_texts(tmp_path: Path) -> None:
    model = text_model(planned_text(write_case(CRF, tmp_path / "saved")))
    many, bad = "w1 " * 60, b"\xffw1\xfe \xe4\xbd\xa0\xe5"
    empty, over, invalid = answers(model, ["", many, bad])
    assert len(empty["label"]) == 0 and empty["logits"].shape == (2, 5) and len(empty["token_label"]) == 2
    assert len(over["token_label"]) == 40 and over["limit"].max(initial=0) <= 38 * 3
    whole = answers(model, ["w1 你"])[0]
    np.testing.assert_allclose(invalid["logits"], whole["logits"], atol=1e-6)
    assert invalid["token_label"].tolist() == whole["token_label"].tolist()
    assert {*zip(invalid["start"].tolist(), invalid["limit"].tolist(), strict=True)} <= {(1, 3), (5, 8), (1, 8)}
    nothing = model.answer(tf.constant([], tf.string), False)
    assert {output: value.shape[0] for output, value in nothing.items()} == dict.fromkeys(empty, 0)


# -- labels -----------------------------------------------------------------------------------------------------------

# scheme, labels of the tokens of one text, entities as (first token, last token, label)
JOINED: list[tuple[str, str, list[tuple[int, int, str]]]] = [
    ("BIO", "O B-X I-X I-X O I-X I-X B-X B-X I-Y", [(1, 3, "X"), (5, 6, "X"), (7, 7, "X"), (8, 8, "X"), (9, 9, "Y")]),
    ("BIO", "B-X I-X mark mark B-X", [(0, 1, "X"), (2, 3, "mark"), (4, 4, "X")]),
    (
        "BIOES",
        "B-X I-X E-X I-X S-X S-X I-X O E-X",
        [(0, 2, "X"), (3, 3, "X"), (4, 4, "X"), (5, 5, "X"), (6, 6, "X"), (8, 8, "X")],
    ),
    ("BMES", "B-X M-X E-X B-X E-X S-Y O O B-X", [(0, 2, "X"), (3, 4, "X"), (5, 5, "Y"), (8, 8, "X")]),
    ("BMES", "B E S B M E S", [(0, 1, ""), (2, 2, ""), (3, 5, ""), (6, 6, "")]),
    ("BIO", "B I I B B I", [(0, 2, ""), (3, 3, ""), (4, 5, "")]),
    (
        "plain",
        "N-1 N-1 O verb N-2 N-1 E-mail E-mail",
        [(0, 1, "N-1"), (3, 3, "verb"), (4, 4, "N-2"), (5, 5, "N-1"), (6, 7, "E-mail")],
    ),
]


@pytest.mark.parametrize(("scheme", "line", "expected"), JOINED)
def test_labels_are_joined_as_they_say(scheme: str, line: str, expected: list[tuple[int, int, str]]) -> None:
    of_tokens = line.split()
    labels = sorted({*of_tokens})
    assert scheme_of(labels) == scheme
    numbers = [labels.index(label) for label in of_tokens]
    chances = np.arange(1, len(numbers) + 1, dtype=np.float32) / 16
    task = SimpleNamespace(labels=labels, scheme=scheme)
    # The same text twice: nothing joins over the end of a text.
    places = tf.constant([*range(len(numbers))] * 2, tf.int64)
    found = _entities(
        SimpleNamespace(task=task),  # type: ignore[arg-type]
        tf.constant(numbers * 2),
        tf.constant([*chances] * 2),
        tf.constant([0] * len(numbers) + [1] * len(numbers), tf.int64),
        places,
        places + 1,
    )
    ours = {name: value.numpy().tolist() for name, value in found.items()}
    spans = list(
        zip(ours["start"], [limit - 1 for limit in ours["limit"]], map(bytes.decode, ours["label"]), strict=True)
    )
    assert spans == expected * 2 and ours["row"] == [0] * len(expected) + [1] * len(expected)
    np.testing.assert_allclose(ours["score"][: len(expected)], [chances[a : b + 1].mean() for a, b, _ in expected])
    logits = np.eye(len(labels))[[0, *numbers, 0]] * 9.0
    oracle = entities_of([(label, place, place + 1) for place, label in enumerate(of_tokens)], logits, labels)
    assert list(zip(oracle["start"], oracle["limit"] - 1, oracle["label"].tolist(), strict=True)) == expected


# -- conditional random fields ----------------------------------------------------------------------------------------


def test_the_best_path_is_that_of_all_paths() -> None:
    random = np.random.default_rng(3)
    lengths, classes = [6, 2, 4, 1], 3
    logits, between, first, last = (random.normal(0, 2, shape) for shape in ((4, 6, 3), (3, 3), 3, 3))
    field = Field(*(tf.constant(each, tf.float32) for each in (between, first, last)))
    found = [each.numpy() for each in best_labels(tf.constant(logits, tf.float32), tf.constant(lengths), field, 9)]
    for row, length in enumerate(lengths):
        paths = list(itertools.product(range(classes), repeat=length))
        scores = np.array(
            [
                first[path[0]]
                + last[path[-1]]
                + sum(logits[row, place, label] for place, label in enumerate(path))
                + sum(between[pair] for pair in itertools.pairwise(path))
                for path in paths
            ]
        )
        best = paths[int(np.argmax(scores))]
        chances = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        shares = [sum(chances[k] for k, path in enumerate(paths) if path[at] == label) for at, label in enumerate(best)]
        assert found[0][row, :length].tolist() == list(best)
        np.testing.assert_allclose(found[1][row, :length], shares, atol=1e-6)


def test_the_bound_of_its_loops_is_proven() -> None:
    """What zoo.safety asks of an archive, and no gradient, which would need operations that archives may not hold."""
    field = Field(tf.random.normal([3, 3]), tf.zeros(3), tf.zeros(3))
    decode = tf.function(lambda logits, lengths: best_labels(logits, lengths, field, 512), autograph=False)
    shapes = tf.TensorSpec([None, None, 3]), tf.TensorSpec([None], tf.int32)
    graph = MetaGraphDef(graph_def=decode.get_concrete_function(*shapes).graph.as_graph_def())
    for function in graph.graph_def.library.function:
        slim(function)
    assert [steps for _, _, steps in loops(graph)] == [512, 512]
    assert {node.op for _, nodes in bodies(graph) for node in nodes} <= TEXT_ARCHIVE_OPS
    logits = tf.random.normal([2, 4, 3])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        chances = decode(logits, tf.constant([4, 2]))[1]
    assert tape.gradient(chances, logits) is None


def test_long_texts_keep_their_digits() -> None:
    """Scores of 512 tokens add up to thousands, where float32 has no fourth digit behind the point."""
    random = np.random.default_rng(4)
    logits, between = random.normal(8, 3, (512, 7)), random.normal(0, 3, (7, 7))
    field = Field(tf.constant(between, tf.float32), tf.zeros(7), tf.zeros(7))
    decode = tf.function(lambda logits: best_labels(logits, tf.constant([512]), field, 512), autograph=False)
    numbers, chances = decode(tf.constant(logits[np.newaxis], tf.float32))
    pieces = [("", 0, 0)] * 510
    oracle = entities_of(pieces, logits, [str(number) for number in range(7)], (between,))
    assert [str(number) for number in numbers.numpy()[0]] == oracle["token_label"].tolist()
    np.testing.assert_allclose(chances.numpy()[0], oracle["token_score"], atol=TOLERANCE)


def test_a_crf_is_found_by_its_matrices(tmp_path: Path) -> None:
    """Under any name, with any class: a class of one's own, or none, has no word for the task."""
    folder = write_case(CRF, tmp_path / "saved")
    arrays, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())

    def saved(arrays: Mapping[str, np.ndarray], **settings: Any) -> Path:
        save_file(dict(arrays), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({**config, **settings}))
        return folder

    moved = {f"model.{name.replace('crf.', 'decoder.layer.')}": value for name, value in arrays.items()}
    task = planned_text(saved(moved, architectures=["BertCrfForNer"])).task
    assert (task.name, task.crf) == ("token_classification", True)
    assert task.reasons[1].startswith("labels by the CRF model.decoder.layer over all tokens")
    without = {name: value for name, value in arrays.items() if not name.startswith("crf.")}
    asked = planned_text(saved(without, architectures=None), task="token_classification")  # its head has two meanings
    assert (asked.task.name, asked.task.crf, asked.task.labels) == ("token_classification", False, BIO)
    two = {**arrays, **{f"b.{name}": value for name, value in arrays.items() if name.startswith("crf.")}}
    with pytest.raises(BadConfig, match=r"several CRFs over 5 labels: b\.crf\.transitions, crf\.transitions"):
        planned_text(saved(two), kind="text")
    odd = {**arrays, "crf.transitions": np.zeros((7, 7), np.float32)}  # with labels for the begin and the end
    with pytest.raises(WeightMismatch, match=r"crf\.transitions"):
        planned_text(saved(odd), kind="text")
    long = {**arrays, "bert.embeddings.position_embeddings.weight": np.zeros((MOST_LOOPED + 1, 32), np.float32)}
    saved(long, max_position_embeddings=MOST_LOOPED + 1)
    with pytest.raises(BadConfig, match="`--max-length 2048`"):
        planned_text(folder, kind="text", max_length=MOST_LOOPED + 1)


def test_heads_of_tf1(tmp_path: Path) -> None:
    """Their names are those of a classifier: the task is asked for, or a CRF of tf.contrib tells it."""
    arrays = write_odd(tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "bert_config.json").read_text())
    shapes = {name: array.shape for name, array in arrays.items()} | {"output_weights": (5, 32), "output_bias": (5,)}
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(BIO))
    for folder, more in (("plain", {}), ("crf", {"crf_loss/transition": (5, 5)})):
        (tmp_path / folder).mkdir()
        for file in (tmp_path / "odd").glob("*.*"):
            if file.suffix in (".json", ".txt"):
                (tmp_path / folder / file.name).write_bytes(file.read_bytes())
        write_tf1(tmp_path / folder, config, shapes | more)
    assert planned_text(tmp_path / "plain").task.name == "classification"
    assert planned_text(tmp_path / "plain", task="token_classification", labels=labels).task.scheme == "BIO"
    planned = planned_text(tmp_path / "crf", labels=labels)
    assert (planned.task.name, planned.task.crf, planned.task.labels) == ("token_classification", True, BIO)
    golden = golden_answers(planned)
    number = golden_questions(planned).index(("你好",))
    (ours,) = answers(text_model(planned), ["你好"])
    assert_same(ours, {output: golden[f"{number}/{output}"] for output in ours})


def test_options(tmp_path: Path) -> None:
    folder = write_case("tokens: bert", tmp_path / "saved")
    labels = tmp_path / "labels.txt"
    labels.write_text("O\nB-A\nE-A\n")
    with pytest.raises(BadConfig, match="3 labels, the head 5 classes"):
        planned_text(folder, labels=labels, kind="text")
    labels.write_text("O\nB-A\nE-A\nI-A\nS-A\n")
    planned = planned_text(folder, labels=labels)
    assert (planned.task.scheme, planned.encoder.config.pooler) == ("BIOES", "first_token")
    assert planned_text(folder, dtype="float16").task.scheme == "BIO"
    with pytest.raises(BadArgument, match="--dtype float16.*`--kind encoder`"):
        planned_text(folder, dtype="bfloat16")
    encoder = plan_export(EncoderRequest(folder, "odd", tmp_path, kind="encoder"))
    assert encoder.plan.left_out["head of a fine-tuned task"] == ("classifier.bias", "classifier.weight")
