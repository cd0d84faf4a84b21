"""ONNX: model.onnx by tf2onnx, run in onnxruntime."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.convert.check import Batch
from export.convert.drift import Drift
from export.convert.int8_choice import quantized_model
from export.convert.onnx_canonical import canonical
from export.convert.onnx_forms import for_onnx
from export.convert.onnx_runtime import answering
from export.convert.rebuilding import PlainRoot
from zoo.contract import INPUT_KEYS, ONNX_FILE

_OPSET = 17
_FREE = {"B": "batch", "T": "length", "M": "masks"}  # names of the sizes that are not fixed


def write_onnx(root: PlainRoot, directory: Path, samples: Sequence[Batch] | None) -> Drift | None:
    """Write model.onnx; with samples in int8, and return its drift on them."""
    import onnx

    weights = [*map(_name, root.encoder.weights)]
    model, drift = canonical(_with_weights(_graph(root), root), weights), None
    if samples is not None:
        model, drift = quantized_model(model, samples)
    onnx.save(model, directory / ONNX_FILE)
    return drift


def _graph(root: PlainRoot) -> Any:
    """Return the model with its weights as additional inputs.

    tf2onnx copies every constant of a graph many times: with its weights as constants, BERT-base needs more than 20 GB.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # tf2onnx asks for tables in a form that TensorFlow lacks
    encoder = for_onnx(root.encoder)

    def encode(*inputs: tf.Tensor) -> dict[str, Any]:
        given, weights = inputs[: len(INPUT_KEYS)], inputs[len(INPUT_KEYS) :]
        given_weights = replace(encoder, weights=dict(zip(encoder.weights, weights, strict=True)))
        return dict(root.answer(given_weights, *given))

    signature = [tf.TensorSpec([None, None], tf.int32, key) for key in INPUT_KEYS]
    signature += [tf.TensorSpec(each.shape, each.dtype, _name(ours)) for ours, each in encoder.weights.items()]
    function = tf.function(encode, autograph=False)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    _divide_before_erf(model.graph)
    return model


def _divide_before_erf(graph: Any) -> None:
    """Let erf get x / sqrt(2), by which engines know gelu. TensorFlow made a product of every division by a constant.

    gelu is the only user of erf here; if an activation multiplies by another number, division gives the same.
    """
    from onnx import numpy_helper

    constants = {each.name: each for each in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for product in [makers[node.input[0]] for node in graph.node if node.op_type == "Erf"]:
        factors = [name for name in product.input if name in constants]
        if product.op_type != "Mul" or not factors:
            continue
        [x] = [name for name in product.input if name not in factors]
        inverse = 1.0 / numpy_helper.to_array(constants[factors[0]])
        product.op_type, product.input[:] = "Div", [x, f"{factors[0]}_inverse"]
        if product.input[1] not in constants:
            constants[product.input[1]] = each = numpy_helper.from_array(inverse, product.input[1])
            graph.initializer.append(each)


def _with_weights(model: Any, root: PlainRoot) -> Any:
    """Return the model with its weights inside, and with names for the free dimensions: "batch", "length", "masks"."""
    from onnx import numpy_helper

    inputs = [value for value in model.graph.input if value.name in INPUT_KEYS]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for ours, variable in root.encoder.weights.items():
        model.graph.initializer.append(numpy_helper.from_array(variable.numpy(), _name(ours)))
    for value in (*model.graph.input, *model.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, axis in zip(dimensions, root.axes.get(value.name, "BT"), strict=True):
            if axis in _FREE:
                dimension.Clear()
                dimension.dim_param = _FREE[axis]
    return model


def _name(ours: str) -> str:
    return ours.replace("/", ".")


def run_onnx(directory: Path, asked: Sequence[Batch]) -> Sequence[Batch]:
    """Return what onnxruntime computes for each batch."""
    encode = load_onnx(directory)
    return [encode(batch) for batch in asked]


def load_onnx(directory: Path) -> Callable[[Batch], Batch]:
    """Return the loaded model as a function from inputs by name to outputs by name."""
    return answering(directory / ONNX_FILE)
