"""Fewer nodes and attributes in a saved function: each costs time and memory at every load.

TensorFlow traces a constant, or the same piece of a shape, anew at every use, and puts Identity nodes around what it
saves, restores and returns. What is computed stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow.core.framework import types_pb2

# Of shapes and constants: stateless, and small wherever they are kept for longer.
_ALIKE = frozenset({"Const", "Pack", "Shape", "StridedSlice", "ExpandDims", "Fill", "Range"})

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


def slim(function: Any) -> None:
    """Remove from a FunctionDef, in place, nodes that repeat another or pass on what is there, and needless waits."""
    _forget_hints(function)
    _wait_once(function)
    while _replace(function, _passed_on(function), whole=True) or _replace(function, _repeated(function), whole=False):
        pass
    _drop_idle(function)


def _forget_hints(function: Any) -> None:
    """Drop names of the variables that a function is given, their shapes where it only passes them on, and results'.

    Users name what they give; whoever computes with a variable states its shape, as does the variable itself; and when
    a function is loaded, TensorFlow infers the shapes of all but what calls give and what resources hold.
    """
    resources = {each.name for each in function.signature.input_arg if each.type == types_pb2.DT_RESOURCE}
    for node in function.node_def:
        if node.op not in _CALLS and resources.isdisjoint(node.input):
            node.attr.pop("_output_shapes", None)
    used = {name for node in function.node_def if node.op not in _CALLS for name in node.input}
    arguments = function.signature.input_arg
    computes = any(each.name in used for each in arguments if each.handle_data)  # a table has no shape
    for number, argument in enumerate(arguments):
        if argument.name in resources:
            function.arg_attr[number].attr.pop("_user_specified_name", None)
            if not computes:
                argument.ClearField("handle_data")


def _wait_once(function: Any) -> None:
    """Drop, from every node, a wait for a NoOp that waits for nothing but what the node reads anyway."""
    waits = {node.name: [*node.input] for node in function.node_def if node.op == "NoOp"}
    for node in function.node_def:
        read = {f"^{name.partition(':')[0]}" for name in node.input if not name.startswith("^")}
        kept = [name for name in node.input if not (name[1:] in waits and read.issuperset(waits[name[1:]]))]
        node.input[:] = kept


def _drop_idle(function: Any) -> None:
    """Drop every NoOp that nobody waits for."""
    needed = _waited_for(function)
    nodes = [node for node in function.node_def if node.op != "NoOp" or node.name in needed]
    del function.node_def[:]
    function.node_def.extend(nodes)


def _passed_on(function: Any) -> dict[str, str]:
    """Return Identity node -> the argument or output that it passes on; those stay that return an argument.

    What is returned may wait for what runs at every call anyway: whoever calls waits for that too.
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
    return [name[1:] for name in node.input if name.startswith("^")]


def _repeated(function: Any) -> dict[str, str]:
    """Return node -> the earlier node that is the same."""
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
    """Return the nodes that others wait for, or that have to run before the function is done."""
    waited_for = {name[1:] for node in function.node_def for name in node.input if name.startswith("^")}
    return waited_for | {*function.control_ret.values()}


def _replace(function: Any, replaced: Mapping[str, str], whole: bool) -> bool:
    """Leave nodes out. `replaced` says what stands for one: another node, or, with `whole`, for its only output."""
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
