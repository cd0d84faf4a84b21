"""What all do that turn texts into ids by WordPiece: vocabularies that are opened, calls, and rows of one length."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import serve

BATCH = 1000  # texts of one call
LENGTH = serve.TEXT_LENGTH
Call = Callable[[list[str]], np.ndarray]  # texts [B] to ids [B, LENGTH], with [CLS] and [SEP], 0 behind them
Open = Callable[[Path, bool, bool], Call]  # of a directory, lower_case and strip_accents


class WordPiece(serve.TextModel):
    """Vocabularies that one library has opened: directories with vocab.txt and tokenizer.json, whichever it reads."""

    def __init__(self, libraries: Mapping[str, Open], library: str, distribution: str) -> None:
        self._open = libraries[library]
        self.distributions = (distribution,)
        self._calls: dict[str, Call] = {}

    def open(self, directory: str, lower_case: bool, strip_accents: bool) -> dict[str, Any]:
        self._calls[directory] = self._open(Path(directory), lower_case, strip_accents)
        return {}

    def ids(self, directory: str, texts: str, out: str) -> dict[str, float]:
        """Save the ids of a file of texts. Return the seconds that passed, and those of all threads together."""
        given, call = json.loads(Path(texts).read_text(encoding="utf-8")), self._calls[directory]
        batches = [given[start : start + BATCH] for start in range(0, len(given), BATCH)]
        gc.collect()
        gc.disable()
        started, cpu = time.perf_counter(), time.process_time()
        rows = [call(batch) for batch in batches]
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        gc.enable()
        np.save(out, np.concatenate(rows))
        return {"seconds": seconds, "cpu": cpu}


def entries(directory: Path) -> list[str]:
    return (directory / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]


def padded(rows: Iterable[Sequence[int]]) -> np.ndarray:
    """Return rows that have [CLS] and [SEP], and are cut already."""
    rows = list(rows)
    lengths = np.fromiter(map(len, rows), np.int32, len(rows))
    ids = np.zeros((len(rows), LENGTH), np.int32)
    ids[np.arange(LENGTH) < lengths[:, None]] = np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum())
    return ids


def framed(directory: Path) -> Callable[[Iterable[Sequence[int]]], np.ndarray]:
    """Return the function that cuts rows of pieces, and adds [CLS] and [SEP]."""
    cls, sep = map(entries(directory).index, ("[CLS]", "[SEP]"))

    def frame(rows: Iterable[Sequence[int]]) -> np.ndarray:
        rows = [row[: LENGTH - 2] for row in rows]
        lengths = np.fromiter(map(len, rows), np.int32, len(rows))
        ids = np.zeros((len(rows), LENGTH), np.int32)
        inner = ids[:, 1:]
        inner[np.arange(LENGTH - 1) < lengths[:, None]] = np.fromiter(
            chain.from_iterable(rows), np.int32, lengths.sum()
        )
        ids[:, 0] = cls
        ids[np.arange(len(rows)), lengths + 1] = sep
        return ids

    return frame
