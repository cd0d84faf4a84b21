"""Which weights a word like 'last:2' means. Knows the names of variables, and neither TensorFlow nor Keras."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from zoo.errors import BadArgument

# A number in a name, after which a scope ends: '…/layer_3/…', '….layer.3.…'. 'layer_shared' is the only block there is.
_NUMBER = re.compile(r"(?<=[/._])([0-9]{1,4}|shared)(?=[/.])")
# ELECTRA exported with --pooler discriminator has that dense layer for a pooler.
_WORDS = {"embedding": "embeddings", "pooler": "pooler", "discriminator_predictions": "pooler"}
_TOP = ("pooler", "head")  # what comes after the last layer

Part = int | str  # a block of weights that a layer runs, or 'embeddings', 'pooler', 'head'


def parts_of(
    variables: Iterable[str], model: str, heads: Collection[str] = (), blocks: int | None = None
) -> dict[str, Part]:
    """Return variable -> the part of the model that it belongs to, by its name; '.' may stand for '/'.

        parts_of(["bert/embeddings/…", "bert/encoder/layer_0/…", "bert/pooler/…"], "bert")  # 'embeddings', 0, 'pooler'

    `heads` are those of `variables` that a head has beside its encoder's; `blocks` is the number of blocks that the
    model's card states. Raises BadArgument with the variables whose names say nothing.
    """
    names = list(variables)
    own = [name for name in names if name not in heads]
    numbers = _blocks_of(own, blocks)
    found: dict[str, Part | None] = dict.fromkeys(names, "head")
    for name in own:
        found[name] = numbers.get(name, next((part for word, part in _WORDS.items() if word in name), None))
    if unknown := [name for name in own if found[name] is None]:
        raise BadArgument(
            f"{model} has {len(unknown)} variables of no known part, so that only trainable=True and trainable=False "
            f"have a meaning: {', '.join(unknown[:3])}. A name says its part by 'embedding', by 'pooler' or by the "
            f"number of a block{'' if blocks is None else f', of which the card states {blocks}'}."
        )
    return {name: part for name, part in found.items() if part is not None}


def choices(parts: Collection[Part], layers: int | None = None) -> dict[str, frozenset[Part]]:
    """Return word -> parts of the model that train under it.

        choices(parts_of(names, "bert").values())["last:2"]  # {10, 11, 'pooler'} of a BERT of 12 layers

    `last:K` means the last K layers and what comes after them, `pooler` only that. `layers` is the number that run,
    where a model has fewer blocks of weights than layers (ALBERT): a word is left out when a layer that it does not
    name would train with those it names.
    """
    blocks = sorted({part for part in parts if isinstance(part, int)})
    layers = layers or len(blocks)
    top = frozenset(part for part in parts if part in _TOP)
    block_of: list[Part] = [blocks[layer * len(blocks) // layers] for layer in range(layers)] if blocks else []
    words: dict[str, frozenset[Part]] = {"pooler": top} if top else {}
    for last in range(1, len(block_of) + 1):
        if not set(block_of[-last:]) & set(block_of[:-last]):
            words[f"last:{last}"] = top | set(block_of[-last:])
    return words


def groups(parts: Mapping[str, Part], layers: int | None = None) -> dict[str, frozenset[str]]:
    """Return group -> its variables, in the order in which they compute.

    groups(parts_of(names, "bert"))  # {"embeddings": {…}, "layer_0": {…}, …, "pooler": {…}}
    """
    blocks = sorted({part for part in parts.values() if isinstance(part, int)})
    layers = layers or len(blocks)
    runs = {
        block: [layer for layer in range(layers) if layer * len(blocks) // layers == at]
        for at, block in enumerate(blocks)
    }
    named: dict[Part, str] = {"embeddings": "embeddings"}
    for block, run in runs.items():
        named[block] = f"layer_{run[0]}" if len(run) == 1 else f"layers_{run[0]}_to_{run[-1]}"
    named |= {part: str(part) for part in _TOP}
    found = {word: frozenset(name for name, part in parts.items() if part == each) for each, word in named.items()}
    return {word: members for word, members in found.items() if members}


def chosen(word: str, parts: Mapping[str, Part], layers: int | None, model: str) -> frozenset[str]:
    """Return the variables that train under `word`. Raises BadArgument, which lists the words there are."""
    words = choices(parts.values(), layers)
    if word not in words:
        shared = len({part for part in parts.values() if isinstance(part, int)})
        sets = "one set" if shared == 1 else f"{shared} sets"
        alike = f" Its {layers} layers share {sets} of weights, so that no layer can train by itself: take True and "
        why = f"{alike}a small learning rate, or 'pooler'." if layers and shared < layers else ""
        there_are = ", ".join(["True", "False", *map(repr, words)])
        raise BadArgument(f"trainable={word!r} has no meaning for {model}.{why} There is {there_are}.")
    return frozenset(name for name, part in parts.items() if part in words[word])


def _blocks_of(names: Sequence[str], blocks: int | None) -> Mapping[str, int]:
    """Return variable -> the number of its block.

    Families call a block `layer_3` or `group_0`, and other numbers stand in names too, `attention_1`. The number of a
    block is the one that goes from 0 to `blocks` - 1 after the same letters, in the most variables.
    """
    numbered: dict[str, dict[str, int]] = {}  # the letters before a number -> variable -> number
    for name in names:
        for number in _NUMBER.finditer(name):
            numbered.setdefault(name[: number.start()], {})[name] = int(number[0].replace("shared", "0"))
    complete = []
    for found in numbered.values():
        numbers = {*found.values()}
        if len(numbers) == max(numbers) + 1 == (blocks or len(numbers)):
            complete.append(found)
    return max(complete, key=len, default={})
