"""Proves that only saving and restoring reach files, and only those whose name the person gives who saves or restores.

TensorFlow has many ways to call a function: by a node, by the name of an operation, by an object, by an attribute of
another function, as a gradient. So nothing is inferred from "nobody calls it". An operation of the saver is accepted in
two places alone:

- in the main graph, in a node that leads to the node which `saver_def` names for saving (or restoring), and to nothing
  else: no signature, no start-up node, no other node of the graph reads it;
- in a function that one such node calls, and that nothing else in the whole file names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from zoo.safety.form import bodies
from zoo.safety.objects import named_functions
from zoo.safety.operations import ALLOWED_OPS, SAVER_ROLES

# Operation that calls functions -> its attributes that name them.
_CALLS = {
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall"), ("f",)),
    **dict.fromkeys(("If", "StatelessIf"), ("then_branch", "else_branch")),
}
# Operation -> its inputs that are names of files.
_FILE_NAMES = {"SaveV2": (0,), "RestoreV2": (0,), "MergeV2Checkpoints": (0, 1), "ShardedFilename": (0,)}
_ENDINGS = frozenset({b".part", b"_temp/part"})  # what TensorFlow joins to the name that it is given
_MOST_STEPS = 20  # from an operation of the saver back to that name; TensorFlow takes five


class _Scope(NamedTuple):
    """A graph of nodes: the main graph, or a function with what its one caller gives it."""

    place: str
    nodes: Mapping[str, Any]
    given: Mapping[str, str]  # argument of the function -> what the caller's node reads for it
    caller: _Scope | None


def forbidden(graph: Any) -> list[str]:
    """Return the operations of a MetaGraphDef that are not allowed where they stand, and calls of absent functions."""
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    main = _Scope("its main graph", {node.name: node for node in graph.graph_def.node}, {}, None)
    roles = _roles(graph, main.nodes)
    savers = _savers(graph, library, roles, main)
    problems: set[str] = set()
    filename = _node(graph.saver_def.filename_tensor_name)
    for place, nodes in bodies(graph):
        role, scope = savers.get(place, (None, main))
        for node in nodes:
            if node.op not in ALLOWED_OPS:
                problems.add(f"{node.op} in {place} is not allowed")
            elif node.op in SAVER_ROLES:
                if SAVER_ROLES[node.op] != (roles.get(node.name) if place == main.place else role):
                    problems.add(f"{node.op} in {place} is not allowed")
                elif not _has_right_names(node, scope, filename):
                    problems.add(f"{node.op} in {place} names a file by itself")
            for function in _called(node):
                if function not in library:
                    problems.add(f"{place} calls {function}, which is not there")
    return sorted(problems)


def _savers(
    graph: Any, library: Mapping[str, Any], roles: Mapping[str, str], main: _Scope
) -> dict[str, tuple[str, _Scope]]:
    """Return function -> the part of the saver that alone runs it, and how it is called."""
    calls = [(name, node) for node in graph.graph_def.node if node.name in roles for name in _called(node)]
    if not calls:  # as in all archives since functions that are called once are inlined
        return {}
    named = _named(graph)
    return {
        name: (roles[node.name], _inside(library[name], node, main))
        for name, node in calls
        if name in library and named[name] == 1
    }


def _roles(graph: Any, nodes: Mapping[str, Any]) -> dict[str, str]:
    """Return node of the main graph -> 'saving' or 'restoring', for nodes that lead to that part of the saver alone."""
    inputs = {name: {_node(each) for each in node.input} for name, node in nodes.items()}
    saver = graph.saver_def
    parts = {
        "saving": _reached([_node(saver.save_tensor_name)], inputs),
        "restoring": _reached([_node(saver.restore_op_name)], inputs),
    }
    outside = inputs.keys() - parts["saving"] - parts["restoring"]
    outputs = {_node(each.name) for signature in graph.signature_def.values() for each in signature.outputs.values()}
    outputs.update(name for each in graph.collection_def.values() for name in each.node_list.value)  # run when loaded
    others = _reached(outputs | outside, inputs)
    both = parts["saving"] & parts["restoring"]
    return {name: role for role, part in parts.items() for name in part - both - others}


def _named(graph: Any) -> Counter[str]:
    """Return how often the file names each function, apart from its definition."""
    objects, library = graph.object_graph_def, graph.graph_def.library
    return Counter(
        [
            *objects.concrete_functions,
            *(name for each in objects.nodes for name in named_functions(each)),
            *(each.captured_tensor.concrete_function for each in objects.nodes if each.HasField("captured_tensor")),
            *(each.gradient_func for each in (*library.gradient, *library.registered_gradients)),
            *(name for _, nodes in bodies(graph) for node in nodes for name in (node.op, *_mentioned(node.attr))),
            *(name for function in library.function for name in _mentioned(function.attr)),
        ]
    )


def _called(node: Any) -> list[str]:
    """Return the functions that a node calls. Other attributes name none: zoo.safety.form refuses it."""
    return [node.attr[name].func.name for name in _CALLS.get(node.op, ())]


def _mentioned(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield every function that is called, and every text, which may name one too."""
    for value in attributes.values():
        kind = value.WhichOneof("value")
        if kind in ("func", "list"):
            for function in [value.func] if kind == "func" else value.list.func:
                yield function.name
                yield from _mentioned(function.attr)
        for text in [value.s] if kind == "s" else value.list.s if kind == "list" else ():
            yield text.decode("utf-8", "replace")


