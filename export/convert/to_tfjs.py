"""TensorFlow.js: a graph model, model.json and shards of its weights, run in Node if it finds @tensorflow/tfjs.

Written here, because the converter on PyPI (tensorflowjs 4.22) pins TensorFlow 2.19. The format is that of
tfjs-converter's `GraphModel`: the graph in protobuf's JSON, and the numbers of all constants in other files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.framework import types_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from export.convert.check import Batch, NoRuntime
from export.convert.rebuilding import PlainRoot
from zoo.errors import VerificationFailed

FILE = "model.json"
_SHARD = 4 << 20  # bytes; browsers keep files of this size in their caches
_DTYPES = {np.dtype(np.float32): "float32", np.dtype(np.int32): "int32", np.dtype(np.bool_): "bool"}
_SCRIPT = Path(__file__).with_name("tfjs_run.js")
_NO_PACKAGE = 3  # the script's exit code


# -- writing ----------------------------------------------------------------------------------------------------------


def write_tfjs(root: PlainRoot, directory: Path, samples: Sequence[Batch] | None) -> None:
    """Write model.json and group1-shard1of1.bin, …. `samples` is always None, see FORMATS."""
    frozen = convert_variables_to_constants_v2(root.encode)
    graph = frozen.graph.as_graph_def()
    weights = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in graph.node if node.op == "Const"}
    for node in graph.node:
        if node.op == "Const":
            node.attr["value"].tensor.ClearField("tensor_content")
    names = list(_shards(weights, directory))
    specs = [
        {"name": name, "shape": list(value.shape), "dtype": _DTYPES[value.dtype]} for name, value in weights.items()
    ]
    outputs = sorted(root.encode.structured_outputs)  # TensorFlow flattens a dict in this order
    model = {
        "format": "graph-model",
        "generatedBy": tf.__version__,
        "convertedBy": "bert-zoo",
        "signature": {
            "inputs": {tensor.name.partition(":")[0]: _signature(tensor) for tensor in frozen.inputs},
            "outputs": {name: _signature(t) for name, t in zip(outputs, frozen.outputs, strict=True)},
        },
        "userDefinedMetadata": {"structuredOutputKeys": outputs},
        "modelTopology": MessageToDict(graph),
        "weightsManifest": [{"paths": names, "weights": specs}],
    }
    (directory / FILE).write_text(json.dumps(model), encoding="utf-8")


def _signature(tensor: Any) -> dict[str, Any]:
    dimensions = [{"size": str(-1 if size is None else size)} for size in tensor.shape]
    dtype = types_pb2.DataType.Name(tensor.dtype.as_datatype_enum)
    return {"name": tensor.name, "dtype": dtype, "tensorShape": {"dim": dimensions}}


def _shards(weights: dict[str, np.ndarray], directory: Path) -> Iterator[str]:
    """Write the numbers of all constants one after another into shards of 4 MiB, and yield the shards' names."""
    data = b"".join(np.ascontiguousarray(value).tobytes() for value in weights.values())
    count = max(1, -(-len(data) // _SHARD))
    for number in range(count):
        name = f"group1-shard{number + 1}of{count}.bin"
        (directory / name).write_bytes(data[number * _SHARD : (number + 1) * _SHARD])
        yield name


# -- running ----------------------------------------------------------------------------------------------------------


def run_tfjs(directory: Path, asked: Sequence[Batch]) -> Sequence[Batch]:
    """Return what @tensorflow/tfjs computes for each batch in Node, which looks for it from the current directory.

    Raises NoRuntime if Node or the package is not installed, VerificationFailed if the model does not run.
    """
    return [
        {key: np.array(value["data"], value["dtype"]).reshape(value["shape"]) for key, value in outputs.items()}
        for outputs in ask_node(directory, asked)["answers"]
    ]


def ask_node(directory: Path, asked: Sequence[Batch]) -> dict[str, Any]:
    """Return the JSON of tfjs_run.js: answers, milliseconds of loading and of each batch. Raises like `run_tfjs`."""
    node = shutil.which("node")
    if node is None:
        raise NoRuntime("`node` is not installed")
    with tempfile.TemporaryDirectory() as work:
        questions, results = Path(work) / "asked.json", Path(work) / "found.json"
        rows = [{key: {"shape": a.shape, "data": a.ravel().tolist()} for key, a in batch.items()} for batch in asked]
        questions.write_text(json.dumps(rows), encoding="utf-8")
        command = [node, str(_SCRIPT), str(directory), str(questions), str(results)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == _NO_PACKAGE:
            raise NoRuntime("Node does not find @tensorflow/tfjs from here: `npm install @tensorflow/tfjs`")
        if done.returncode:
            raise VerificationFailed(f"the converted model does not run in Node: {done.stderr.strip()[-500:]}")
        found: dict[str, Any] = json.loads(results.read_bytes())
        return found
