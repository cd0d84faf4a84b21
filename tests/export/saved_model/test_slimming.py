"""Saved graphs: as few nodes as the model needs, and in the forms that TensorFlow's CPU optimiser fuses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.framework import function_pb2, types_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2

from export.saved_model.inlining import inline_called_once
from export.saved_model.slimming import slim
from tests.export.conftest import save_and_load, write_odd


def functions(directory: Path) -> dict[str, Any]:
    model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    return {function.signature.name: function for function in model.meta_graphs[0].graph_def.library.function}


def variables(function: Any) -> list[Any]:
    found = [argument for argument in function.signature.input_arg if argument.type == types_pb2.DT_RESOURCE]
    assert len(found) >= 5
    return found


def optimised(directory: Path) -> Counter[str]:
    """Return what TensorFlow runs for `serving_default`: how often each operation, fused ones with their parts."""
    tf1 = tf.compat.v1
    with tf1.Session(graph=tf.Graph()) as session:
        signature = tf1.saved_model.load(session, ["serve"], str(directory)).signature_def["serving_default"]
        feed = {tensor.name: np.ones([2, 8], np.int32) for tensor in signature.inputs.values()}
        metadata = tf1.RunMetadata()
        options = tf1.RunOptions(output_partition_graphs=True)
        session.run([tensor.name for tensor in signature.outputs.values()], feed, options, metadata)
    nodes = [node for graph in metadata.partition_graphs for node in graph.node]
    return Counter("+".join([node.op, *(part.decode() for part in node.attr["fused_ops"].list.s)]) for node in nodes)


@pytest.mark.parametrize("fused", ["GeluExact", "GeluApproximate"])
def test_products_are_fused_with_what_follows_them(fused: str, out: Path, tmp_path: Path) -> None:
    directory = out / "odd"
    if fused == "GeluApproximate":
        write_odd(tmp_path / "checkpoint")
        save_and_load(tmp_path / "checkpoint", tmp_path, activation="gelu_tanh", heads=())
        directory = tmp_path / "odd"
    found = optimised(directory)
    if not any("Mkl" in op for op in found):  # without oneDNN TensorFlow fuses biases alone: docs/use.md
        assert found["_FusedMatMul+BiasAdd"] == 3 * 4 + 1 and found["BiasAdd"] == found["MatMul"] == 0, found
        return
    product = "_MklNativeFusedMatMul"
    assert found[f"{product}+BiasAdd+{fused}"] == 3, found
    assert found["Erf"] == found["BiasAdd"] == found["MatMul"] == 0, found
    assert found["_MklFusedBatchMatMulV2+Mul+Add"] == 3, found  # scores, their scale and the mask
    assert found[f"{product}+BiasAdd+Add"] == 3, found  # with a residual


def test_nothing_is_saved_twice(out: Path) -> None:
    found = functions(out / "odd")
    encoders = [found["__inference_encode_0"], found["__inference_encode_1"]]
    for function in encoders:
        constants = [
            (node.attr["value"].tensor.SerializeToString(deterministic=True), tuple(node.input))
            for node in function.node_def
            if node.op == "Const"
        ]
        assert len(constants) == len(set(constants))
    # A form costs an argument a variable; what it computes itself is a handful of nodes.
    plain = [function for name, function in found.items() if "__inference__call" in name]
    assert len(plain) == 18 and min(len(function.node_def) for function in plain) == 1
    layers = [function for name, function in found.items() if "__inference__layer" in name]
    assert len(layers) == 2  # with dropout and without; all three layers call one of them
    assert all(sum(node.op == "MatMul" for node in function.node_def) == 4 for function in layers)
    # Variables tell what they are like; only who computes with one repeats it.
    assert not [argument.name for function in plain for argument in variables(function) if argument.handle_data]
    assert all(argument.handle_data for function in layers for argument in variables(function))
    # What saves and restores is no function: those who load functions would pay for it.
    assert not [name for name in found if "traced" in name]
    # Values are returned as they are, and shapes stated where TensorFlow cannot infer them again.
    nodes = [node for function in found.values() for node in function.node_def]
    assert not [node.name for function in plain for node in function.node_def if node.op == "Identity"]
    stated = {node.op for node in nodes if "_output_shapes" in node.attr}
    read = {"ReadVariableOp", "ResourceGather", "LookupTableFindV2", "LookupTableImportV2"}
    assert stated == read | {"StatefulPartitionedCall"}


def test_calls_say_nothing_of_the_machine(out: Path) -> None:
    model = saved_model_pb2.SavedModel.FromString((out / "odd/saved_model.pb").read_bytes())
    calls = [node for node in model.meta_graphs[0].graph_def.node if "Call" in node.op]
    assert calls
    calls += [node for each in functions(out / "odd").values() for node in each.node_def if "Call" in node.op]
    for call in calls:
        assert config_pb2.ConfigProto.FromString(call.attr["config_proto"].s) == config_pb2.ConfigProto(
            allow_soft_placement=True
        )


def test_shapes_that_are_not_stated_are_inferred(out: Path) -> None:
    """Gradients and fusions depend on them. A model of its own: gradients that other tests take add functions."""
    for form in hub.load(str(out / "odd")).__call__.concrete_functions:
        nested = [*form.graph._functions.values()]
        assert len(nested) == 2
        for function in nested:
            products = [node.outputs[0] for node in function.graph.get_operations() if node.type == "MatMul"]
            assert products and all(product.shape.rank == 2 and product.shape[1] for product in products)


def test_what_saves_and_restores_still_does(out: Path, tmp_path: Path) -> None:
    """By the loader of TensorFlow 1, which every runtime without Python has."""
    tf1 = tf.compat.v1
    loaded = tf.saved_model.load(str(out / "odd"))
    with tf1.Session(graph=tf.Graph()) as session:
        graph = tf1.saved_model.load(session, ["serve"], str(out / "odd"))
        signature, saver = graph.signature_def["serving_default"], graph.saver_def
        feed = {tensor.name: np.ones([2, 8], np.int32) for tensor in signature.inputs.values()}
        found = session.run({key: tensor.name for key, tensor in signature.outputs.items()}, feed)
        session.run(saver.save_tensor_name, {saver.filename_tensor_name: str(tmp_path / "again")})
    expected = loaded.signatures["serving_default"](**{key: tf.ones([2, 8], tf.int32) for key in signature.inputs})
    for key, array in found.items():
        np.testing.assert_allclose(array, expected[key], atol=1e-5)  # optimised otherwise
    first, again = (
        tf.train.load_checkpoint(str(path)) for path in (out / "odd/variables/variables", tmp_path / "again")
    )
    names = [name for name in again.get_variable_to_shape_map() if name.startswith("variables/")]
    assert len(names) == len(loaded.variables)
    for name in names:
        np.testing.assert_array_equal(again.get_tensor(name), first.get_tensor(name))


def calling(**attributes: Any) -> tuple[Any, Any]:
    """Return a function that calls another once, and a MetaGraphDef of both in which it has been inlined."""

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None])] * 2, experimental_attributes=attributes)
    def inner(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x > 0), [tf.shape(x)])]):
            return tf.identity(y), tf.unstack(tf.stack([x, x - y]))[1]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None])] * 2)
    def outer(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        one, other = inner(x + 1.0, y)
        return other, one * 2.0

    concrete = outer.get_concrete_function()
    graph = meta_graph_pb2.MetaGraphDef()
    graph.graph_def.library.CopyFrom(concrete.graph.as_graph_def().library)
    graph.graph_def.library.function.add().CopyFrom(concrete.function_def)
    graph.object_graph_def.concrete_functions[concrete.name.decode()].SetInParent()
    inline_called_once(graph)
    return concrete, graph


def test_inlining_keeps_what_is_computed() -> None:
    concrete, graph = calling()
    left = {function.signature.name: function for function in graph.graph_def.library.function}
    definition = left.pop(concrete.name.decode())
    assert not [name for name in left if "inner" in name]
    assert not [node for node in definition.node_def if "Call" in node.op]
    x, y = np.random.default_rng(0).random((2, 4), np.float32)
    for array, expected in zip(run(definition, x, y), concrete(tf.constant(x), tf.constant(y)), strict=True):
        np.testing.assert_array_equal(array, expected)
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(definition, -x - 1, y)


def test_what_asks_to_be_called_is_not_inlined() -> None:
    _, graph = calling(_noinline=True)
    assert [function for function in graph.graph_def.library.function if "inner" in function.signature.name]


def test_slimming_keeps_what_is_computed() -> None:
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([None, 3])])
    def function(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(x > 0), [tf.shape(x)])]):
            z = tf.identity(tf.identity(x)) * 2.0 + tf.identity(y) * 2.0
        flat = tf.reshape(z, tf.stack([tf.shape(x)[0] * 3])) + tf.reshape(y, tf.stack([tf.shape(x)[0] * 3]))
        return z, flat, tf.identity(x), tf.identity(z)

    concrete = function.get_concrete_function()
    definition = function_pb2.FunctionDef.FromString(concrete.function_def.SerializeToString())
    slim(definition)
    assert len(definition.node_def) < len(concrete.function_def.node_def) - 5
    x, y = np.random.default_rng(0).random((2, 4, 3), np.float32) + 0.1
    for one, other in zip(run(definition, x, y), concrete(tf.constant(x), tf.constant(y)), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(definition, -x, y)


def run(definition: Any, *arguments: np.ndarray) -> list[np.ndarray]:
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    graph = function_def_to_graph(definition)
    with tf.compat.v1.Session(graph=graph) as session:
        feed = {tensor.name: array for tensor, array in zip(graph.inputs, arguments, strict=True)}
        waits = [graph.get_operation_by_name(name) for name in definition.control_ret.values()]
        return session.run([graph.outputs, waits], feed)[0]
