"""A checkpoint made from another one: half precision, fewer tokens. What reads it cannot tell it from one on disk.

Plan, encoder and oracle all work on the derived weights, so they must agree as exactly as ever; how far the derived
model is from its parent is measured apart, as drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from export.readers.protocol import Checkpoint, CheckpointView
from tokenizer.vocabulary import MOST_BYTES, Vocabulary
from zoo.archive.card import Computed, Stored
from zoo.basics.untrusted import read_small
from zoo.errors import BadConfig, BadVocabulary

NUMPY: Mapping[Stored, Any] = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def computed_in(dtype: Stored) -> Computed:
    """Return what matrices stored in `dtype` are multiplied in. No CPU has products of float16."""
    return "bfloat16" if dtype == "bfloat16" else "float32"


def narrowed(value: np.ndarray, stored: Stored) -> np.ndarray:
    """Return a variable's numbers in the precision that an archive stores.

    The matrices of a checkpoint in half precision are rounded already. A folded table may be the sum of two of them,
    which half precision would round once more: it stays in float32.
    """
    half = value.astype(NUMPY[stored], copy=False) if value.ndim == 2 else value
    return half if half is value or np.array_equal(half.astype(np.float32), value) else value


class DerivedCheckpoint(CheckpointView):
    """A view of `parent` with matrices rounded to `dtype` and only the rows of `kept` tokens.

    `rows` are the names of the variables that have a row for every token, the word table first.
    """

    def __init__(
        self, parent: Checkpoint, rows: Sequence[str], dtype: Stored = "float32", kept: np.ndarray | None = None
    ) -> None:
        super().__init__(parent)
        self.dtype, self.kept = dtype, kept
        self.stored = self  # the numbers are ours, and so are the names they go by
        shapes = dict(parent.shapes)
        config = dict(parent.config)
        self.word_table = rows[0]
        if kept is not None:
            self._pruned = {name for name in rows if shapes[name][:1] == shapes[self.word_table][:1]}
            shapes |= {name: (len(kept), *shapes[name][1:]) for name in self._pruned}
            config["vocab_size"] = len(kept)
        else:
            self._pruned = set()
        self.shapes, self.config = shapes, config

    def read(self, name: str) -> np.ndarray:
        """Return one variable of the parent, its rows chosen and its numbers rounded, as float32 if it was rounded."""
        value = self.parent.read(name)
        if name in self._pruned:
            value = value[self.kept]
        if self.dtype != "float32" and value.ndim == 2:
            with np.errstate(over="ignore"):
                rounded = value.astype(NUMPY[self.dtype]).astype(np.float32)
            if np.isfinite(value).all() and not np.isfinite(rounded).all():
                raise BadConfig(
                    f"'{name}' has numbers beyond {self.dtype}, up to {np.abs(value).max():g}; use bfloat16."
                )
            value = rounded
        return value


def kept_ids(vocabulary: Vocabulary, file: Path) -> np.ndarray:
    """Return the ids of the tokens listed in a file, one a line, and of the special tokens; in the vocabulary's order.

    Raises BadVocabulary with every token that the vocabulary does not have.
    """
    try:
        wanted = read_small(file, MOST_BYTES).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except (OSError, ValueError) as error:
        raise BadVocabulary(f"the tokens to keep cannot be read from {file}: {error}.") from None
    wanted = wanted[:-1] if wanted[-1] == "" else wanted
    known = vocabulary.ids
    unknown = [f"line {line} {token!r}" for line, token in enumerate(wanted, 1) if token not in known]
    if unknown:
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        raise BadVocabulary(f"{file} lists tokens that the vocabulary does not have: {', '.join(unknown[:10])}{more}.")
    return np.array(sorted({known[token] for token in wanted} | set(vocabulary.special_tokens.values())), np.int64)


def pruned(vocabulary: Vocabulary, kept: Sequence[int] | np.ndarray) -> Vocabulary:
    """Return the vocabulary of the kept ids alone."""
    return replace(vocabulary, entries=tuple(vocabulary.entries[i] for i in kept))
