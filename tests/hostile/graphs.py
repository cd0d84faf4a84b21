"""Hands that change saved_model.pb: a function that writes a file, and ways to have somebody run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2

FLOAT, INT32, UINT8, STRING = types_pb2.DT_FLOAT, types_pb2.DT_INT32, types_pb2.DT_UINT8, types_pb2.DT_STRING
RESOURCE = types_pb2.DT_RESOURCE


def edit(directory: Path, change: Callable[[Any], object]) -> None:
    """Change a SavedModel's message in place."""
    path = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())


def function(graph: Any, name: str) -> Any:
    return next(each for each in graph.graph_def.library.function if each.signature.name == name)


def node(nodes: Any, name: str, op: str, *inputs: str, **attributes: Any) -> Any:
    """Add a node; attributes are given as types (int), bytes or lists of types."""
    added = nodes.add(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        if isinstance(value, bytes):
            added.attr[key].s = value
        elif isinstance(value, list):
            added.attr[key].list.type.extend(value)
        else:
            added.attr[key].type = value
    return added


def text(nodes: Any, name: str, *values: str, scalar: bool = False) -> Any:
    """Add a constant of strings."""
    added = node(nodes, name, "Const", dtype=STRING)
    tensor = added.attr["value"].tensor
    tensor.dtype = STRING
    tensor.string_val.extend(value.encode() for value in values)
    if scalar:
        tensor.tensor_shape.SetInParent()
    else:
        tensor.tensor_shape.dim.add(size=len(values))
    return added


def number(nodes: Any, name: str, value: float, dtype: int = FLOAT) -> Any:
    added = node(nodes, name, "Const", dtype=dtype)
    tensor = added.attr["value"].tensor
    tensor.dtype = dtype
    tensor.tensor_shape.SetInParent()
    if dtype == FLOAT:
        tensor.float_val.append(value)
    else:
        tensor.int_val.append(int(value))
    return added


def writing_function(graph: Any, name: str, path: Path, argument: int | None = None, listed: bool = False) -> Any:
    """Add a function that writes `path` with SaveV2 and returns its argument, or 1.0 when it takes none."""
    added = graph.graph_def.library.function.add()
    added.signature.name, added.signature.is_stateful = name, True
    kind = FLOAT if argument is None else argument
    added.signature.output_arg.add(name="y", type=kind)
    nodes = added.node_def
    text(nodes, "path", str(path), scalar=True)
    text(nodes, "names", "x")
    text(nodes, "slices", "")
    number(nodes, "one", 1.0)
    node(nodes, "save", "SaveV2", "path:output:0", "names:output:0", "slices:output:0", "one:output:0", dtypes=[FLOAT])
    source = "one:output:0"
    if argument is not None:
        added.signature.input_arg.add(name="x", type=argument)
        source = "x"
    node(nodes, "result", "Identity", source, "^save", T=kind)
    added.ret["y"] = "result:output:0"
    added.signature.control_output.append("save")
    added.control_ret["save"] = "save"
    if listed:
        signature = graph.object_graph_def.concrete_functions[name]
        signature.canonicalized_input_signature.tuple_value.values.add().tuple_value.SetInParent()
        signature.canonicalized_input_signature.tuple_value.values.add().dict_value.SetInParent()
        signature.output_signature.tensor_spec_value.dtype = kind
        signature.output_signature.tensor_spec_value.shape.SetInParent()
    return added


def add_object(graph: Any, parent: int, name: str) -> Any:
    """Add an object as the attribute `name` of another and return it."""
    objects = graph.object_graph_def.nodes
    added = objects.add()
    objects[parent].children.add(node_id=len(objects) - 1, local_name=name)
    return added


def function_with(graph: Any, op: str) -> Any:
    """Return a function of the graph that holds an operation."""
    return next(each for each in graph.graph_def.library.function if any(node.op == op for node in each.node_def))


def call_instead(graph: Any, op: str, name: str) -> None:
    """Have every `op`, of one float to another, be a call of the function `name`."""
    for body in graph.graph_def.library.function:
        calls = {each.name for each in body.node_def if each.op == op}
        for each in body.node_def:
            if each.name in calls:
                each.op = "StatefulPartitionedCall"
                each.attr.clear()
                each.attr["Tin"].list.type.append(FLOAT)
                each.attr["Tout"].list.type.append(FLOAT)
                each.attr["f"].func.name = name
            for place, source in enumerate(each.input):
                if source.partition(":")[0] in calls:
                    each.input[place] = source.partition(":")[0] + ":output:0"
        for key, source in body.ret.items():
            if source.partition(":")[0] in calls:
                body.ret[key] = source.partition(":")[0] + ":output:0"


def resource(graph: Any) -> Any:
    """Return the first object that is a table."""
    return next(each for each in graph.object_graph_def.nodes if each.HasField("resource"))


def set_child(parent: Any, name: str, number: int) -> None:
    """Have an attribute of an object mean another one."""
    for child in (*parent.children, *parent.dependencies):
        if child.local_name == name:
            child.node_id = number


def first(nodes: Any, op: str) -> Any:
    """Return the first node of an operation."""
    return next(each for each in nodes if each.op == op)
