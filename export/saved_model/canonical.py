"""saved_model.pb in one form: the same model gives the same bytes, and older runtimes can load them.

TensorFlow numbers its functions with a counter of the process, so what was traced before would show in the file.
It also writes what TensorFlow 2.9, libtensorflow of its age and tfjs-node on top of that do not know: an operation of
the saver, with which they refuse the model, and names for messages, of which they complain variable by variable.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.message import Message
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from export.saved_model.inlining import inline_called_once
from export.saved_model.slimming import slim

_NUMBERED = re.compile(r"(|.*[^0-9])(\d+)")  # stem and number of __inference_encode_123, PartitionedCall-123, 123
_TABLE = re.compile(r"key_value_init\d+")
Names: TypeAlias = Mapping[str, str]

# What older runtimes do not know and nothing that we save needs. Gradients' own hints (grad_a, grad_x) stay: they reach
# kernels, and old runtimes pass over them.
_UNKNOWN_OPERATION = "DisableCopyOnRead"  # not in 2.9; it only frees copies that training makes
_UNKNOWN_ATTRIBUTE = ("VarHandleOp", "debug_name")  # not in 2.12


def canonicalize(directory: Path) -> None:
    """Rewrite saved_model.pb of a directory in place and remove fingerprint.pb, which is random."""
    path = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        for function in graph.graph_def.library.function:
            _drop_nodes(function, _UNKNOWN_OPERATION)
            slim(function)
            if function.signature.name not in graph.object_graph_def.concrete_functions:
                _name_by_place(function)
            _forget_machine(function.node_def)
        _forget_machine(graph.graph_def.node)
        _drop_attribute(graph.graph_def.node, *_UNKNOWN_ATTRIBUTE)
        operations = graph.meta_info_def.stripped_op_list.op
        kept = [operation for operation in operations if operation.name != _UNKNOWN_OPERATION]
        del operations[:]
        operations.extend(kept)
        _rename_numbered(graph)
        inline_called_once(graph)  # now that functions are in an order of their own
    path.write_bytes(model.SerializeToString(deterministic=True))
    (directory / "fingerprint.pb").unlink(missing_ok=True)


def _drop_nodes(function: Any, op: str) -> None:
    dropped = {node.name for node in function.node_def if node.op == op}
    if not dropped:
        return
    kept = [node for node in function.node_def if node.name not in dropped]
    for node in kept:
        inputs = [name for name in node.input if name.removeprefix("^") not in dropped]
        del node.input[:]
        node.input.extend(inputs)
    del function.node_def[:]
    function.node_def.extend(kept)
    returned = [key for key, value in function.control_ret.items() if value in dropped]
    for key in returned:
        del function.control_ret[key]
    outputs = [name for name in function.signature.control_output if name not in returned]
    del function.signature.control_output[:]
    function.signature.control_output.extend(outputs)


def _name_by_place(function: Any) -> None:
    """Rename the arguments of an inner function that carry a number: a captured value's is of the process's counter.

    Nobody gives them by name, so the names that a user would read go.
    """
    for attributes in function.arg_attr.values():
        attributes.attr.pop("_user_specified_name", None)
    names = {
        argument.name: f"argument_{place}"
        for place, argument in enumerate(function.signature.input_arg)
        if _NUMBERED.fullmatch(argument.name)
    }
    for argument in function.signature.input_arg:
        argument.name = names.get(argument.name, argument.name)
    for node in function.node_def:
        node.input[:] = [
            f"^{names[name[1:]]}" if name[:1] == "^" and name[1:] in names else names.get(name, name)
            for name in node.input
        ]
    for key in [*function.ret]:
        function.ret[key] = names.get(function.ret[key], function.ret[key])


def _forget_machine(nodes: Iterable[Any]) -> None:
    """Drop what calls say of the devices of whoever exports, but for whether what one lacks may be placed elsewhere."""
    for node in nodes:
        if "config_proto" in node.attr:
            config = config_pb2.ConfigProto.FromString(node.attr["config_proto"].s)
            config = config_pb2.ConfigProto(allow_soft_placement=config.allow_soft_placement)
            node.attr["config_proto"].s = config.SerializeToString(deterministic=True)
            node.attr.pop("_collective_manager_ids", None)


def _drop_attribute(nodes: Iterable[Any], op: str, name: str) -> None:
    for node in nodes:
        if node.op == op:
            node.attr.pop(name, None)


def _rename_numbered(graph: Any) -> None:
    """Number from 0, in the order of the process's counter, whatever carries a number of that counter in its name."""
    library = graph.graph_def.library
    nodes = [*graph.graph_def.node, *(node for function in library.function for node in function.node_def)]
    attributes = [node.attr for node in nodes]
    attributes += [part.attr for function in library.function for part in function.arg_attr.values()]
    gradients = {attr["_gradient_op_type"].s.decode() for attr in attributes if "_gradient_op_type" in attr}
    functions = {function.signature.name for function in library.function}
    tables = {match[0] for node in nodes if (match := _TABLE.match(node.name))}
    _rename(graph, _ranked(functions) | _ranked(gradients), _ranked(tables))
    for key in ("shared_name", "_user_specified_name"):  # bare numbers name tables and captured values
        names = _ranked({attr[key].s.decode() for attr in attributes if key in attr and attr[key].s.isdigit()})
        for attr in attributes:
            if key in attr and attr[key].s.isdigit():
                attr[key].s = names[attr[key].s.decode()].encode()
    ordered = sorted(library.function, key=lambda function: function.signature.name)
    del library.function[:]
    library.function.extend(ordered)
    registered = sorted(library.registered_gradients, key=lambda gradient: gradient.registered_op_type)
    del library.registered_gradients[:]
    library.registered_gradients.extend(registered)


