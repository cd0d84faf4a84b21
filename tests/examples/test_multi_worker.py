"""Two workers on loopback fine-tune like one process with the joint batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.zoo.toyzoo import ToyZoo

STEPS = 6


@pytest.mark.slow
def test_two_workers_learn_like_one_process_with_the_joint_batch(toy_zoo: ToyZoo) -> None:
    script = ROOT / "examples/multi_worker.py"
    models = ["--encoder", "toy", "--tokenizer", "toy_tokenizer", "--registry", toy_zoo.registry]
    how = ["--steps", STEPS, "--batch-size", 12, "--max-length", 9, "--learning-rate", 1e-3]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *map(str, [*models, *how])],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["workers"] == 2 and len(found["together"]) == len(found["alone"]) == STEPS
    assert found["difference"] <= 1e-4
    assert max(found["alone"]) - min(found["alone"]) > 0.01, "it learns nothing, so there is nothing to compare"
