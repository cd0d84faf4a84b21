"""Rewrites saved_model.pb in one form: the same model gives the same bytes, and older runtimes can load the file.

TensorFlow puts a counter of the process into function names (__inference_encode_123), so a file depends on everything
that the process traced before. TensorFlow also writes two things that TensorFlow 2.9, libtensorflow of that age and
tfjs-node do not know: the operation DisableCopyOnRead, for which they refuse the model, and the attribute debug_name,
for which they print a warning for every variable. Both are removed here.
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

# Older runtimes do not know these two, and no model here needs them. The attributes of gradients (grad_a, grad_x) are
# also new, but stay: kernels read them, and old runtimes ignore them.
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
        inline_called_once(graph)  # last, because the result depends on the order of functions, which is fixed now
    path.write_bytes(model.SerializeToString(deterministic=True))
    (directory / "fingerprint.pb").unlink(missing_ok=True)


def _drop_nodes(function: Any, op: str) -> None:
    """Remove every node of an operation from a FunctionDef, and every wait for such a node."""
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
    """Rename the arguments of an inner function whose names end in a number: `unknown_0` becomes `argument_2`.

    TensorFlow names captured values with numbers, some of which come from a counter of the process. Inner functions are
    called by position, so the new names harm nobody, and `_user_specified_name`, meant for users, is removed.
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
    """Remove the exporter's devices from the settings of calls; only `allow_soft_placement` stays.

    That flag lets a runtime without the wanted device place an operation on another one.
    """
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
    """Renumber every name that holds the process's counter: __inference_encode_123 and _207 become _0 and _1.

    Functions, gradients, tables and captured values are renumbered, each stem from 0 in the order of the counter.
    """
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
    """Return name -> the name with its rank as final number: {encode_123, encode_207} -> encode_0, encode_1."""
    stems = defaultdict(list)
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            stems[match[1]].append(int(match[2]))
    return {
        f"{stem}{number}": f"{stem}{rank}" for stem, found in stems.items() for rank, number in enumerate(sorted(found))
    }


def _rename(message: Message, names: Names, tables: Names) -> None:
    """Replace names in every string and map key of a message.

    A name of `names` is replaced where it is the whole string, a name of `tables` anywhere in a string. Tensors are
    left alone: their strings are words of the vocabulary, and such a word may look like a name.
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
    moved = {}  # all entries are taken out before any is put back: a new name may be the old name of another entry
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
