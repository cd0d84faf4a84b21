"""Lets a loop take no more steps than a constant in its condition says: the only kind of loop that the exporter writes.

A loop may go on while `count < limit` and something else holds. The count begins with a constant from 0, each step adds
1 to it, and the limit is a constant of at most MOST_LOOPED. The condition has to be one bool, which EnsureShape sees
to: TensorFlow takes any condition of several values for true, whatever the values are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from zoo.safety import written
from zoo.safety.form import bodies
from zoo.safety.operations import LOOP_OP


class _Function(NamedTuple):
    definition: Any
    nodes: Mapping[str, Any]

    def result(self, number: int) -> Any:
        """Return the node that makes a result, None if no node does."""
        return self.made_by(self.definition.ret[self.definition.signature.output_arg[number].name])

    def made_by(self, tensor: str) -> Any:
        """Return the node of a tensor "add:z:0"; None for an argument, whose name has no colon."""
        node, colon, _ = tensor.partition(":")
        return self.nodes.get(node) if colon else None

    def argument(self, tensor: str) -> int | None:
        """Return the number of the argument that a tensor is, None if it is another."""
        names = [each.name for each in self.definition.signature.input_arg]
        return names.index(tensor) if tensor in names else None


def odd_loops(graph: Any) -> list[str]:
    """Return a problem for every loop in a MetaGraphDef that may take more steps than MOST_LOOPED."""
    places = dict.fromkeys(place for place, _, steps in loops(graph) if steps is None)
    return [f"a loop in {place} may take more than {written.MOST_LOOPED:,} steps" for place in places]


def loops(graph: Any) -> Iterator[tuple[str, Any, int | None]]:
    """Yield the place and the node of every loop, and the most steps that it takes; None if no limit is proven."""
    library = {
        each.signature.name: _Function(each, {node.name: node for node in each.node_def})
        for each in graph.graph_def.library.function
    }
    for place, nodes in bodies(graph):
        constants = {node.name: node for node in nodes if node.op == "Const"}
        yield from ((place, node, _limit(node, constants, library)) for node in nodes if node.op == LOOP_OP)


def _limit(loop: Any, constants: Mapping[str, Any], library: Mapping[str, _Function]) -> int | None:
    condition, body = (library.get(loop.attr[name].func.name) for name in ("cond", "body"))
    counted, limit = _counted(condition) if condition else (None, 0)
    if body is None or counted is None or not counted < min(len(loop.input), len(body.definition.signature.output_arg)):
        return None
    begins = _number(constants.get(loop.input[counted].partition(":")[0]))
    step = body.result(counted)
    if begins is None or begins < 0 or step is None or step.op != "AddV2" or len(step.input) < 2:
        return None
    is_counted = body.argument(step.input[0]) == counted and _number(body.made_by(step.input[1])) == 1
    return limit if is_counted else None


def _counted(condition: _Function) -> tuple[int | None, int]:
    """Return the argument that a loop's condition compares with a limit, and the limit; None for any other form."""
    if len(condition.definition.signature.output_arg) != 1:
        return None, 0
    one = condition.result(0)
    if one is None or one.op != "EnsureShape" or not one.input or not _is_scalar(one.attr["shape"].shape):
        return None, 0
    both = condition.made_by(one.input[0])
    if both is None or both.op != "LogicalAnd" or len(both.input) < 2:
        return None, 0
    less = condition.made_by(both.input[0])
    if less is None or less.op != "Less" or len(less.input) < 2:
        return None, 0
    limit = _number(condition.made_by(less.input[1]))
    if limit is None or limit > written.MOST_LOOPED:
        return None, 0
    return condition.argument(less.input[0]), max(limit, 0)


def _is_scalar(shape: Any) -> bool:
    return not shape.unknown_rank and not shape.dim


def _number(node: Any) -> int | None:
    """Return the number that a constant holds, None if the node is no constant of one int32."""
    if node is None or node.op != "Const" or len(node.attr["value"].tensor.int_val) != 1:
        return None
    return int(node.attr["value"].tensor.int_val[0])
