"""One graph in ONNX, one file: nodes, values and constants get the order and the names that the graph itself decides.

tf2onnx numbers what it makes by hashes that differ in every process. Two graphs that compute the same by the same nodes
become the same bytes here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np


def canonical(model: Any, kept: Collection[str]) -> Any:
    """Return a copy with the same inputs, outputs and numbers; constants named in `kept` keep their names.

    A node stands after what it reads, which stands in the order in which it is read; the first output comes first.
    "MatMul_7" is the seventh node of all. Equal nodes and equal constants are one; what no output needs is left out.
    """
    from onnx import ModelProto, numpy_helper

    graph = model.graph
    outputs = {each.name for each in graph.output}
    constants = {each.name: each for each in graph.initializer}
    renamed = {each.name: each.name for each in graph.input}
    made = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name, opset_import=model.opset_import)
    made.graph.name = "main"
    made.graph.input.extend(graph.input)
    made.graph.output.extend(graph.output)
    seen: dict[tuple[Any, ...], Any] = {}  # what a constant holds -> its new name; what a node computes -> the new node

    def constant(name: str) -> str:
        array = np.asarray(numpy_helper.to_array(constants[name]))
        holds = (name,) if name in kept else (array.dtype.str, array.shape, array.tobytes())
        if holds not in seen:
            seen[holds] = name if name in kept else f"constant_{len(made.graph.initializer) + 1}"
            made.graph.initializer.append(numpy_helper.from_array(array, seen[holds]))
        return str(seen[holds])

    for node in _in_order(graph):
        assert not any(each.HasField("g") for each in node.attribute), f"{node.op_type} holds a graph"
        for name in node.input:
            if name not in renamed:
                renamed[name] = constant(name) if name in constants else ""  # an input that may be left out
        attributes = sorted(each.SerializeToString(deterministic=True) for each in node.attribute)
        inputs = [renamed[name] for name in node.input]
        answers = [name if name in outputs else "" for name in node.output]
        computes = (node.domain, node.op_type, *attributes, *inputs, *answers, len(inputs))
        if computes not in seen:
            seen[computes] = added = made.graph.node.add(domain=node.domain, op_type=node.op_type, input=inputs)
            added.name = f"{node.op_type}_{len(made.graph.node)}"
            added.attribute.extend(sorted(node.attribute, key=lambda each: str(each.name)))
            places = range(len(answers))
            added.output.extend(answers[place] or f"{added.name}{f'.{place}' if place else ''}" for place in places)
        renamed |= zip(node.output, seen[computes].output, strict=True)
    return made


def _in_order(graph: Any) -> Iterator[Any]:
    """Yield the nodes that outputs need, each after the nodes that it reads."""
    makers: Mapping[str, Any] = {name: node for node in graph.node for name in node.output}
    waiting, done = [makers[each.name] for each in reversed(graph.output)], set[str]()
    while waiting:
        node = waiting[-1]
        before = [makers[name] for name in node.input if name in makers and name not in done]
        if before:
            waiting.append(before[0])
            continue
        waiting.pop()
        if done.isdisjoint(node.output):
            yield node
        done.update(node.output)
