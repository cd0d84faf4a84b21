"""Makes classes of protobuf messages of a table of their fields: no generated code, and TensorFlow is not imported."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Field = tuple[str, int, str]  # name, number, type: of protobuf, or the name of a message; "*" in front: repeated


def message_classes(
    package: str,
    syntax: str,
    messages: Mapping[str, Sequence[Field]],
    defaults: Mapping[tuple[str, str], str] | None = None,
    with_presence: Collection[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return name -> class of each message, which may name others of the table.

        classes = message_classes("zoo.sizes", "proto3", {"Size": [("rows", 1, "INT64")]})
        classes["Size"].FromString(data).rows

    `syntax` is "proto2" or "proto3". `defaults` are (message, field) -> value as text. Of the fields in `with_presence`
    the value 0 differs from a field that was not written, which proto3 else does not tell. Imports protobuf.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax=syntax)
    for name, fields in messages.items():
        described = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = described.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if kind.startswith("*") else added.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in messages:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                added.type = getattr(added, f"TYPE_{kind}")
            if (name, field) in (defaults or {}):
                added.default_value = (defaults or {})[name, field]
            if (name, field) in with_presence:
                added.oneof_index = len(described.oneof_decl)
                described.oneof_decl.add(name=f"has_{field}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}
