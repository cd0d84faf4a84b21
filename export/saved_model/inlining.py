"""Replaces the single call of a function by the function's own nodes, because every function makes loading slower.

TensorFlow 2 imports every function of the library on every load. The functions that save and restore variables are
called only from the top-level graph, which TensorFlow 2's loader ignores and TF1-style loaders (TensorFlow.js,
libtensorflow) execute. Inlined into that graph, they cost nothing in TensorFlow 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from tensorflow.python.framework import op_def_registry

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_GRAPH = ""  # in place of a function's name


class _Reference(NamedTuple):
    caller: str  # name of a function, or _GRAPH
    node: str
    is_call: bool  # false if the function is a branch of an If or the body of a loop


def inline_called_once(graph: Any) -> None:
    """Inline every function of a MetaGraphDef that is called exactly once.

    Functions that users or gradients reach by name stay, and functions marked `_noinline` (see tokenizer/graph.py).
    """
    library = graph.graph_def.library
    staying = {*graph.object_graph_def.concrete_functions}
    staying |= {gradient.gradient_func for gradient in (*library.gradient, *library.registered_gradients)}
    staying |= {function.signature.name for function in library.function if "_noinline" in function.attr}
    functions = {function.signature.name: function for function in library.function}
    references = _references(graph.graph_def)
    for name, function in [*functions.items()]:
        found = [] if name in staying else references[name]
        if len(found) == 1 and found[0].is_call:
            caller, node, _ = found[0]
            if caller != _GRAPH:
                _into_function(function, functions[caller], node)
            elif _fits_into_graph(function):
                _into_graph(function, graph.graph_def, node)
            else:
                continue
            del functions[name]
            del library.function[[each.signature.name for each in library.function].index(name)]
            del references[name]
            for each in references.values():
                each[:] = [_Reference(caller, f"{node}/{r.node}", r.is_call) if r.caller == name else r for r in each]


def _references(graph_def: Any) -> dict[str, list[_Reference]]:
    """Return function name -> every node of the graph and of its functions that names the function."""
    found = defaultdict(list)
    callers = [(_GRAPH, graph_def.node)]
    callers += [(each.signature.name, each.node_def) for each in graph_def.library.function]
    for caller, nodes in callers:
        for node in nodes:
            for attribute in node.attr.values():
                for function in (attribute.func, *attribute.list.func):
                    if function.name:
                        found[function.name].append(_Reference(caller, node.name, node.op in _CALLS))
    return found


def _into_function(function: Any, caller: Any, call_name: str) -> None:
    """Replace the node `call_name` of the function `caller` by the nodes of `function`."""
    call = next(node for node in caller.node_def if node.name == call_name)
    inside = _names_inside(function, call, lambda name: name)
    outputs = [inside(function.ret[output.name]) for output in function.signature.output_arg]
    waited_for = [f"{call_name}/{name}" for name in _runs(function)]

    def outside(name: str) -> list[str]:
        if name == f"^{call_name}":
            return [f"^{node}" for node in waited_for]
        node, _, place = name.partition(":")
        return [outputs[int(place.rpartition(":")[2])]] if node == call_name else [name]

    nodes = _copies(function, call, inside)
    for node in caller.node_def:
        if node.name != call_name:
            node.input[:] = [new for name in node.input for new in outside(name)]
            nodes.append(node)
    _replace_all(caller.node_def, nodes)
    for key in [*caller.ret]:
        (caller.ret[key],) = outside(caller.ret[key])
    for key in [key for key, node in caller.control_ret.items() if node == call_name]:
        del caller.control_ret[key]
        caller.signature.control_output.remove(key)
        for node in waited_for:
            caller.control_ret[node] = node
            caller.signature.control_output.append(node)


def _fits_into_graph(function: Any) -> bool:
    """Return whether the function has one output and none of its nodes has more than one.

    A graph counts the outputs of a node in one row ("node:2"), a function by output name ("node:indices:0"). The two
    numbers are surely the same only for a node with one output.
    """
    counts = [len(op_def_registry.get(node.op).output_arg) for node in function.node_def]
    return len(function.signature.output_arg) == 1 and max(counts, default=0) <= 1


def _into_graph(function: Any, graph: Any, call_name: str) -> None:
    """Replace the node `call_name` of the top-level graph by the nodes of `function`.

    An Identity with the name of the call gives the function's output, since others read the output by that name. The
    Identity waits for every node that the function always runs.
    """
    call = next(node for node in graph.node if node.name == call_name)

    def in_graph(name: str) -> str:
        node, _, place = name.partition(":")
        return f"{node}:{place.rpartition(':')[2]}" if place else node

    inside = _names_inside(function, call, in_graph)
    (output,) = function.ret.values()
    nodes = _copies(function, call, inside)
    given = nodes[0].__class__(name=call_name, op="Identity", input=[inside(output)])
    given.input.extend(f"^{call_name}/{name}" for name in _runs(function))
    given.attr["T"].type = function.signature.output_arg[0].type
    _replace_all(graph.node, [given if node.name == call_name else node for node in graph.node] + nodes)


def _runs(function: Any) -> list[str]:
    """Return the nodes that run at every call, sorted: the order of a protobuf map changes from run to run."""
    return sorted(function.control_ret.values())


def _names_inside(function: Any, call: Any, spelled: Callable[[str], str]) -> Callable[[str], str]:
    """Return a function that translates names inside `function` into names beside its call.

    An argument becomes the input that the call gives: "text" -> "Reshape:output:0". A node gets the name of the call in
    front: "Cast:y:0" -> "call/Cast:y:0", which `spelled` turns into a graph's notation, "call/Cast:0", where needed.
    """
    given = dict(zip((argument.name for argument in function.signature.input_arg), call.input, strict=False))

    def new(name: str) -> str:
        if name.startswith("^"):
            node = given.get(name[1:], f"{call.name}/{name[1:]}")
            return f"^{node.partition(':')[0]}"
        return given[name] if name in given else spelled(f"{call.name}/{name}")

    return new


def _copies(function: Any, call: Any, inside: Callable[[str], str]) -> list[Any]:
    """Return the nodes of a function under new names; every copy also waits for the nodes that the call waits for."""
    waits = [name for name in call.input if name.startswith("^")]
    copies = []
    for node in function.node_def:
        copy = type(node)()
        copy.CopyFrom(node)
        copy.name = f"{call.name}/{node.name}"
        copy.input[:] = [*map(inside, node.input), *waits]
        copies.append(copy)
    return copies


def _replace_all(nodes: Any, by: list[Any]) -> None:
    kept = [type(node).FromString(node.SerializeToString()) for node in by]
    del nodes[:]
    nodes.extend(kept)
