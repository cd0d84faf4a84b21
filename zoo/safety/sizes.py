"""Bounds everything that can grow faster than the bytes of saved_model.pb: messages, names, calls of calls, outputs.

A bound is about ten times the number in the largest archive of this project. Without bounds, this check or TensorFlow's
loader could need minutes or gigabytes for a small file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from zoo.safety import written
from zoo.safety.form import bodies
from zoo.safety.loops import loops

_SMALL = 4 << 20  # bytes; a smaller file cannot hold enough messages to matter
_MOST_FIELDS = 2_000_000  # LaBSE's vocabulary of 501,153 entries takes 501,153 fields, or twice as many
_MOST_NESTED = 100  # depth of messages within messages; protobuf's own limit
_MOST = {"nodes": 50_000, "functions": 5_000, "objects": 20_000, "attributes of objects": 50_000}
_MOST_CHARACTERS = 1_000  # characters of a name
_MOST_DEPTH = 32  # depth of functions that call functions
_MOST_STEPS = 500_000  # nodes that one call runs; the nodes of a called function count at every call


def too_many_fields(content: bytes, message: Any) -> bool:
    """Return whether a message in bytes sets too many fields to parse it: two bytes can become 140 in memory."""
    return len(content) > _SMALL and _count(memoryview(content), message.DESCRIPTOR, 0, _MOST_NESTED) > _MOST_FIELDS


def _count(content: memoryview, descriptor: Any, count: int, depth: int) -> int:
    """Return `count` plus the number of fields in a message, at any depth. Stops counting beyond the limit."""
    parts = _parts(descriptor)
    place, end = 0, len(content)
    while place < end and count <= _MOST_FIELDS:
        count += 1
        tag, place = (content[place], place + 1) if content[place] < 128 else _varint(content, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(content, place)
        elif kind == 2:
            size, place = _varint(content, place)
            part = parts.get(tag >> 3)
            if part is not None and size:
                count = _count(content[place : place + size], part, count, depth - 1) if depth else _MOST_FIELDS + 1
            place += size
        else:
            place += {1: 8, 5: 4}.get(
                kind, end
            )  # nobody writes groups (kinds 3 and 4): stop counting, the parser decides
    return count


@cache
def _parts(descriptor: Any) -> Mapping[int, Any]:
    """Return field number -> message type, for the fields that are messages."""
    return {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """Return a number, stored with seven bits a byte, and the place behind it."""
    value = shift = 0
    while place < len(content):
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            break
    return 0, len(content)  # cut short: the parser will raise an error


def odd_sizes(graph: Any) -> list[str]:
    """Return a problem for everything in a MetaGraphDef that is too large for the other checks."""
    library, objects = graph.graph_def.library.function, graph.object_graph_def.nodes
    found = {
        "nodes": len(graph.graph_def.node) + sum(len(each.node_def) for each in library),
        "functions": len(library),
        "objects": len(objects),
        "attributes of objects": sum(len(each.children) + len(each.dependencies) for each in objects),
    }
    problems = [f"it holds {count:,} {kind}" for kind, count in found.items() if count > _MOST[kind]]
    problems = problems or [
        f"it holds a name of {len(name):,} characters, {name[:20]!r}…"
        for name in _names(graph)
        if len(name) > _MOST_CHARACTERS
    ]
    return problems


def _names(graph: Any) -> Iterator[str]:
    for place, nodes in bodies(graph):
        yield place
        for node in nodes:
            yield node.name
            yield node.op
            yield node.device
            yield from node.attr
    for each in graph.object_graph_def.nodes:
        yield each.registered_name
        yield each.user_object.identifier
        yield from (child.local_name for child in (*each.children, *each.dependencies))
    yield from graph.object_graph_def.concrete_functions
    yield from (*graph.collection_def, *graph.signature_def, *graph.meta_info_def.tags)


def odd_calls(graph: Any) -> list[str]:
    """Return a problem for calls of calls, and for nodes with very many outputs, that would keep TensorFlow busy."""
    return _odd_calls(graph) + _odd_outputs(graph)


def _odd_calls(graph: Any) -> list[str]:
    """Return a problem if functions call themselves, or call each other so often that TensorFlow would never finish."""
    places = dict(bodies(graph))
    calls = {place: _calls(nodes, places.keys()) for place, nodes in places.items()}
    for place, loop, most in loops(graph):
        for name in _called(loop):
            if name in places:
                calls[place][name] += (most or written.MOST_LOOPED) - 1
    steps: dict[str, int] = {}
    depths: dict[str, int] = {}
    try:
        for place in TopologicalSorter(calls).static_order():
            steps[place] = len(places[place]) + sum(times * steps[name] for name, times in calls[place].items())
            depths[place] = 1 + max((depths[name] for name in calls[place]), default=0)
            if steps[place] > _MOST_STEPS:
                return [f"a call of {place} runs more than {_MOST_STEPS:,} nodes"]
            if depths[place] > _MOST_DEPTH:
                return [f"{place} calls functions that call functions, more than {_MOST_DEPTH} deep"]
    except CycleError as error:
        return [f"{error.args[1][0]} calls itself"]
    return []


def _calls(nodes: Any, places: Collection[str]) -> Counter[str]:
    """Return function -> how often one run of these nodes calls it; a loop calls its own once here."""
    calls: Counter[str] = Counter()
    for node in nodes:
        calls[node.op] += 1  # a node can call a function by using its name as operation
        calls.update(_called(node))
    return Counter({name: times for name, times in calls.items() if name in places})


def _called(node: Any) -> list[str]:
    """Return the functions that the attributes of a node name."""
    return [value.func.name for value in node.attr.values() if value.WhichOneof("value") == "func"]


def _odd_outputs(graph: Any) -> list[str]:
    """Return a problem for every node with very many outputs, since TensorFlow processes outputs one by one."""
    from tensorflow.python.framework import op_def_registry

    problems: dict[str, None] = {}
    counting: dict[str, list[str]] = {}  # operation -> its attributes that state a number of outputs
    for place, nodes in bodies(graph):
        for node in nodes:
            if node.op not in counting:
                definition = op_def_registry.get(node.op)
                outputs = definition.output_arg if definition is not None else ()
                counting[node.op] = [each.number_attr for each in outputs if each.number_attr]
            for name in counting[node.op]:
                if not 0 <= node.attr[name].i <= written.MOST_OUTPUTS:
                    problems[f"{node.op} in {place} has {node.attr[name].i:,} outputs"] = None
    return [*problems]
