"""Proves that only saving and restoring reach files, and only files whose name the caller of the saver gives.

TensorFlow has many ways to call a function: by a node, by the name of an operation, by an object, by an attribute of
another function, as a gradient. So a function that nobody seems to call is not trusted for that. An operation of the
saver is accepted in two places only:

- in the main graph, if its output is used only for the node that `saver_def` names for saving (or restoring): no
  signature, no start-up node and no other node reads it;
- in a function that one such node calls, and that nothing else in the whole file names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from zoo.safety.form import bodies
from zoo.safety.objects import named_functions
from zoo.safety.operations import ALLOWED_OPS, LOOP_OP, SAVER_ROLES

# Operation that calls functions -> its attributes that name them.
_CALLS = {
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall"), ("f",)),
    **dict.fromkeys(("If", "StatelessIf"), ("then_branch", "else_branch")),
    LOOP_OP: ("cond", "body"),
}
# Operation -> the places of its inputs that are file names.
_FILE_NAMES = {"SaveV2": (0,), "RestoreV2": (0,), "MergeV2Checkpoints": (0, 1), "ShardedFilename": (0,)}
_ENDINGS = frozenset({b".part", b"_temp/part"})  # texts that TensorFlow appends to the given name
_MOST_STEPS = 20  # nodes between the given name and an operation of the saver; TensorFlow makes five


class _Scope(NamedTuple):
    """The nodes of the main graph, or of a function together with the inputs of its one caller."""

    place: str
    nodes: Mapping[str, Any]
    given: Mapping[str, str]  # argument of the function -> the input of the caller's node
    caller: _Scope | None


def forbidden(graph: Any) -> list[str]:
    """Return a problem for every operation of a MetaGraphDef in a wrong place, and every call of a missing function."""
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
                    problems.add(f"{node.op} in {place} uses a file name that its caller did not give")
            for function in _called(node):
                if function not in library:
                    problems.add(f"{place} calls {function}, which is not there")
    return sorted(problems)


def _savers(
    graph: Any, library: Mapping[str, Any], roles: Mapping[str, str], main: _Scope
) -> dict[str, tuple[str, _Scope]]:
    """Return function -> ("saving" or "restoring", its scope), for functions that only that part of the saver calls."""
    # A loop is no such call: its second step may get another file name than the first.
    callers = (node for node in graph.graph_def.node if node.name in roles and node.op != LOOP_OP)
    calls = [(name, node) for node in callers for name in _called(node)]
    if not calls:  # true for every recent archive: the exporter inlines functions that are called once
        return {}
    named = _named(graph)
    return {
        name: (roles[node.name], _inside(library[name], node, main))
        for name, node in calls
        if name in library and named[name] == 1
    }


def _roles(graph: Any, nodes: Mapping[str, Any]) -> dict[str, str]:
    """Return node -> 'saving' or 'restoring', for nodes of the main graph that are used for that and nothing else."""
    inputs = {name: {_node(each) for each in node.input} for name, node in nodes.items()}
    saver = graph.saver_def
    parts = {
        "saving": _reached([_node(saver.save_tensor_name)], inputs),
        "restoring": _reached([_node(saver.restore_op_name)], inputs),
    }
    outside = inputs.keys() - parts["saving"] - parts["restoring"]
    outputs = {_node(each.name) for signature in graph.signature_def.values() for each in signature.outputs.values()}
    outputs.update(
        name for each in graph.collection_def.values() for name in each.node_list.value
    )  # these run on loading
    others = _reached(outputs | outside, inputs)
    both = parts["saving"] & parts["restoring"]
    return {name: role for role, part in parts.items() for name in part - both - others}


def _named(graph: Any) -> Counter[str]:
    """Return function -> how many times the file names it, its definition not counted."""
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
    """Return the functions that a node calls. zoo.safety.form refuses functions in any other attribute."""
    return [node.attr[name].func.name for name in _CALLS.get(node.op, ())]


def _mentioned(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield every function that attributes call, and every text in them, because a text may be a function's name."""
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
    """Return whether a tensor is the file name given to the saver, or made of that name in TensorFlow's own way.

    Only a list of names (Pack) leads to several tensors, and a list inside a list is refused, so the number of steps is
    bounded by the inputs of one list.
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
    """Return whether a tensor is a constant that TensorFlow appends to a name, or a Select between two of them."""
    node, scope = _made_by(source, scope)
    if node is None:
        return False
    if node.op == "Select" and is_choice:
        return len(node.input) > 2 and all(_is_ending(each, scope, is_choice=False) for each in node.input[1:3])
    value = node.attr["value"].tensor
    is_single = len(value.string_val) == 1 and not value.tensor_content
    return node.op == "Const" and is_single and value.string_val[0] in _ENDINGS


def _made_by(source: str, scope: _Scope) -> tuple[Any, _Scope]:
    """Return the node that makes a tensor, and its scope. An argument is followed to the caller's input."""
    while scope.caller is not None and source in scope.given:
        source, scope = scope.given[source], scope.caller
    return scope.nodes.get(_node(source)), scope


def _inside(function: Any, call: Any, main: _Scope) -> _Scope:
    """Return the scope of a function that the node `call` of the main graph calls."""
    arguments = [argument.name for argument in function.signature.input_arg]
    given = dict(zip(arguments, (each for each in call.input if not each.startswith("^")), strict=False))
    return _Scope(function.signature.name, {node.name: node for node in function.node_def}, given, main)


# -- graphs -----------------------------------------------------------------------------------------------------------


def _node(tensor: str) -> str:
    """Return the name of the node in the name of a tensor or control input: 'call:0' and '^call' give 'call'."""
    return tensor.removeprefix("^").partition(":")[0]


def _reached(roots: Iterable[str], leads_to: Mapping[str, Iterable[str]]) -> set[str]:
    """Return `roots` and everything that they lead to, directly or over other names; unknown names are left out."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in leads_to and name not in reached:
            reached.add(name)
            waiting += leads_to[name]
    return reached
