"""Removes nodes and attributes that a saved function does not need: each takes time and memory on every load.

TensorFlow makes a new node for every use of a constant or of a part of a shape, and puts Identity nodes around the
tensors that it saves, restores and returns. The function computes the same without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow.core.framework import types_pb2

# Equal nodes of these operations are merged. They are stateless, and their outputs (constants, shapes) are small, so it
# does not matter that a merged output stays in memory until its last use.
_ALIKE = frozenset({"Const", "Pack", "Shape", "StridedSlice", "ExpandDims", "Fill", "Range"})

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


def slim(function: Any) -> None:
    """Remove from a FunctionDef, in place: repeated nodes, Identity nodes, needless control inputs and attributes."""
    _forget_hints(function)
    _wait_once(function)
    while _replace(function, _passed_on(function), whole=True) or _replace(function, _repeated(function), whole=False):
        pass
    _drop_idle(function)


def _forget_hints(function: Any) -> None:
    """Remove four kinds of attributes that no load needs.

    `_output_shapes` of a node goes: TensorFlow infers shapes on loading. It stays on calls and on nodes that read a
    resource, whose shapes cannot be inferred. `_user_specified_name` of a variable argument goes: users do not pass
    variables by name. `handle_data`, the shape of a variable argument, goes if the function only passes variables on to
    other functions: the function that reads the variable states the shape, and so does the variable itself.
    `_num_original_outputs` of a loop goes: only gradients read it, and loops here compute with integers.
    """
    resources = {each.name for each in function.signature.input_arg if each.type == types_pb2.DT_RESOURCE}
    for node in function.node_def:
        if node.op not in _CALLS and resources.isdisjoint(node.input):
            node.attr.pop("_output_shapes", None)
        node.attr.pop("_num_original_outputs", None)
    used = {name for node in function.node_def if node.op not in _CALLS for name in node.input}
    arguments = function.signature.input_arg
    computes = any(each.name in used for each in arguments if each.handle_data)  # a table has no shape
    for number, argument in enumerate(arguments):
        if argument.name in resources:
            function.arg_attr[number].attr.pop("_user_specified_name", None)
            if not computes:
                argument.ClearField("handle_data")


def _wait_once(function: Any) -> None:
    """Remove the control input `^noop` of a node if all of the no-op's own inputs are data inputs of the node already.

    Example: `noop` waits for `^read`, and `add` has the inputs `read:value:0` and `^noop`. Then `^noop` goes.
    """
    waits = {node.name: [*node.input] for node in function.node_def if node.op == "NoOp"}
    for node in function.node_def:
        read = {f"^{name.partition(':')[0]}" for name in node.input if not name.startswith("^")}
        kept = [name for name in node.input if not (name[1:] in waits and read.issuperset(waits[name[1:]]))]
        node.input[:] = kept


def _drop_idle(function: Any) -> None:
    """Remove every NoOp that no node waits for."""
    needed = _waited_for(function)
    nodes = [node for node in function.node_def if node.op != "NoOp" or node.name in needed]
    del function.node_def[:]
    function.node_def.extend(nodes)


def _passed_on(function: Any) -> dict[str, str]:
    """Return Identity node -> its input, for every Identity that can be removed.

    An Identity can be removed if no node waits for it and it waits for none. One that returns a result may wait for
    nodes that run at every call (`control_ret`), since the caller waits for those too. One that returns an argument
    ("x", without a colon) stays.
    """
    needed, returned = _waited_for(function), {name.partition(":")[0] for name in function.ret.values()}
    runs = {*function.control_ret.values()}
    runs |= {node.name for node in function.node_def if node.op == "NoOp" and runs.issuperset(_waits(node))}
    return {
        node.name: node.input[0]
        for node in function.node_def
        if node.op == "Identity"
        and node.name not in needed
        and (runs.issuperset(_waits(node)) and ":" in node.input[0] if node.name in returned else not _waits(node))
    }


def _waits(node: Any) -> list[str]:
    """Return the nodes that a node waits for: its control inputs, without the "^"."""
    return [name[1:] for name in node.input if name.startswith("^")]


def _repeated(function: Any) -> dict[str, str]:
    """Return node -> the earlier node with the same operation, inputs and attributes."""
    needed = _waited_for(function)
    first: dict[tuple[object, ...], str] = {}
    found = {}
    for node in function.node_def:
        if node.op in _ALIKE:
            attributes = tuple((key, node.attr[key].SerializeToString(deterministic=True)) for key in sorted(node.attr))
            name = first.setdefault((node.op, node.device, tuple(node.input), attributes), node.name)
            if name != node.name and node.name not in needed:
                found[node.name] = name
    return found


def _waited_for(function: Any) -> set[str]:
    """Return the nodes that other nodes wait for, and those that the function runs at every call."""
    waited_for = {name[1:] for node in function.node_def for name in node.input if name.startswith("^")}
    return waited_for | {*function.control_ret.values()}


def _replace(function: Any, replaced: Mapping[str, str], whole: bool) -> bool:
    """Remove the nodes that are keys of `replaced`, and rewrite every reference to them. Return whether there were any.

    A value of `replaced` is another node, whose output of the same name is used ("Const" -> "Const_1"). With `whole`, a
    value is the full name of an output or argument, which takes the place of the node's only output.
    """
    if not replaced:
        return False

    def new(name: str) -> str:
        while (node := name.partition(":")[0]) in replaced:
            name = replaced[node] if whole else replaced[node] + name[len(node) :]
        return name

    nodes = [node for node in function.node_def if node.name not in replaced]
    for node in nodes:
        node.input[:] = [new(name) for name in node.input]
    for key in list(function.ret):
        function.ret[key] = new(function.ret[key])
    del function.node_def[:]
    function.node_def.extend(nodes)
    return True
