"""Compares every field, attribute and name in saved_model.pb with the tables of zoo.safety.written.

The functions return one sentence for every problem, so that an error can list all problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from zoo.safety import written
from zoo.safety.operations import ALLOWED_OPS, MAIN_GRAPH_ONLY

_NAME = re.compile(r"\w+", re.ASCII)  # of a function; without blanks it cannot be "its main graph", see `bodies`
_UINT8 = 4  # tensorflow.DT_UINT8
_NESTED = frozenset({"list", "tensor", "func"})
_NEVER = "it holds {}, which the exporter never writes"
_GRADIENT = "_gradient_op_type"
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_PASSES_BYTES_ON = {("Const", "dtype"), *((op, "Tin") for op in ("If", "StatelessIf", *_CALLS))}


def odd_form(model: Any) -> list[str]:
    """Return every part of a SavedModel that would make TensorFlow load it in another way than our archives."""
    graphs = model.meta_graphs
    if len(graphs) != 1 or not graphs[0].HasField("object_graph_def"):
        return ["it was not saved by TensorFlow 2"]
    graph = graphs[0]
    problems = ["it reads asset files"] if graph.asset_file_def or "assets" in graph.collection_def else []
    if tuple(graph.meta_info_def.tags) != written.TAGS:
        problems.append(f"it has the tags {', '.join(map(repr, graph.meta_info_def.tags)) or 'none'}, not 'serve'")
    problems += [
        f"it holds the collection {name!r}" for name in sorted(graph.collection_def) if name != written.INIT_COLLECTION
    ]
    problems += [
        f"it holds the signature {name!r}" for name in sorted(graph.signature_def) if name not in written.SIGNATURES
    ]
    operations = sorted({op.name for op in graph.meta_info_def.stripped_op_list.op} - ALLOWED_OPS)
    problems += [f"it describes the operation {name!r}" for name in operations]
    return problems + _odd_init(graph)


def _odd_init(graph: Any) -> list[str]:
    """Return a problem if loaders of TensorFlow 1 would run another node on loading than the one that fills tables."""
    named = [*graph.collection_def[written.INIT_COLLECTION].node_list.value] if graph.collection_def else []
    if written.INIT_SIGNATURE in graph.signature_def:
        outputs = graph.signature_def[written.INIT_SIGNATURE].outputs
        named += [outputs[name].name for name in sorted(outputs)]
    ops = {node.name: node.op for node in graph.graph_def.node}
    is_right = len(set(named)) <= 1 and all(ops.get(name) == "NoOp" for name in named)
    return [] if is_right else [f"it runs {', '.join(map(repr, sorted(set(named))))} when it is loaded"]


# -- fields -----------------------------------------------------------------------------------------------------------


def odd_fields(message: Any) -> list[str]:
    """Return every field in a message, at any depth, that the exporter never sets. `odd_nodes` checks attributes.

    Changes the message: fields that TensorFlow's message types do not know are removed from it, since a copy of a large
    graph would take long.
    """
    found = _unwritten(message)
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        found["fields of a later TensorFlow"] = None
    return [_NEVER.format(name) for name in found]


def _unwritten(message: Any) -> dict[str, None]:
    found: dict[str, None] = {}  # a set that keeps the order
    _walk(message, found)
    return found


def _walk(message: Any, found: dict[str, None]) -> None:
    ways = _ways(message.DESCRIPTOR)
    for field, value in message.ListFields():
        way = ways.get(field.name)
        if way == "nothing":
            continue
        if way in ("type", "types"):
            for each in {*value} if way == "types" else {value}:
                if each not in written.TYPES:
                    found[f"the type {each}"] = None
        elif way is None:
            found[f"{_name(message.DESCRIPTOR)}.{field.name}"] = None
        elif way == "message":
            _walk(value, found)
        elif way == "messages":
            for part in value:
                _walk(part, found)
        elif way == "mapping":
            for part in value.values():
                _walk(part, found)


@cache
def _ways(descriptor: Any) -> Mapping[str, str]:
    """Return field -> how to check it ("message", "types", "nothing", …), for the fields that may be set."""
    allowed = written.FIELDS.get(_name(descriptor), ())
    return {field.name: _way(field) for field in descriptor.fields if field.name in allowed}


def _way(field: Any) -> str:
    kind = field.message_type
    if field.enum_type is not None and _name(field.enum_type) == "DataType":
        return "types" if field.is_repeated else "type"
    if kind is None or _name(kind) in written.OPAQUE:
        return "nothing"
    if not kind.GetOptions().map_entry:
        return "messages" if field.is_repeated else "message"
    inner = kind.fields_by_name["value"].message_type
    # `odd_nodes` checks attributes, because that depends on the node or function; ArgAttrs holds only attributes.
    return "nothing" if inner is None or inner.name in ("AttrValue", "ArgAttrs") else "mapping"


def _name(descriptor: Any) -> str:
    name: str = descriptor.full_name
    return name.removeprefix("tensorflow.")


# -- nodes and functions ----------------------------------------------------------------------------------------------


def odd_nodes(graph: Any) -> list[str]:
    """Return every problem of functions' names and of nodes' attributes and devices in a MetaGraphDef."""
    from tensorflow.python.framework import op_def_registry

    library = graph.graph_def.library
    problems, names = [], [function.signature.name for function in library.function]
    problems += [f"function {name} is there twice" for name in _repeated(names)]
    problems += [f"a function has the name {name!r}" for name in sorted({*names}) if not _NAME.fullmatch(name)]
    taken = sorted({name for name in names if name in ALLOWED_OPS or op_def_registry.get(name) is not None})
    problems += [f"function {name} has the name of an operation, whose place it would take" for name in taken]
    for gradient in library.registered_gradients:
        if not written.CUSTOM_GRADIENT.fullmatch(gradient.registered_op_type):
            problems.append(f"{gradient.gradient_func} is the gradient of {gradient.registered_op_type!r}")
    gradients = {each.registered_op_type: each.gradient_func for each in library.registered_gradients}
    found: dict[str, None] = {}
    for place, nodes in bodies(graph):
        problems += [f"node {name} of {place} is there twice" for name in _repeated(node.name for node in nodes)]
        for node in nodes:
            for problem in _odd_node(node, place, gradients):
                found[problem] = None
    for function in library.function:
        found |= dict.fromkeys(_beyond(function.attr, written.FUNCTION_ATTRIBUTES, function.signature.name))
        for argument in function.arg_attr.values():
            found |= dict.fromkeys(_beyond(argument.attr, written.ARGUMENT_ATTRIBUTES, function.signature.name))
    return [*problems, *found]


def bodies(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, nodes) for the main graph, called "its main graph", and for every function."""
    yield "its main graph", graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield function.signature.name, function.node_def


