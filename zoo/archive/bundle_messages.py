"""The messages in a checkpoint of TensorFlow, as TensorFlow declares them, made without importing TensorFlow.

Fields that are not declared here are skipped when a message is read.

Source: tensorflow/core/protobuf/tensor_bundle.proto, trackable_object_graph.proto;
tensorflow/core/framework/tensor_shape.proto, tensor_slice.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

_Field = tuple[str, int, str]  # name, number, type: of protobuf, or the name of a message; "*" in front: repeated

_MESSAGES: Mapping[str, tuple[_Field, ...]] = {
    "BundleHeaderProto": (("num_shards", 1, "INT32"), ("endianness", 2, "INT32")),
    "BundleEntryProto": (
        ("dtype", 1, "INT32"),
        ("shape", 2, "TensorShapeProto"),
        ("shard_id", 3, "INT32"),
        ("offset", 4, "INT64"),
        ("size", 5, "INT64"),
        ("crc32c", 6, "FIXED32"),
        ("slices", 7, "*TensorSliceProto"),
    ),
    "TensorShapeProto": (("dim", 2, "*Dim"), ("unknown_rank", 3, "BOOL")),
    "Dim": (("size", 1, "INT64"), ("name", 2, "STRING")),
    "TensorSliceProto": (("extent", 1, "*Extent"),),
    "Extent": (("start", 1, "INT64"), ("length", 2, "INT64")),
    "TrackableObjectGraph": (("nodes", 1, "*TrackableObject"),),
    "TrackableObject": (("attributes", 2, "*SerializedTensor"),),
    "SerializedTensor": (("full_name", 2, "STRING"), ("checkpoint_key", 3, "STRING")),
}
_HAS_PRESENCE = {("Extent", "length")}  # fields whose value 0 differs from a field that was not written
_PACKAGE = "zoo.bundle"


@cache
def message(name: str) -> Any:
    """Return the class of a message: message("BundleEntryProto").FromString(data).shape.dim."""
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def _file() -> Any:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="bundle.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = described.field.add(name=field, number=number)
            added.label = added.LABEL_REPEATED if kind.startswith("*") else added.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in _MESSAGES:
                added.type, added.type_name = added.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = getattr(added, f"TYPE_{kind}")
            if (name, field) in _HAS_PRESENCE:
                added.oneof_index = len(described.oneof_decl)
                described.oneof_decl.add(name=f"has_{field}")
    return file
