"""Text models of the checkpoints that transformers and sentence-transformers wrote, computed without saving them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from export.encoder.encoder import Encoder
from export.heads import HEADS
from export.options import EncoderRequest
from export.planning import PlannedText, plan_export
from export.saved_model.text_model import TextModel
from scripts.architectures import sibling_weights
from tests.once import made_once, packed_only
from tokenizer.core_graph import CoreGraph
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.contract import INPUT_KEYS

_GRAPHS: dict[tuple[bool, bool, str], CoreGraph] = {}  # most cases have one vocabulary
DATA = Path(__file__).parent.parent / "data"
FILES = ("text_answers.json.gz", "span_answers.json.gz", "token_answers.json.gz")
CLASSIFIER = "classifier: bert"


@cache
def cases() -> dict[str, Any]:
    """The cases of scripts/text_answers.py and scripts/span_answers.py."""
    return {
        name: case for file in FILES for name, case in json.loads(gzip.decompress((DATA / file).read_bytes())).items()
    }


def write_case(name: str, folder: Path) -> Path:
    """Write the directory of a case as its library saved it."""
    return write_files(cases()[name], folder)


def write_files(case: Mapping[str, Any], folder: Path) -> Path:
    for file, text in case["files"].items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    for file, shapes in case["weights"].items():
        arrays = sibling_weights({key: shape for key, shape in shapes.items() if "embed_positions" not in key})
        arrays |= sibling_weights({key: shape for key, shape in shapes.items() if "embed_positions" in key})
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, folder / file)
    return folder


def planned_text(folder: Path, **how: Any) -> PlannedText:
    planned = plan_export(EncoderRequest(folder, "texts", folder.parent / "out", **how))
    assert isinstance(planned, PlannedText)
    planned.plan.checked("texts")
    return planned


def text_archive(factory: pytest.TempPathFactory) -> Path:
    """Return a directory with CLASSIFIER as transformers saved it, its archive in out, unpacked in odd."""

    def make(folder: Path) -> None:
        write_case(CLASSIFIER, folder / "saved")
        with packed_only():
            assert main(["export", str(folder / "saved"), "--name", "odd", "--out", str(folder / "out")]) == 0
        unpack(folder / "out" / "odd.tar.gz", folder / "odd")

    return made_once(factory, "texts", make)


class _Bare:
    """The encoder alone, which a text model calls."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def encode(
        self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, training: bool, first_only: bool = False
    ) -> dict[str, object]:
        return self.encoder.encode(ids, mask, types, first_only)

    def mlm(self, inputs: Any, training: bool) -> Any:
        outputs = self.encode(*(inputs[key] for key in INPUT_KEYS), training)
        return HEADS["mlm"].compute(self.encoder, outputs, inputs)


def text_model(planned: PlannedText) -> TextModel:
    """The steps of a text archive over the weights of its checkpoint, without a graph that could be saved."""
    encoder, tokenizer = planned.encoder, planned.tokenizer
    weights = {each.ours: tf.constant(encoder.plan.read(each, encoder.checkpoint)) for each in encoder.plan.variables}
    key = (tokenizer.lower_case, planned.special_tokens_in_text, tokenizer.vocabulary.sha256)
    if (graph := _GRAPHS.get(key)) is None:
        graph = _GRAPHS[key] = CoreGraph(tokenizer.vocabulary, tokenizer.rules, planned.special_tokens_in_text)
    head = {name: weight for name, weight in weights.items() if name.startswith("task/")}
    return TextModel(planned.task, graph, _Bare(Encoder(encoder.config, weights)), head)  # type: ignore[arg-type]


def answers(model: TextModel, texts: list[Any]) -> list[dict[str, Any]]:
    """The answers to texts in one batch, a dict for each; strings decoded."""
    found = model.answer(tf.constant(texts, tf.string), False)
    rows = {name: [np.asarray(row) for row in value] for name, value in found.items()}
    return [{name: rows[name][number] for name in rows} for number in range(len(texts))]
