"""The sentences for calls that a text archive cannot answer: they say what was given, and what to give."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

_SHAPES = {1: "texts [B], such as ['你好', '再见']", 2: "pairs of texts [B, 2], such as [['你好吗', '很好']]"}


def wrong_texts(inputs: Any, ranks: Collection[int | None]) -> str:
    """Return why inputs, as tensors, are neither texts nor pairs that a text archive takes, and what to give.

    `ranks` are those of the string tensors that it takes: 1 for texts, 2 for pairs.
    """
    takes = f"Give {' or '.join(words for rank, words in _SHAPES.items() if rank in ranks)}."
    if isinstance(inputs, Mapping | list | tuple):
        found = f"a dict of {', '.join(map(str, inputs))}" if isinstance(inputs, Mapping) else f"{len(inputs)} tensors"
        return f"these inputs are {found}, and a text archive takes one of strings; ids go to `.encoder`. {takes}"
    dtype, shape = inputs.dtype.name, inputs.shape
    if dtype != "string":
        return f"these inputs are {dtype} {shape}, and a text archive takes strings; ids go to `.encoder`. {takes}"
    if shape.rank == 0:
        return f"this is a single text: a text archive takes a list, even of one, `[text]`. {takes}"
    return f"these strings are {shape}, which this text archive does not take. {takes}"
