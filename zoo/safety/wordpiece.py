"""The model of FastWordpieceTokenizeWithOffsets: made again from the archive's own vocabulary, and compared.

tensorflow-text follows the offsets in the model without checking them, so other bytes could read or write beside it.
The operation reads its model from a tensor of bytes. Only constants may make bytes (zoo.safety.form and objects see
to that), so it is enough that every constant of bytes in the file is the right model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo.archive.wordpiece_model import model_bytes, vocabulary_sha256
from zoo.safety.form import bodies
from zoo.safety.operations import WORDPIECE_OP

_UINT8, _STRING = 4, 7  # tensorflow.DT_UINT8, DT_STRING


def odd_models(graph: Any, sha256: str) -> list[str]:
    """Return a problem when a MetaGraphDef holds another model than that of its vocabulary, whose digest is given."""
    models = {_content(tensor) for tensor in _constants(graph, _UINT8)}
    uses = any(node.op == WORDPIECE_OP for _, nodes in bodies(graph) for node in nodes)
    if not (models or uses):
        return []
    found = (_entries(tensor) for tensor in _constants(graph, _STRING))
    vocabulary = next((entries for entries in found if entries and vocabulary_sha256(entries) == sha256), None)
    if vocabulary is None:
        return [f"it holds a WordPiece model, and not the vocabulary {sha256[:12]}… that its card names"]
    try:
        expected = model_bytes(vocabulary)
    except Exception as error:  # whatever tensorflow-text raises about a vocabulary
        return [f"no WordPiece model can be made of its vocabulary ({error})"]
    return [] if models <= {expected} else ["its WordPiece model is not the one of its vocabulary"]


def _constants(graph: Any, dtype: int) -> Iterator[Any]:
    for _, nodes in bodies(graph):
        for node in nodes:
            if node.op == "Const" and node.attr["dtype"].type == dtype:
                yield node.attr["value"].tensor


def _content(tensor: Any) -> bytes | None:
    """Return the bytes of a uint8 tensor; None, which no model is, for any other way of writing them."""
    is_usual = len(tensor.tensor_shape.dim) == 1 and tensor.tensor_shape.dim[0].size == len(tensor.tensor_content)
    return bytes(tensor.tensor_content) if is_usual else None


def _entries(tensor: Any) -> list[str] | None:
    try:
        return [entry.decode("utf-8") for entry in tensor.string_val]
    except UnicodeDecodeError:
        return None
