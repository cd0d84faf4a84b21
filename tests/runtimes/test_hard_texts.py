"""Answers to 2,000 hard texts of each task are those of transformers and sentence-transformers.

Skipped without ZOO_TRANSFORMERS_PYTHONS, and for those of its interpreters that lack torch or sentence-transformers.
Numbers are compared to 1e-5; labels, spans and tokens are equal. A text that Hugging Face's tokenizer reads in another
way than BERT's own is left out: docs/tokenizer.md lists the differences. Characters that only one of the two drops
belong to other words, so the places of spans and entities are not compared in texts with such a character. Nor are
spans where the question holds [CLS]: transformers' pipeline takes every [CLS] but the first as a place for an answer.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from export.saved_model.text_model import TextModel
from tests.conftest import ROOT
from tests.export.tasks.conftest import answers, planned_text, text_model, write_files
from zoo.contract import INPUT_MASK, INPUT_WORD_IDS

PYTHONS = [path for path in os.environ.get("ZOO_TRANSFORMERS_PYTHONS", "").split(":") if path]
pytestmark = pytest.mark.skipif(
    not PYTHONS, reason="ZOO_TRANSFORMERS_PYTHONS names no Python with transformers; `scripts/test-runtimes` makes some"
)
COUNT = 2000
TOLERANCE = 1e-5
_BATCH = 250
_PLACED = {"answer", "start", "limit", "score"}
_DROPPED = {"Co", "Cn", "Mn", "Me", "Cf", "Cc"}  # private use, unassigned, marks, controls
_MOST_LEFT_OUT = 0.5  # of the texts, which are full of characters that tokenizers disagree about
_NEEDED = "import torch, transformers, sentence_transformers"


@pytest.mark.parametrize("python", PYTHONS)
def test_all_tasks(python: str, tmp_path: Path) -> None:
    if subprocess.run([python, "-c", _NEEDED], capture_output=True).returncode:
        pytest.skip("this Python lacks torch or sentence-transformers")
    file = tmp_path / "hard.json.gz"
    command = [python, "-m", "scripts.hard_answers", str(file), str(COUNT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-2000:]
    found = differences(file, tmp_path)
    print("\n".join(f"{name}: {values}" for name, values in found.items()))
    assert {name.partition(":")[0] for name in found} == {"classifier", "tokens", "span", "masks", "vector"}
    for name, values in found.items():
        assert max(values.values()) <= TOLERANCE, (name, values)


def differences(file: Path, work: Path) -> dict[str, dict[str, float]]:
    """Return for each case of scripts/hard_answers.py the largest difference of each output from ours."""
    cases = json.loads(gzip.decompress(file.read_bytes()))
    return {name: _difference(name, case, work / name.replace(": ", "_")) for name, case in cases.items()}


def _difference(name: str, case: dict[str, Any], folder: Path) -> dict[str, float]:
    task = {"task": "fill_mask"} if name.startswith("masks") else {}
    planned = planned_text(write_files(case, folder), **task)
    model, found, compared = text_model(planned), dict[str, float](), 0
    for width in (1, 2):
        numbers = [n for n, text in enumerate(case["texts"]) if isinstance(text, list) == (width == 2)]
        for start in range(0, len(numbers), _BATCH):
            batch = _with_the_same_ids(model, case, numbers[start : start + _BATCH])
            if not batch:
                continue
            compared += len(batch)
            ours = answers(model, [case["texts"][number] for number in batch])
            for number, answer in zip(batch, ours, strict=True):
                expected = dict(case["answers"][number])
                if name.startswith("classifier"):
                    expected["label"] = planned.task.labels[int(np.argmax(expected["logits"]))]
                text = case["texts"][number]
                has_dropped = any(unicodedata.category(char) in _DROPPED for char in "".join(text))
                if has_dropped or (name.startswith("span") and "[CLS]" in text[0]):
                    expected = {output: value for output, value in expected.items() if output not in _PLACED}
                for output, value in _compared(answer, expected).items():
                    found[output] = max(found.get(output, 0.0), value)
    assert compared > (1 - _MOST_LEFT_OUT) * len(case["texts"]), (name, compared)
    return found


def _with_the_same_ids(model: TextModel, case: dict[str, Any], numbers: list[int]) -> list[int]:
    packed = model.packed(tf.constant([case["texts"][number] for number in numbers]))
    rows = zip(packed[INPUT_WORD_IDS].numpy(), packed[INPUT_MASK].numpy(), strict=True)
    ours = [row[mask != 0].tolist() for row, mask in rows]
    limit = model.task.max_length  # of vectors it is shorter than that of the tokenizer
    theirs = [case["ids"][number] for number in numbers]
    is_same = [
        mine == other or (len(mine) == limit < len(other) and mine[:-1] == other[: limit - 1])
        for mine, other in zip(ours, theirs, strict=True)
    ]
    return [number for number, same in zip(numbers, is_same, strict=True) if same]


def _compared(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Return the difference of each output; infinity for other texts and places."""
    found = {}
    for output, value in theirs.items():
        expected = np.asarray(value)
        if expected.dtype.kind == "U" or ours[output].dtype.kind in "OSU":
            texts = [each.decode() for each in ours[output].reshape(-1)]
            found[output] = 0.0 if texts == expected.reshape(-1).astype(str).tolist() else np.inf
        elif expected.shape != ours[output].shape and expected.size + ours[output].size:
            found[output] = np.inf
        else:
            found[output] = float(np.abs(ours[output] - expected).max(initial=0.0))
    return found
