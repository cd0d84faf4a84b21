"""Finds the vocabulary in the bytes of a saved_model.pb, without importing TensorFlow.

Source of the numbers: tensorflow/core/protobuf/saved_model.proto, meta_graph.proto; tensorflow/core/framework/
graph.proto, function.proto, node_def.proto, attr_value.proto, tensor.proto. Other fields are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from zoo.archive.messages import Field, message_classes
from zoo.archive.wordpiece_model import vocabulary_sha256

_MESSAGES: Mapping[str, tuple[Field, ...]] = {
    "SavedModel": (("meta_graphs", 2, "*MetaGraph"),),
    "MetaGraph": (("graph", 2, "Graph"),),
    "Graph": (("nodes", 1, "*Node"), ("library", 2, "Library")),
    "Library": (("functions", 1, "*Function"),),
    "Function": (("nodes", 3, "*Node"),),
    "Node": (("operation", 2, "STRING"), ("attributes", 5, "*Attribute")),
    "Attribute": (("key", 1, "STRING"), ("value", 2, "Value")),
    "Value": (("tensor", 8, "Tensor"),),
    "Tensor": (("texts", 8, "*BYTES"),),
}


def saved_vocabulary(content: bytes, sha256: str) -> list[str] | None:
    """Return the entries of the vocabulary with this sha256, None if no constant of a saved_model.pb holds them.

    The last text of a constant may be the empty one, which stands for padding in tables of string tokens.
    """
    from google.protobuf.message import DecodeError

    try:
        saved = _classes()["SavedModel"].FromString(content)
    except DecodeError:
        return None
    for texts in _constants(saved):
        try:
            entries = [text.decode("utf-8") for text in texts]
        except UnicodeDecodeError:
            continue
        for found in (entries, entries[:-1] if entries[-1] == "" else []):
            if found and vocabulary_sha256(found) == sha256:
                return found
    return None


def _constants(saved: Any) -> Iterator[Any]:
    for graph in (each.graph for each in saved.meta_graphs):
        for nodes in (graph.nodes, *(function.nodes for function in graph.library.functions)):
            for node in nodes:
                if node.operation == "Const":
                    yield from (each.value.tensor.texts for each in node.attributes if each.value.tensor.texts)


@cache
def _classes() -> dict[str, Any]:
    return message_classes("zoo.saved_vocabulary", "proto3", _MESSAGES)
