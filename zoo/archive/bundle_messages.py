"""The messages in a checkpoint of TensorFlow, as TensorFlow declares them, made without importing TensorFlow.

Fields that are not declared here are skipped when a message is read.

Source: tensorflow/core/protobuf/tensor_bundle.proto, trackable_object_graph.proto;
tensorflow/core/framework/tensor_shape.proto, tensor_slice.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from zoo.archive.messages import Field, message_classes

_MESSAGES: Mapping[str, tuple[Field, ...]] = {
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
    "TrackableObject": (("children", 1, "*ObjectReference"), ("attributes", 2, "*SerializedTensor")),
    "ObjectReference": (("node_id", 1, "INT32"), ("local_name", 2, "STRING")),
    "SerializedTensor": (("full_name", 2, "STRING"), ("checkpoint_key", 3, "STRING")),
}
_HAS_PRESENCE = {("Extent", "length")}  # fields whose value 0 differs from a field that was not written


def message(name: str) -> Any:
    """Return the class of a message: message("BundleEntryProto").FromString(data).shape.dim."""
    return _classes()[name]


@cache
def _classes() -> dict[str, Any]:
    return message_classes("zoo.bundle", "proto3", _MESSAGES, with_presence=_HAS_PRESENCE)
