"""Reads the model of SentencePiece in an archive again, since tensorflow-text trusts the model.

A wrong table of characters makes tensorflow-text read outside of its memory. The operations that use the model are run
as the exporter runs them: one best way to cut a text, no sampling, no tokens added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from zoo.archive.card import Card, TokenizerCard
from zoo.archive.sentencepiece_model import read_sentencepiece
from zoo.basics.untrusted import BadInput
from zoo.safety.form import bodies
from zoo.safety.operations import SENTENCEPIECE_OP, SENTENCEPIECE_TOKENIZERS

# Place of an input of the tokenizing operations -> field of the constant there, and its value.
_CONSTANTS = {2: ("int_val", 0), 4: ("bool_val", False), 5: ("bool_val", False), 6: ("bool_val", False)}
_NAMES = {2: "nbest_size", 4: "add_bos", 5: "add_eos", 6: "reverse"}


def odd_sentencepiece(graph: Any, card: Card) -> list[str]:
    """Return every problem of SentencePiece's models and operations in a MetaGraphDef."""
    problems: dict[str, None] = {}
    models: set[bytes] = set()
    for place, nodes in bodies(graph):
        constants = {node.name: node for node in nodes if node.op == "Const"}
        for node in nodes:
            if node.op == SENTENCEPIECE_OP:
                attributes = dict(node.attr)  # asking the message for an attribute that is missing would add it
                models.add(attributes["model"].s if "model" in attributes else b"")
                if "shared_name" in attributes and attributes["shared_name"].s:
                    problems[f"{node.op} in {place} shares its model under a name"] = None
            elif node.op in SENTENCEPIECE_TOKENIZERS:
                problems |= dict.fromkeys(f"{node.op} in {place} {each}" for each in _odd_call(node, constants))
    for data in models:
        problems |= dict.fromkeys(_odd_model(data, card))
    return [*problems]


def _odd_call(node: Any, constants: Mapping[str, Any]) -> Iterator[str]:
    if "return_nbest" in node.attr and node.attr["return_nbest"].b:
        yield "returns several ways to cut a text"
    for place, (field, value) in _CONSTANTS.items():
        name, _, _ = node.input[place].partition(":") if len(node.input) > place else ("", "", "")
        constant = constants.get(name)
        if constant is None or [*getattr(constant.attr["value"].tensor, field)] != [value]:
            yield f"takes another {_NAMES[place]} than the constant {value}"


def _odd_model(data: bytes, card: Card) -> Iterator[str]:
    facts = card.sentencepiece if isinstance(card, TokenizerCard) else None
    if facts is None or hashlib.sha256(data).hexdigest() != facts.model_sha256:
        yield "it holds a SentencePiece model that its card does not name"
        return
    try:
        model = read_sentencepiece(data)
    except BadInput as error:
        yield f"its SentencePiece model cannot be run: {error}"
        return
    if len(model.pieces) != facts.pieces:
        yield f"its SentencePiece model has {len(model.pieces):,} pieces, its card says {facts.pieces:,}"
