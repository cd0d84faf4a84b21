"""Texts as a caller gives them, checked; and the batches in which a model gets them, those of one length together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import BadArgument

Array = NDArray[Any]
Texts = Sequence[str] | Sequence[tuple[str, str]] | Array

WINDOW = 1024  # texts that are tokenized together and sorted by length
_AT_A_TIME = 8  # numbers that TensorFlow's functions of its own take at a time in its wheels for x86


def batches_of_a_length(
    lengths: Array, batch_size: int, equal: bool = False, of_texts: bool = False
) -> Iterator[Array]:
    """Yield the places (B,) of texts that go through a model together, at most `batch_size`, the shortest first.

    With `equal` the lengths of a batch are equal, and places are repeated until the batch has two texts and a multiple
    of 8 tokens. So each text's part of every tensor has a size that the text alone decides; no product has a single
    row, which libraries compute by another function; and no token is in the rest that is left when a function takes 8
    numbers at a time, and computed by another one: tf.math.rsqrt of the last 4 of 60 numbers has other last bits.
    With `of_texts` the texts are a multiple of 8 too: for models whose last layer has one row a text.
    """
    order = np.argsort(lengths, kind="stable")
    cuts: Any = np.flatnonzero(np.diff(lengths[order])) + 1 if equal else []
    for group in np.split(order, cuts):
        for first in range(0, len(group), batch_size):
            batch = group[first : first + batch_size]
            yield _filled_up(batch, 1 if of_texts else int(lengths[batch[0]])) if equal else batch


def _filled_up(batch: Array, rows: int) -> Array:
    """Return a batch with repeated places, whose texts have that many rows each in the smallest tensor of rows."""
    texts = max(2, _AT_A_TIME // math.gcd(_AT_A_TIME, rows))
    return np.resize(batch, -(-len(batch) // texts) * texts)


def checked_batch_size(asked: Any) -> int:
    """Return a whole number of texts, at least 1. Raises BadArgument for anything else."""
    if isinstance(asked, bool) or not isinstance(asked, int | np.integer) or asked < 1:
        raise BadArgument(f"batch_size={asked!r}: give a whole number of texts, at least 1.")
    return int(asked)


def checked_texts(texts: Any) -> Array:
    """Return texts (N,) or pairs (N, 2) as an array of objects. Raises BadArgument for anything else."""
    if isinstance(texts, str | bytes):
        raise BadArgument("give a list of texts, not a single one: [text].")
    rows = list(texts)
    pairs = [tuple(row) if isinstance(row, list | tuple | np.ndarray) else None for row in rows]
    is_text = [isinstance(row, str) for row in rows]
    is_pair = [pair is not None and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in pairs]
    if all(is_text):
        return np.array(rows, object)
    if all(is_pair):
        return np.array(pairs, object).reshape(-1, 2)
    wrong = [place for place in range(len(rows)) if not (is_text[place] or is_pair[place])]
    what = "neither texts nor pairs" if wrong else "texts and pairs together"
    wrong = wrong or [place for place in range(len(rows)) if is_pair[place]]
    some = ", ".join(f"{place}: {rows[place]!r:.40}" for place in wrong[:5])
    raise BadArgument(f"{what}: {len(wrong)} of {len(rows)} rows ({some}). Give str, or pairs of str, throughout.")
