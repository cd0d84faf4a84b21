"""The Node example on a model converted here: its own tests, with what Python gives for the same texts."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

EXAMPLE = ROOT / "examples/node"
HARD_TEXTS = ROOT / "tests/data/hard_texts.json"
LENGTH = 21

MISSING = [
    reason
    for reason, there in (
        ("no node here", shutil.which("node")),
        ("ONNXRUNTIME_NODE_INSTALL=skip npm ci in examples/node", (EXAMPLE / "node_modules").is_dir()),
        ("pip install 'bert-zoo[onnx]'", importlib.util.find_spec("tf2onnx")),
    )
    if not there
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"for the Node example: {'; '.join(MISSING)}")


def letters_of_made_up_pairs() -> set[str]:
    code = "import { madeUpPairs } from './lib/pairs.js'; console.log(JSON.stringify(madeUpPairs(2000)))"
    command = ["node", "--input-type=module", "-e", code]
    done = subprocess.run(command, cwd=EXAMPLE, check=True, capture_output=True, text=True)
    return {letter for row in json.loads(done.stdout) for letter in row["sentence1"] + row["sentence2"]}


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT for ONNX, its tokenizer.json, hard texts, and outputs of the archive it was made from."""
    import tensorflow as tf

    import zoo
    from export.options import EncoderRequest, TokenizerRequest
    from export.pipeline import export_encoder, export_tokenizer
    from scripts.layouts import bert, bert_config
    from scripts.random_checkpoint import write_tf1, write_vocabulary
    from zoo.command import main

    work, out = tmp_path_factory.mktemp("zoo"), tmp_path_factory.mktemp("node") / "fixture"
    hard = json.loads(HARD_TEXTS.read_text(encoding="utf-8"))["vocabulary"]
    vocabulary = [*hard, *sorted(letters_of_made_up_pairs() - {*hard})]  # ids of the hard texts stay what they are
    config = bert_config(2, 48, 4, 112, len(vocabulary), positions=64)
    write_tf1(work, config, bert(config), seed=3, scale=0.1)
    write_vocabulary(work / "vocab.txt", vocabulary)
    export_encoder(EncoderRequest(work, "small", work, heads=()))
    export_tokenizer(TokenizerRequest(work, "small_tokenizer", work))
    registry = ["--registry", str(work / "registry.json")]
    assert main(["convert", "small", "--to", "onnx", "--out", str(out), *registry]) == 0

    pairs = [["你好", "再见"], ["今天我们去公园吧？" * 3, "好啊"], ["可以", "没问题，一起去吧。" * 4], ["", "！"]]
    pairs += [["你好吗？" * 9, "不行，晚上要加班。" * 9]]
    packed = zoo.load("small_tokenizer", registry=registry[1]).preprocess(tf.constant(pairs), seq_length=LENGTH)
    outputs = zoo.load("small", registry=registry[1])(packed)
    assert np.max(np.sum(packed["input_mask"], axis=1)) == LENGTH
    expected = {
        "pairs": pairs,
        "length": LENGTH,
        "packed": {name: array.numpy().tolist() for name, array in packed.items()},
        "outputs": {name: outputs[name].numpy().tolist() for name in ("sequence_output", "pooled_output")},
    }
    (out / "expected.json").write_text(json.dumps(expected), encoding="utf-8")
    shutil.copy(HARD_TEXTS, out)
    return out


def test_the_example_s_own_tests(fixture: Path) -> None:
    environment = os.environ | {"ZOO_NODE_FIXTURE": str(fixture)}
    done = subprocess.run(["node", "--test"], cwd=EXAMPLE, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "# skipped 0" in done.stdout and "# pass 10" in done.stdout, done.stdout[-2000:]