# -- names of files ---------------------------------------------------------------------------------------------------


def _has_right_names(node: Any, scope: _Scope, filename: str) -> bool:
    return all(
        place < len(node.input) and _is_name(node.input[place], scope, filename)
        for place in _FILE_NAMES.get(node.op, ())
    )


def _is_name(source: str, scope: _Scope, filename: str, depth: int = 0, is_part: bool = False) -> bool:
    """Return whether a tensor is the name that the saver is given, or made of it as TensorFlow does.

    Nothing but one list of names leads to several, so the steps are as few as the inputs of that list.
    """
    node, scope = _made_by(source, scope)
    if node is None or depth > _MOST_STEPS:
        return False
    if node.op == "Placeholder":
        return scope.caller is None and bool(node.name == filename)
    data = [each for each in node.input if not each.startswith("^")]
    is_list, separator = node.op == "Pack", node.attr["separator"].s if node.op == "StringJoin" else b""
    if separator or (is_list and is_part):
        return False
    names, endings = {
        "Identity": (data, []),
        "Pack": (data, []),
        "ShardedFilename": (data[:1], []),  # its other inputs count shards
        "StringJoin": (data[:1], data[1:]),
    }.get(node.op, ([], []))
    return (
        bool(names)
        and all(_is_name(each, scope, filename, depth + 1, is_part or is_list) for each in names)
        and all(_is_ending(each, scope) for each in endings)
    )


def _is_ending(source: str, scope: _Scope, is_choice: bool = True) -> bool:
    """Return whether a tensor is one of the constants that TensorFlow appends to a name, or a choice of them."""
    node, scope = _made_by(source, scope)
    if node is None:
        return False
    if node.op == "Select" and is_choice:
        return len(node.input) > 2 and all(_is_ending(each, scope, is_choice=False) for each in node.input[1:3])
    value = node.attr["value"].tensor
    is_single = len(value.string_val) == 1 and not value.tensor_content
    return node.op == "Const" and is_single and value.string_val[0] in _ENDINGS


def _made_by(source: str, scope: _Scope) -> tuple[Any, _Scope]:
    """Return the node that makes a tensor and the graph it stands in; of an argument, what the caller reads."""
    while scope.caller is not None and source in scope.given:
        source, scope = scope.given[source], scope.caller
    return scope.nodes.get(_node(source)), scope


def _inside(function: Any, call: Any, main: _Scope) -> _Scope:
    arguments = [argument.name for argument in function.signature.input_arg]
    given = dict(zip(arguments, (each for each in call.input if not each.startswith("^")), strict=False))
    return _Scope(function.signature.name, {node.name: node for node in function.node_def}, given, main)


# -- graphs -----------------------------------------------------------------------------------------------------------


def _node(tensor: str) -> str:
    """Return the node that the name of a tensor or of a control input means: 'call' of 'call:0' and '^call'."""
    return tensor.removeprefix("^").partition(":")[0]


def _reached(roots: Iterable[str], leads_to: Mapping[str, Iterable[str]]) -> set[str]:
    """Return what `roots` lead to, themselves included, as far as it is known."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in leads_to and name not in reached:
            reached.add(name)
            waiting += leads_to[name]
    return reached
