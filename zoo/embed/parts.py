"""Cuts the rows of a corpus into parts. Every run and every engine cuts a corpus into the same parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import IO, Protocol, cast

import numpy as np

from zoo.embed.corpus import OpenedCorpus, open_lines, unpacking
from zoo.embed.needs import parquet

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Slice:
    """Some rows of one file, the `line`-th (from 0) first.

    `start` is the place of the first row: in bytes of the unpacked file, or in rows for Parquet.
    """

    file: int
    start: int
    line: int
    rows: int


@dataclass(frozen=True)
class CorpusPart:
    """The rows of one output file. `first` is the number of the first row in the whole input, from 0."""

    number: int
    first: int
    slices: tuple[Slice, ...]

    @property
    def rows(self) -> int:
        """The number of rows, good and bad."""
        return sum(each.rows for each in self.slices)


def cut(source: OpenedCorpus, rows: int, limit: int | None = None) -> Iterator[CorpusPart]:
    """Yield the parts of a corpus. Every part has `rows` rows, the last one the rest. Files of lines are read once.

        sum(part.rows for part in cut(open_corpus(Corpus("texts.txt")), 8192))  # the number of rows

    In `text` and `jsonl` a line feed ends a row; the last row of a file may lack it. Memory does not grow with the
    corpus.
    """
    number = first = 0
    slices: list[Slice] = []
    free = rows if limit is None else min(rows, limit)
    for file in range(len(source.files)):
        with _counter(source, file) as counter:
            line = 0
            while free:
                start, count = counter.take(free)
                if not count:
                    break
                slices.append(Slice(file, start, line, count))
                line, free = line + count, free - count
                if not free:
                    part = CorpusPart(number, first, tuple(slices))
                    yield part
                    number, first, slices = number + 1, first + part.rows, []
                    free = rows if limit is None else min(rows, limit - first)
    if slices:
        yield CorpusPart(number, first, tuple(slices))


class _Counter(Protocol):
    def take(self, most: int) -> tuple[int, int]:
        """Skip up to `most` rows. Return the place of the first one and the number of rows skipped."""


@contextmanager
def _counter(source: OpenedCorpus, file: int) -> Iterator[_Counter]:
    path = source.files[file].path
    if source.format == "parquet":
        yield _Counted(parquet().count(path))
    else:
        with open_lines(path) as stream:
            yield _Lines(path, stream)


class _Counted:
    """Counts the rows of a Parquet file, whose number is known from the start."""

    def __init__(self, rows: int) -> None:
        self._at, self._rows = 0, rows

    def take(self, most: int) -> tuple[int, int]:
        start, count = self._at, min(most, self._rows - self._at)
        self._at += count
        return start, count


class _Lines:
    """Counts the lines of a file, a block of bytes at a time."""

    def __init__(self, path: str, stream: IO[bytes]) -> None:
        self._path, self._stream, self._block = path, cast(BufferedReader, stream), b""
        self._passed = 0  # lines before the present call
        self._before = 0  # bytes before the block
        self._at = 0  # place in the block

    def take(self, most: int) -> tuple[int, int]:
        start, found = self._before + self._at, 0
        is_open = False  # the block ends within a line
        while found < most:
            if self._at == len(self._block):
                self._before += len(self._block)
                with unpacking(self._path, self._passed + found):
                    self._block, self._at = self._stream.read1(_BLOCK), 0  # `read` would lose the bytes before damage
                if not self._block:
                    return start, found + is_open
            ends = np.flatnonzero(np.frombuffer(self._block, np.uint8, offset=self._at) == ord("\n"))
            if len(ends) >= most - found:
                self._at += int(ends[most - found - 1]) + 1
                self._passed += most
                return start, most
            found += len(ends)
            is_open = not self._block.endswith(b"\n")
            self._at = len(self._block)
        return start, found
