"""Text archives as directories of transformers and sentence-transformers: exported again, they are the same models.

What these libraries make of the files is in tests/runtimes/test_to_transformers.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.convert.text_to_transformers import planned_text as planned_files, write_model
from export.planning import PlannedText
from export.text_certificate import golden_answers, golden_questions
from scripts.random_checkpoint import write_tf1, write_vocabulary
from tests.export.conftest import VOCABULARY, write_odd
from tests.export.convert.test_convert import report
from tests.export.tasks.conftest import planned_text, text_archive, write_case
from zoo.archive.card import TextCard, read_card
from zoo.archive.digests import sha256_of
from zoo.command import main
from zoo.contract import CARD_FILE
from zoo.errors import Unsupported

# case -> the class in config.json
WRITTEN = {
    "classifier: bert of several labels": "BertForSequenceClassification",
    "classifier: bert of regression": "BertForSequenceClassification",
    "classifier: bert of one class": "BertForSequenceClassification",
    "classifier: albert": "AlbertForSequenceClassification",
    "classifier: electra": "ElectraForSequenceClassification",
    "classifier: distilbert": "DistilBertForSequenceClassification",
    "classifier: roformer": "RoFormerForSequenceClassification",
    "tokens: electra": "ElectraForTokenClassification",
    "span: bert": "BertForQuestionAnswering",
    "span: albert": "AlbertForQuestionAnswering",
    "masks: electra": "ElectraForMaskedLM",
    "masks: albert": "AlbertForMaskedLM",
    "vector: max and dense": "BertModel",
    "vector: cls and mean": "BertModel",
}


def asked(name: str) -> dict[str, Any]:
    return {"task": "fill_mask"} if name.startswith("masks") else {}


def source(name: str, folder: Path) -> PlannedText:
    return planned_text(write_case(name, folder), **asked(name))


def variables(planned: PlannedText) -> dict[str, np.ndarray]:
    encoder = planned.encoder
    return {each.ours: encoder.plan.read(each, encoder.checkpoint) for each in encoder.plan.variables}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_files_are_the_same_model(name: str, tmp_path: Path) -> None:
    planned, out = source(name, tmp_path / "in"), tmp_path / "out"
    ours = variables(planned)
    files = planned_files(planned.encoder if planned.encoder.heads else planned.alone, planned.task)
    out.mkdir()
    write_model(files, planned.task, ours.__getitem__, "float32", out)
    for file in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (out / file).write_bytes((tmp_path / "in" / file).read_bytes())
    said = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert said["architectures"] == [WRITTEN[name]]
    again = planned_text(out, **asked(name))
    assert again.task.model_copy(update={"reasons": []}) == planned.task.model_copy(update={"reasons": []})
    found = variables(again)
    assert found.keys() == ours.keys()
    assert [key for key in ours if not np.array_equal(ours[key], found[key])] == []


def test_heads_that_no_class_has_are_refused(tmp_path: Path) -> None:
    """RoBERTa is written as BertModel, whose classes read a pooler; its archive has none."""
    planned = source("classifier: roberta", tmp_path / "in")
    with pytest.raises(Unsupported, match="no class around BertModel has this head for classification.*--to onnx"):
        planned_files(planned.alone, planned.task)
    pooled = source("vector: mean", tmp_path / "vector")
    with pytest.raises(Unsupported, match="sentence-transformers has no pooling pooled.*--to onnx"):
        planned_files(pooled.alone, pooled.task.model_copy(update={"pooling": "mean+pooled"}))


def test_a_classifier_of_tf1_becomes_one_of_transformers(tmp_path: Path) -> None:
    arrays = write_odd(tmp_path / "odd")
    config = json.loads((tmp_path / "odd" / "bert_config.json").read_text())
    head = {"output_weights": (3, 32), "output_bias": (3,)}
    write_tf1(tmp_path / "tuned", config, {name: array.shape for name, array in arrays.items()} | head)
    write_vocabulary(tmp_path / "tuned" / "vocab.txt", VOCABULARY)
    planned = planned_text(tmp_path / "tuned")
    (tmp_path / "out").mkdir()
    ours = variables(planned)
    write_model(planned_files(planned.alone, planned.task), planned.task, ours.__getitem__, "float32", tmp_path / "out")
    again = planned_text(tmp_path / "out", vocab=tmp_path / "tuned" / "vocab.txt", cased=False)
    assert (again.task.name, again.task.labels, again.task.scores) == ("classification", planned.task.labels, "softmax")
    found = variables(again)
    assert found.keys() == ours.keys() and all(np.array_equal(ours[key], found[key]) for key in ours)


def test_an_archive_by_the_command(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """The golden answers, computed once more from the written directory, are those of the archive."""
    texts, made = text_archive(tmp_path_factory), tmp_path / "made"
    assert main(["convert", str(texts / "odd"), "--to", "transformers", "--out", str(made)]) == 0
    found, card = report(made), read_card(texts / "odd")
    assert isinstance(card, TextCard)
    assert found["comparison"]["differences"].keys() == {"logits", "scores", "label"} or not found["not_verified"]
    assert found["archive_sha256"] == sha256_of(texts / "odd" / CARD_FILE), "of a directory, that of its card"
    assert (found["name"], found["format"], found["quantized"]) == ("odd", "transformers", None)
    assert {"bert-zoo", "tensorflow", "safetensors"} <= found["versions"].keys()
    assert "loads as BertForSequenceClassification" in found["notes"] and found["task"]["max_length"] == 40
    settings = json.loads((made / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["model_max_length"] == 40 and not settings["split_special_tokens"]
    again = planned_text(made, vocab=made / "vocab.txt", cased=False)
    assert again.task.model_copy(update={"reasons": card.task.reasons}) == card.task
    assert golden_questions(again) == [tuple(text) for text in card.certificate.texts]
    computed = golden_answers(again)
    with np.load(texts / "odd" / "assets.extra" / "golden.npz") as file:
        assert file.files == [*computed]
        for key in file.files:
            if file[key].dtype.kind == "U":
                assert file[key] == computed[key]
            else:
                np.testing.assert_allclose(file[key], computed[key], rtol=0, atol=1e-7)
