"""Archives in tfjs-node, whose libtensorflow is 2.9: `tf.node.loadSavedModel` with string tokens, or with texts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.runtimes.conftest import TEXT_ARCHIVES, save_texts
from tests.zoo.toyzoo import ToyZoo

MODULES = os.environ.get("ZOO_TFJS_NODE")
PROGRAM = Path(__file__).with_name("tfjs_node.cjs")
TOKENS = [["[CLS]", "你", "好", "[SEP]", "w7", "[SEP]"], ["w1", "吗", "##好", "[SEP]", "", ""]]
TEXTS = ["你好，北京！", "", "The HOTEL was bad? \U0001f600 Café unaffable"]
PAIRS = [["was?", "Café unaffable 12 a, The HOTEL"], ["你", "好，北京"]]

pytestmark = pytest.mark.skipif(
    not (MODULES and shutil.which("node")),
    reason="ZOO_TFJS_NODE names no directory with @tensorflow/tfjs-node in it; `scripts/test-runtimes` makes one",
)


def in_node(directory: Path, signature: str, name: str, strings: list[Any]) -> dict[str, Any]:
    command = ["node", PROGRAM, str(MODULES), directory, signature, name, json.dumps(strings)]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr
    assert "not in the op definition" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("version").startswith("2.9.")
    return found


def test_string_tokens_to_vectors(toy_zoo: ToyZoo) -> None:
    found = in_node(toy_zoo.unpacked(), "tokens", "args_0", TOKENS)
    expected = zoo.load(toy_zoo.unpacked())(tf.constant(TOKENS))
    for name in ("pooled_output", "sequence_output"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TEXT_ARCHIVES)
def test_texts_to_answers(name: str, tmp_path: Path) -> None:
    directory = save_texts(name, tmp_path)
    asked: list[Any] = PAIRS if name == "spans" else [f"{text}[MASK]" for text in TEXTS] if name == "masks" else TEXTS
    found = in_node(directory, "serving_default", "text", asked)
    expected = tf.saved_model.load(str(directory)).signatures["serving_default"](text=tf.constant(asked))
    assert found.keys() == expected.keys()
    for output, value in expected.items():
        if value.dtype == tf.string:
            assert np.array(found[output]).reshape(-1).tolist() == [each.decode() for each in value.numpy().reshape(-1)]
        else:
            np.testing.assert_allclose(found[output], value, rtol=0, atol=1e-5)
