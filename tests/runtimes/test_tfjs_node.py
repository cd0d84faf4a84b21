"""An encoder in tfjs-node, whose libtensorflow is 2.9: `tf.node.loadSavedModel` with string tokens, input `args_0`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo.toyzoo import ToyZoo

MODULES = os.environ.get("ZOO_TFJS_NODE")
PROGRAM = Path(__file__).with_name("tfjs_node.cjs")
TOKENS = [["[CLS]", "你", "好", "[SEP]", "w7", "[SEP]"], ["w1", "吗", "##好", "[SEP]", "", ""]]


@pytest.mark.skipif(
    not (MODULES and shutil.which("node")),
    reason="ZOO_TFJS_NODE names no directory with @tensorflow/tfjs-node in it; `scripts/test-runtimes` makes one",
)
def test_string_tokens_to_vectors(toy_zoo: ToyZoo) -> None:
    command = ["node", PROGRAM, str(MODULES), toy_zoo.unpacked(), json.dumps(TOKENS)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr
    assert "not in the op definition" not in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["version"].startswith("2.9.")
    expected = zoo.load(toy_zoo.unpacked())(tf.constant(TOKENS))
    for name in ("pooled_output", "sequence_output"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5)
