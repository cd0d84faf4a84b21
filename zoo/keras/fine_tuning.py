"""Which weights a word like 'last:2' means. Knows the names of variables, and neither TensorFlow nor Keras."""

from __future__ import annotations

import re
from collections.abc import Iterable

from zoo.errors import BadArgument

_BLOCK = re.compile(r"(?:^|[/.])(?:layer|group)_(\d+|shared)[/.]")
_WORDS = {"embedding": "embeddings", "pooler": "pooler"}
_TOP = ("pooler", "head")  # what comes after the last layer

Part = int | str  # a block of weights that a layer runs, or 'embeddings', 'pooler', 'head'


def part_of(variable: str) -> Part:
    """Return the part of the model that a variable belongs to, by its name; '.' may stand for '/'."""
    if match := _BLOCK.search(variable):
        return 0 if match[1] == "shared" else int(match[1])
    return next((part for word, part in _WORDS.items() if word in variable), "head")


def choices(variables: Iterable[str], layers: int | None = None) -> dict[str, frozenset[Part]]:
    """Return word -> parts of the model that train under it.

        choices(names)["last:2"]  # {10, 11, 'pooler'} of a BERT of 12 layers

    `last:K` means the last K layers and what comes after them, `pooler` only that. `layers` is the number that run,
    where a model has fewer blocks of weights than layers (ALBERT): a word is left out when a layer that it does not
    name would train with those it names.
    """
    parts = {part_of(name) for name in variables}
    blocks = sorted(part for part in parts if isinstance(part, int))
    layers = layers or len(blocks)
    top = frozenset(part for part in parts if part in _TOP)
    block_of: list[Part] = [blocks[layer * len(blocks) // layers] for layer in range(layers)] if blocks else []
    words: dict[str, frozenset[Part]] = {"pooler": top} if top else {}
    for last in range(1, len(block_of) + 1):
        if not set(block_of[-last:]) & set(block_of[:-last]):
            words[f"last:{last}"] = top | set(block_of[-last:])
    return words


def chosen(word: str, variables: Iterable[str], layers: int | None, model: str) -> frozenset[str]:
    """Return those of `variables` that train under `word`. Raises BadArgument, which lists the words there are."""
    names = list(variables)
    words = choices(names, layers)
    if word not in words:
        shared = len({part for name in names if isinstance(part := part_of(name), int)})
        why = f" Its {layers} layers share {shared} set(s) of weights." if layers and shared < layers else ""
        there_are = ", ".join(["True", "False", *map(repr, words)])
        raise BadArgument(f"trainable={word!r} has no meaning for {model}.{why} There is {there_are}.")
    return frozenset(name for name in names if part_of(name) in words[word])
