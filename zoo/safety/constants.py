"""Checks constants: a constant states one type, one shape and one set of values, and the set is complete.

TensorFlow reads constants in several places (kernels, Python, Grappler), which may disagree about a constant that
contradicts itself. A constant of the type "resource" could name the variables and tables of other models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from zoo.safety import written
from zoo.safety.form import bodies

_TYPES = {name: number for number, name in written.TYPES.items()}
# Type -> the field for its values, and the bytes of a value in `tensor_content` (0: the exporter never uses that).
_VALUES = MappingProxyType(
    {
        _TYPES["float"]: ("float_val", 4),
        _TYPES["int32"]: ("int_val", 4),
        _TYPES["int64"]: ("int64_val", 8),
        _TYPES["uint8"]: ("int_val", 1),
        _TYPES["uint16"]: ("int_val", 2),
        _TYPES["bool"]: ("bool_val", 1),
        _TYPES["half"]: ("half_val", 2),
        _TYPES["bfloat16"]: ("half_val", 2),
        _TYPES["string"]: ("string_val", 0),
    }
)
_MOST_RANK = 8
_MOST_REPEATED = 1 << 22  # elements of all constants that state one value for all of their elements


def odd_constants(graph: Any) -> list[str]:
    """Return every problem of the constants in a MetaGraphDef."""
    found: dict[str, None] = {}
    repeated = 0
    for place, nodes in bodies(graph):
        for node in nodes:
            if node.op == "Const":
                for problem in _odd_constant(node):
                    found[f"the constant {node.name} in {place} {problem}"] = None
                size = _elements(node.attr["value"].tensor)
                repeated += size if size > 1 and _is_repeated(node.attr["value"].tensor) else 0
    if repeated > _MOST_REPEATED:
        found[f"its constants repeat values {repeated:,} times"] = None
    return [*found]


def _odd_constant(node: Any) -> Iterator[str]:
    tensor, dtype = node.attr["value"].tensor, node.attr["dtype"].type
    if tensor.dtype != dtype:
        yield "is of two types"
        return
    if dtype not in _VALUES:
        yield f"is of the type {dtype}, of which the exporter writes no constants"
        return
    shape = tensor.tensor_shape
    if shape.unknown_rank or len(shape.dim) > _MOST_RANK or any(each.size < 0 for each in shape.dim):
        yield "has no shape"
        return
    field, width = _VALUES[dtype]
    size, content, values = _elements(tensor), len(tensor.tensor_content), len(getattr(tensor, field))
    others = {each.name for each, _ in tensor.ListFields()} - {"dtype", "tensor_shape", "tensor_content", field}
    if others or (content and values):
        yield "has two sets of values"
    elif content != size * width if content else values != size and not (values == 1 and size):
        yield f"has {values or content} {'values' if values or not content else 'bytes'} for {size:,} elements"


def _elements(tensor: Any) -> int:
    return math.prod(max(0, each.size) for each in tensor.tensor_shape.dim[:_MOST_RANK])


def _is_repeated(tensor: Any) -> bool:
    return not tensor.tensor_content and any(len(value) == 1 for each, value in tensor.ListFields() if each.is_repeated)