def _odd_node(node: Any, place: str, gradients: Mapping[str, str]) -> Iterator[str]:
    """Yield every problem of a node. `gradients` maps the custom gradients of the archive to their functions."""
    op = node.op
    if node.device not in written.DEVICES:
        yield f"{op} in {place} is placed on {node.device!r}"
    if op in MAIN_GRAPH_ONLY and place != "its main graph":
        yield f"{op} in {place} is not allowed"
    declared = _declared(op)
    for name, value in node.attr.items():
        kind, wanted = value.WhichOneof("value"), declared.get(name)
        if kind in _NESTED:
            yield from map(_NEVER.format, _unwritten(getattr(value, kind)))
            if kind == "list" and _UINT8 in value.list.type and (op, name) not in _PASSES_BYTES_ON:
                yield f"{op} in {place} makes bytes, which only constants may"
        elif kind == "type" and value.type == _UINT8 and (op, name) not in _PASSES_BYTES_ON:
            yield f"{op} in {place} makes bytes, which only constants may"
        elif kind == "type" and value.type not in written.TYPES:
            yield _NEVER.format(f"the type {value.type}")
        # A function as value of an attribute of another kind, or of an undeclared attribute, could redirect a call.
        is_right = _is_of_kind(kind, wanted or written.NODE_ATTRIBUTES.get(name))
        if name == _GRADIENT and is_right:
            text = value.s.decode("utf-8", "replace")
            is_right = op in written.GRADIENT_OPS and written.CUSTOM_GRADIENT.fullmatch(text) is not None
            if is_right and not (text in gradients or place in gradients.values()):
                yield f"{op} in {place} has the gradient {text}, which may be another model's"
        if not is_right:
            yield f"{op} in {place} has the attribute {name!r}, which the exporter never writes"
    if "config_proto" in node.attr:
        yield from _odd_config(node.attr["config_proto"].s)


def _is_of_kind(kind: str | None, wanted: str | None) -> bool:
    """Return whether a value has the wanted kind. Protobuf omits empty texts and lists, so None fits those."""
    return wanted is not None and (kind == wanted or (kind is None and wanted in ("s", "list")))


@lru_cache(maxsize=64)  # all calls of an archive hold the same config
def _odd_config(text: bytes) -> Sequence[str]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import config_pb2

    try:
        return odd_fields(config_pb2.ConfigProto.FromString(text))
    except DecodeError:
        return ["a call holds a config that cannot be read"]


def _beyond(attributes: Mapping[str, Any], allowed: Mapping[str, str], function: str) -> list[str]:
    """Return every attribute of a function, or of an argument, that `allowed` lacks or has with another kind."""
    problems = []
    for name in sorted(attributes):
        value = attributes[name]
        kind = value.WhichOneof("value")
        if not _is_of_kind(kind, allowed.get(name)):
            problems.append(
                f"{function} has the attribute {name!r}" + (f" of the kind {kind}" if name in allowed else "")
            )
        elif kind == "list":
            problems += map(_NEVER.format, _unwritten(value.list))
    return problems


@cache
def _declared(op: str) -> Mapping[str, str]:
    """Return attribute -> kind of value for the attributes that an operation declares, without REFUSED_ATTRIBUTES.

    Those of tensorflow-text's operations stand in a table, because it may not be imported yet.
    """
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op)
    attributes = definition.attr if definition is not None else ()
    return {
        each.name: written.KINDS.get(each.type, "list")
        for each in attributes
        if each.name not in written.REFUSED_ATTRIBUTES
    } | dict(written.TEXT_ATTRIBUTES.get(op, {}))


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
