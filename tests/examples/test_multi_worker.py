"""Two workers on loopback fine-tune like one process with the joint batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples import multi_worker
from tests.conftest import ROOT
from tests.examples.conftest import TOKENIZER
from tests.zoo.toyzoo import ToyZoo

STEPS = 6


@pytest.mark.slow
def test_two_workers_learn_like_one_process_with_the_joint_batch(toy_zoo: ToyZoo) -> None:
    script = ROOT / "examples/multi_worker.py"
    models = ["--encoder", "toy", "--tokenizer", "toy_tokenizer", "--registry", toy_zoo.registry]
    how = ["--steps", STEPS, "--batch-size", 12, "--max-length", 9, "--learning-rate", 1e-3]
    loud = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, str(script), *map(str, [*models, *how])],
        env=loud | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},  # tensorflow_hub asks for pkg_resources
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["workers"] == 2 and len(found["together"]) == len(found["alone"]) == STEPS
    assert found["difference"] <= 1e-4
    assert max(found["alone"]) - min(found["alone"]) > 0.01, "it learns nothing, so there is nothing to compare"


def test_a_tokenizer_of_another_vocabulary_is_refused_before_training(
    toy_zoo: ToyZoo, registry: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")  # it imports its neighbour
    models = ["--encoder", toy_zoo.archive(), "--tokenizer", registry.with_name(f"{TOKENIZER}.tar.gz")]
    assert multi_worker.main(["--alone", *map(str, models)]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(f"VocabularyMismatch: {TOKENIZER} does not belong to toy")