def _ranked(names: set[str]) -> dict[str, str]:
    """Return name -> the same with its final number replaced by its rank among the names of one stem."""
    stems = defaultdict(list)
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            stems[match[1]].append(int(match[2]))
    return {
        f"{stem}{number}": f"{stem}{rank}" for stem, found in stems.items() for rank, number in enumerate(sorted(found))
    }


def _rename(message: Message, names: Names, tables: Names) -> None:
    """Replace, in every string and map key of a message, `names` that are the whole of it and `tables` anywhere in it.

    Tensors are left alone: what looks like a name there is a word of the vocabulary.
    """
    if message.DESCRIPTOR.name == "TensorProto":
        return
    for field, value in list(message.ListFields()):
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _rename_map(value, field, names, tables)
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                _rename(part, names, tables)
        elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            if field.is_repeated:
                value[:] = [_new_name(item, names, tables) for item in value]
            else:
                setattr(message, field.name, _new_name(value, names, tables))


def _rename_map(mapping: Any, field: Any, names: Names, tables: Names) -> None:
    holds_messages = field.message_type.fields_by_name["value"].message_type is not None
    if holds_messages:
        for key in mapping:
            _rename(mapping[key], names, tables)
    moved = {}  # all taken out before any is put back: a new name may be the old one of another
    for key in list(mapping):
        if not holds_messages:
            moved[key] = _new_name(mapping.pop(key), names, tables)
        elif _new_name(key, names, tables) != key:
            moved[key] = type(mapping[key])()
            moved[key].CopyFrom(mapping[key])
            del mapping[key]
    for key, value in moved.items():
        if holds_messages:
            mapping[_new_name(key, names, tables)].CopyFrom(value)
        else:
            mapping[_new_name(key, names, tables)] = value


def _new_name(value: Any, names: Names, tables: Names) -> Any:
    if isinstance(value, bytes):
        new = names.get(value.decode("utf-8", "replace"))
        return value if new is None else new.encode()
    if not isinstance(value, str):
        return value
    return names.get(value) or _TABLE.sub(lambda match: tables[match[0]], value)
