"""Compares the objects in saved_model.pb, which TensorFlow turns into Python objects, with our exporter's objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo.safety import written

_ARGUMENTS = "FullArgSpec"
_LIST = "trackable_list_wrapper"
_UINT8 = 4  # tensorflow.DT_UINT8


def odd_objects(graph: Any) -> list[str]:
    """Return every problem of the objects in a MetaGraphDef and of the functions that they name."""
    objects = graph.object_graph_def
    library = {function.signature.name for function in graph.graph_def.library.function}
    found: dict[str, None] = {}
    for number, each in enumerate(objects.nodes):
        for problem in _odd_object(each, len(objects.nodes)):
            found[f"object {number} {problem}"] = None
        for name in named_functions(each):
            if name not in objects.concrete_functions:
                found[f"object {number} calls {name}, which the list of concrete functions lacks"] = None
    for name, function in objects.concrete_functions.items():
        if name not in library:
            found[f"its objects call {name}, which is not there"] = None
        if not all(0 <= node < len(objects.nodes) for node in function.bound_inputs):
            found[f"{name} captures an object that is not there"] = None
    for value in _structures(objects):
        for problem in _odd_structure(value):
            found[problem] = None
    return [*found]


def named_functions(each: Any) -> list[str]:
    """Return the functions that an object names."""
    kind = each.WhichOneof("kind")
    if kind == "function":
        return [*each.function.concrete_functions]
    return [each.bare_concrete_function.concrete_function_name] if kind == "bare_concrete_function" else []


def _odd_object(each: Any, count: int) -> Iterator[str]:
    kind = each.WhichOneof("kind")
    if kind == "user_object":
        kind = each.user_object.identifier
    names = written.CHILDREN.get(kind)
    if names is None:
        yield f"is of the kind {kind!r}, which the exporter never writes"
        return
    if each.registered_name not in written.REGISTERED.get(kind, {""}):
        yield f"is registered as {each.registered_name!r}"
    for child in (*each.children, *each.dependencies):
        if not names.fullmatch(child.local_name):
            yield f"has an attribute {child.local_name!r}, which the exporter never writes"
        if not 0 <= child.node_id < count:
            yield f"refers to object {child.node_id}, which is not there"
    if kind == _LIST and {child.local_name for child in each.children} != {*map(str, range(len(each.children)))}:
        yield "is a list with gaps"  # TensorFlow would fill a gap of any size


# -- the form of arguments and results --------------------------------------------------------------------------------


def _structures(objects: Any) -> Iterator[Any]:
    """Yield every StructuredValue that describes the arguments or results of a function."""
    for each in objects.nodes:
        for kind in ("function", "bare_concrete_function"):
            if each.HasField(kind):
                specification = getattr(each, kind).function_spec
                yield from (specification.fullargspec, specification.input_signature)
    for function in objects.concrete_functions.values():
        yield from (function.canonicalized_input_signature, function.output_signature)


def _odd_structure(value: Any) -> Iterator[str]:
    """Yield a problem for every part of a StructuredValue that would create an object of an unexpected class.

    Expected are lists, tuples, dicts, FullArgSpec, TensorSpec and RaggedTensorSpec.
    """
    kind = value.WhichOneof("kind")
    if kind == "type_spec_value":
        specification = value.type_spec_value
        if specification.type_spec_class != specification.RAGGED_TENSOR_SPEC:
            yield f"a function takes or gives {specification.type_spec_class_name!r}"
        if any(
            not 0 <= part.int64_value <= written.MOST_RAGGED for part in specification.type_state.tuple_value.values
        ):
            yield "a function takes or gives a tensor with very many ragged dimensions"
        yield from _odd_structure(specification.type_state)
    elif kind == "tensor_spec_value" and value.tensor_spec_value.dtype == _UINT8:
        yield "a function takes or gives bytes, which only constants may be"
    elif kind == "named_tuple_value":
        if value.named_tuple_value.name != _ARGUMENTS:
            yield f"a function takes or gives {value.named_tuple_value.name!r}"
        for pair in value.named_tuple_value.values:
            yield from _odd_structure(pair.value)
    elif kind in ("list_value", "tuple_value"):
        for part in getattr(value, kind).values:
            yield from _odd_structure(part)
    elif kind == "dict_value":
        for part in value.dict_value.fields.values():
            yield from _odd_structure(part)
