"""One graph in ONNX, one file: nodes, values and constants get the order and the names that the graph itself decides.

tf2onnx numbers what it makes by hashes that differ in every process. Two graphs that compute the same by the same nodes
become the same bytes here. A node can hold a graph, as the body of a Loop, which also reads what is around it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np


def canonical(model: Any, kept: Collection[str]) -> Any:
    """Return a copy with the same inputs, outputs and numbers; constants named in `kept` keep their names.

    A node stands after what it reads, which stands in the order in which it is read; the first output comes first.
    "MatMul_7" is the seventh node of all, "Loop_9.body.Add_1" the first of a graph that the ninth holds. Equal nodes
    without graphs and equal constants are one; what no output needs is left out. A graph in a node has no constants.
    """
    from onnx import ModelProto

    made = ModelProto(ir_version=model.ir_version, producer_name=model.producer_name, opset_import=model.opset_import)
    made.graph.name = "main"
    made.graph.input.extend(model.graph.input)
    made.graph.output.extend(model.graph.output)
    inputs, answers = ({each.name: each.name for each in values} for values in (made.graph.input, made.graph.output))
    _Copy(made.graph, kept).add_nodes(model.graph, made.graph, inputs, answers)
    return made


def read_by(node: Any) -> list[str]:
    """Return the names of all that a node reads: its inputs, and what graphs that it holds take from around them."""
    names = [*node.input]
    for _, graph in _held(node):
        own = {name for inner in graph.node for name in inner.output}
        own.update(each.name for each in (*graph.input, *graph.initializer))
        names += [name for inner in _in_order(graph) for name in read_by(inner) if name not in own]
    return names


class _Copy:
    """A graph that is being written, with all constants of the graphs that its nodes hold."""

    def __init__(self, whole: Any, kept: Collection[str]) -> None:
        self.whole, self.kept = whole, kept
        self.constants: dict[tuple[Any, ...], str] = {}  # what a constant holds -> its new name

    def add_nodes(
        self, graph: Any, made: Any, known: Mapping[str, str], answers: Mapping[str, str], within: str = ""
    ) -> None:
        """Add the nodes of a graph to `made`. `within` begins their names.

        `known` are new names of what the graph reads from outside, `answers` those of what it returns.
        """
        renamed, seen = dict(known), dict[tuple[Any, ...], Any]()  # what a node computes -> the new node
        constants = {each.name: each for each in graph.initializer}
        for node in _in_order(graph):
            for name in read_by(node):
                if name not in renamed:
                    renamed[name] = self.constant(constants[name]) if name in constants else ""  # may be left out
            held = _held(node)
            settings = sorted(
                (each for each in node.attribute if not each.HasField("g")), key=lambda each: str(each.name)
            )
            inputs, names = [renamed[name] for name in node.input], [answers.get(name, "") for name in node.output]
            numbers = [each.SerializeToString(deterministic=True) for each in settings]
            computes = (node.domain, node.op_type, *numbers, *inputs, *names, len(inputs))
            if held or computes not in seen:
                seen[computes] = added = made.node.add(domain=node.domain, op_type=node.op_type, input=inputs)
                added.name = f"{within}{node.op_type}_{len(made.node)}"
                added.attribute.extend(settings)
                places = range(len(names))
                added.output.extend(names[place] or f"{added.name}{f'.{place}' if place else ''}" for place in places)
                for name, inner in held:
                    self.add_graph(inner, added, name, renamed)
            renamed |= zip(node.output, seen[computes].output, strict=True)

    def add_graph(self, graph: Any, node: Any, name: str, known: Mapping[str, str]) -> None:
        """Let a node hold a graph as the attribute `name`; the sizes of what the graph takes and returns stay open."""
        from onnx import AttributeProto

        held = node.attribute.add(name=name, type=AttributeProto.GRAPH)
        made, within = held.g, f"{node.name}.{name}"
        made.name = within
        inputs = {each.name: f"{within}.input_{place}" for place, each in enumerate(graph.input, 1)}
        answers = {each.name: f"{within}.output_{place}" for place, each in enumerate(graph.output, 1)}
        made.input.extend(_open(each, inputs[each.name]) for each in graph.input)
        made.output.extend(_open(each, answers[each.name]) for each in graph.output)
        self.add_nodes(graph, made, {**known, **inputs}, answers, f"{within}.")

    def constant(self, given: Any) -> str:
        """Return the new name of a constant, which is added unless one holds the same."""
        from onnx import numpy_helper

        array, name = np.asarray(numpy_helper.to_array(given)), str(given.name)
        holds = (name,) if name in self.kept else (array.dtype.str, array.shape, array.tobytes())
        if holds not in self.constants:
            self.constants[holds] = name if name in self.kept else f"constant_{len(self.whole.initializer) + 1}"
            self.whole.initializer.append(numpy_helper.from_array(array, self.constants[holds]))
        return self.constants[holds]


def _open(value: Any, name: str) -> Any:
    """Return a value of the same type and rank, of any sizes, under another name."""
    from onnx import helper

    tensor = value.type.tensor_type
    return helper.make_tensor_value_info(name, tensor.elem_type, [None] * len(tensor.shape.dim))


def _with_makers(graph: Any) -> Any:
    """Return a copy of a held graph in which nodes make all that it returns, as ONNX wants it."""
    made = type(graph)()
    made.CopyFrom(graph)
    own = {name for node in graph.node for name in node.output}
    for each in made.output:
        if each.name not in own:
            made.node.add(op_type="Identity", input=[each.name], output=[f"{each.name}.returned"])
            each.name = made.node[-1].output[0]
    return made


def _held(node: Any) -> list[tuple[str, Any]]:
    """Return the graphs that a node holds, each with the name of its attribute, in the order of these names."""
    held = {str(each.name): each.g for each in node.attribute if each.HasField("g")}
    return [(name, _with_makers(held[name])) for name in sorted(held)]


def _in_order(graph: Any) -> Iterator[Any]:
    """Yield the nodes that outputs need, each after the nodes that it reads."""
    makers: Mapping[str, Any] = {name: node for node in graph.node for name in node.output}
    waiting, done = [makers[each.name] for each in reversed(graph.output)], set[str]()
    while waiting:
        node = waiting[-1]
        before = [makers[name] for name in read_by(node) if name in makers and name not in done]
        if before:
            waiting.append(before[0])
            continue
        waiting.pop()
        if done.isdisjoint(node.output):
            yield node
        done.update(node.output)
