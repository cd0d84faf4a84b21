"""Makes the model of FastWordpieceTokenizeWithOffsets again, from the archive's vocabulary and card; compares bytes.

tensorflow-text follows the offsets in the model without checking them, so a wrong model could make it read or write
memory outside of the model. The operation reads the model from a tensor of the type uint8. Only constants may have that
type (zoo.safety.form and zoo.safety.objects refuse others), so it is enough to check every uint8 constant in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo.archive.card import Card, TokenizerCard
from zoo.archive.wordpiece_model import model_bytes, vocabulary_sha256
from zoo.safety.form import bodies
from zoo.safety.operations import WORDPIECE_OP

_UINT8, _STRING = 4, 7  # tensorflow.DT_UINT8, DT_STRING


def odd_models(graph: Any, card: Card) -> list[str]:
    """Return a problem if a MetaGraphDef holds another model than that of the card's vocabulary and rules."""
    models = {_content(tensor) for tensor in _constants(graph, _UINT8)}
    uses = any(node.op == WORDPIECE_OP for _, nodes in bodies(graph) for node in nodes)
    if not (models or uses):
        return []
    vocabulary = vocabulary_in(graph, card.vocabulary_sha256)
    if vocabulary is None:
        sha256 = card.vocabulary_sha256 or "none"
        return [f"it holds a WordPiece model, but not the vocabulary {sha256[:12]}… that its card names"]
    try:
        expected = card.model_of(vocabulary) if isinstance(card, TokenizerCard) else model_bytes(vocabulary)
    except Exception as error:  # tensorflow-text raises many kinds of errors for a bad vocabulary
        return [f"no WordPiece model can be made of its vocabulary ({error})"]
    return [] if models <= {expected} else ["its WordPiece model is not the one of its vocabulary"]


def vocabulary_in(graph: Any, sha256: str | None) -> list[str] | None:
    """Return the vocabulary with a sha256, which is one of the constants of a MetaGraphDef; None if none is."""
    found = (_entries(tensor) for tensor in _constants(graph, _STRING))
    return next((entries for entries in found if entries and vocabulary_sha256(entries) == sha256), None)


def _constants(graph: Any, dtype: int) -> Iterator[Any]:
    for _, nodes in bodies(graph):
        for node in nodes:
            if node.op == "Const" and node.attr["dtype"].type == dtype:
                yield node.attr["value"].tensor


def _content(tensor: Any) -> bytes | None:
    """Return the bytes of a uint8 tensor, or None, which no model equals, if they are stored in an unusual form."""
    is_usual = len(tensor.tensor_shape.dim) == 1 and tensor.tensor_shape.dim[0].size == len(tensor.tensor_content)
    return bytes(tensor.tensor_content) if is_usual else None


def _entries(tensor: Any) -> list[str] | None:
    try:
        return [entry.decode("utf-8") for entry in tensor.string_val]
    except UnicodeDecodeError:
        return None
