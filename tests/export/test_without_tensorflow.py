"""Whatever needs no arithmetic imports no TensorFlow, which alone takes three seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.readers import open_checkpoint
from export.readers.tf_bundle import TensorBundle
from tests.conftest import ROOT
from tests.export.conftest import write_odd, write_transformers
from zoo.errors import BadCheckpoint

CODE = """
import json, sys
from zoo.command import main
for arguments in json.loads(sys.argv[1]):
    code = main(arguments)
    print(json.dumps(["ran", *arguments, code, "tensorflow" in sys.modules]))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same model in both formats; one that lacks a layer; a directory of something else."""
    place = tmp_path_factory.mktemp("checkpoints")
    arrays = write_odd(place / "tf1", slots=True)
    write_transformers(place / "hf", arrays)
    write_transformers(place / "incomplete", {name: v for name, v in arrays.items() if "layer_2" not in name})
    (place / "other").mkdir()
    (place / "other" / "config.json").write_text(json.dumps({"hidden_size": 3}))
    return {file.name: file for file in place.iterdir()}


def test_commands(folders: dict[str, Path]) -> None:
    """In one process, so that whichever imports TensorFlow first is the one that fails."""
    export = ["--name", "n", "--out", "nowhere"]
    commands = {
        ("inspect", "tf1"): (0, []),  # of its heads it reads the numbers
        ("inspect", "hf"): (0, ["--json"]),
        ("inspect", "incomplete"): (2, []),
        ("inspect", "other"): (2, []),
        ("export", "tf1"): (0, [*export, "--dry-run"]),
        ("export", "incomplete"): (2, export),
        ("export", "hf"): (2, [*export, "--layers", "9"]),
        ("export-tokenizer", "other"): (2, export),
    }
    asked = [[command, str(folders[name]), *options] for (command, name), (_, options) in commands.items()]
    arguments = [sys.executable, "-c", CODE, json.dumps(asked)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    ran = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["ran"')]
    wanted = [["ran", *words, code, False] for words, (code, _) in zip(asked, commands.values(), strict=True)]
    assert ran == wanted, done.stderr
    assert "Traceback" not in done.stderr and not (ROOT / "nowhere").exists()


# -- TensorFlow's checkpoints are read without it ---------------------------------------------------------------------


def test_numpy_reads_what_tensorflow_does(folders: dict[str, Path]) -> None:
    checkpoint = open_checkpoint(folders["tf1"])
    theirs = tf.train.load_checkpoint(str(folders["tf1"] / "bert_model.ckpt"))
    assert checkpoint.shapes.keys() == theirs.get_variable_to_shape_map().keys()
    for name in checkpoint.shapes:
        np.testing.assert_array_equal(checkpoint.read(name), theirs.get_tensor(name), strict=True)


def test_every_type_of_number(tmp_path: Path) -> None:
    kinds = (tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.bool, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
    kinds += (tf.int8, tf.int16, tf.int32, tf.int64)
    values = {kind.name: tf.cast(tf.constant([0, 1, 2, 3, 4, 5]), kind) for kind in kinds}
    values |= {"text": tf.constant("你好\0"), "texts": tf.constant([["a" * 300, "", "b\0"]])}
    prefix = str(tmp_path / "model.ckpt")
    names, tensors = [*values], [*values.values()]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
    bundle = TensorBundle(tmp_path / "model.ckpt.index")
    for name, value in values.items():
        found = bundle.read(name)
        np.testing.assert_array_equal(found, np.asarray(value.numpy(), found.dtype), strict=True)
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes().replace("你好".encode(), "我好".encode()))
    with pytest.raises(BadCheckpoint, match="'text' of .* is damaged: its checksum is wrong"):
        bundle.read("text")
