"""Answers to 2,000 hard texts of each task are those of transformers and sentence-transformers.

Skipped without ZOO_TRANSFORMERS_PYTHONS, and for those of its interpreters that lack torch or sentence-transformers.
Numbers are compared to 1e-5; labels, spans and tokens are equal.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.export.tasks.conftest import answers, planned_text, text_model, write_files

PYTHONS = [path for path in os.environ.get("ZOO_TRANSFORMERS_PYTHONS", "").split(":") if path]
pytestmark = pytest.mark.skipif(
    not PYTHONS, reason="ZOO_TRANSFORMERS_PYTHONS names no Python with transformers; `scripts/test-runtimes` makes some"
)
COUNT = 2000
TOLERANCE = 1e-5
_BATCH = 250
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
    model, found = text_model(planned), dict[str, float]()
    for width in (1, 2):
        numbers = [n for n, text in enumerate(case["texts"]) if isinstance(text, list) == (width == 2)]
        for start in range(0, len(numbers), _BATCH):
            batch = numbers[start : start + _BATCH]
            ours = answers(model, [case["texts"][number] for number in batch])
            for number, answer in zip(batch, ours, strict=True):
                expected = dict(case["answers"][number])
                if name.startswith("classifier"):
                    expected["label"] = planned.task.labels[int(np.argmax(expected["logits"]))]
                for output, value in _compared(answer, expected).items():
                    found[output] = max(found.get(output, 0.0), value)
    return found


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
