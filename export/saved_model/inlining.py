"""Functions of a saved graph that are called once, put in the place of their call: each costs at every load.

Whatever TensorFlow loads as a function takes every variable as an argument. Those with which it saves and restores a
model are called from the graph that only runtimes without TensorFlow 2's loader read: there they cost nobody else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from tensorflow.python.framework import op_def_registry

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


class _Reference(NamedTuple):
    caller: Any  # a FunctionDef, or the GraphDef itself
    node: str
    is_call: bool  # not a branch or a loop's body


def inline_called_once(graph: Any) -> None:
    """Inline, in a MetaGraphDef, every function with one call.

    Those stay that users or gradients reach by name, and those that ask to be left alone (see tokenizer/graph.py).
    """
    library = graph.graph_def.library
    staying = {*graph.object_graph_def.concrete_functions}
    staying |= {gradient.gradient_func for gradient in (*library.gradient, *library.registered_gradients)}
    staying |= {function.signature.name for function in library.function if "_noinline" in function.attr}
    for name in [function.signature.name for function in library.function]:
        references = [] if name in staying else _references(graph.graph_def)[name]
        if len(references) == 1 and references[0].is_call:
            function = next(function for function in library.function if function.signature.name == name)
            caller, node, _ = references[0]
            if caller is not graph.graph_def:
                _into_function(function, caller, node)
            elif _fits_into_graph(function):
                _into_graph(function, caller, node)
            else:
                continue
            library.function.remove(function)


def _references(graph_def: Any) -> dict[str, list[_Reference]]:
    found = defaultdict(list)
    for caller, nodes in ((graph_def, graph_def.node), *((each, each.node_def) for each in graph_def.library.function)):
        for node in nodes:
            for attribute in node.attr.values():
                for function in (attribute.func, *attribute.list.func):
                    if function.name:
                        found[function.name].append(_Reference(caller, node.name, node.op in _CALLS))
    return found


def _into_function(function: Any, caller: Any, call_name: str) -> None:
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
    """Whether all in it has one output: places of outputs are counted otherwise in a graph than in a function."""
    counts = [len(op_def_registry.get(node.op).output_arg) for node in function.node_def]
    return len(function.signature.output_arg) == 1 and max(counts, default=0) <= 1


def _into_graph(function: Any, graph: Any, call_name: str) -> None:
    """Give the function's output by a node of the call's name, which waits for what the function runs."""
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
    """Return the nodes that run at every call, whatever is asked of it; a map's order is another each time."""
    return sorted(function.control_ret.values())


def _names_inside(function: Any, call: Any, spelled: Callable[[str], str]) -> Callable[[str], str]:
    """Return what the function's own names for outputs and nodes become beside its call."""
    given = dict(zip((argument.name for argument in function.signature.input_arg), call.input, strict=False))

    def new(name: str) -> str:
        if name.startswith("^"):
            node = given.get(name[1:], f"{call.name}/{name[1:]}")
            return f"^{node.partition(':')[0]}"
        return given[name] if name in given else spelled(f"{call.name}/{name}")

    return new


def _copies(function: Any, call: Any, inside: Callable[[str], str]) -> list[Any]:
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
