"""The entries of a vocabulary as a double array, in which one addition and one look-up follow a character. Numpy only.

Source: Aoe 1989, "An efficient digital search algorithm by using a double-array structure".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_CANDIDATES = 256  # rows that are tried at once for the first child of a node; after a failure twice as many
_MOST_LOOKED_AT = 1 << 14  # rows of children that are looked at for them
_TOO_FEW = 16  # free rows among so many, for which no later node looks there again: that would cost minutes


@dataclass(frozen=True)
class Trie:
    """Two tries in one table: of entries that begin a word, and of entries that continue one.

    A node is known by its base. Symbol s leads from a node with base b to row b + s, if `parent` is b in that row. In
    that row, `base` is that of the node that was reached, 0 if it has no children, and `id` is 1 more than the id of
    the entry that ends there, 0 if none does.
    """

    parent: np.ndarray  # (N,) int32, as the other two
    base: np.ndarray
    id: np.ndarray
    begins: int  # base of the root of entries that begin a word
    continues: int


def make_trie(begins: Mapping[tuple[int, ...], int], continues: Mapping[tuple[int, ...], int]) -> Trie:
    """Return the trie of entries, each given as its symbols and its id. Symbols are numbers from 1.

        make_trie(begins={(1, 2): 7}, continues={(2,): 8})

    The same entries give the same table, in any order.
    """
    children, ids = _nodes(begins, continues)
    symbols = max((symbol for node in children for symbol in node), default=0)
    places = _place(children, symbols)
    parent, base_there, id_there = np.zeros((3, max(places.values()) + symbols + 1), np.int32)
    parent -= 1
    for node, base in places.items():
        for symbol, child in children[node].items():
            row = base + symbol
            parent[row], base_there[row], id_there[row] = base, places.get(child, 0), ids[child] + 1
    return Trie(parent, base_there, id_there, places[0], places[1])


def _nodes(*entries: Mapping[tuple[int, ...], int]) -> tuple[list[dict[int, int]], list[int]]:
    """Return the children of every node, symbol -> node, and the id of the entry that ends there; roots first."""
    children: list[dict[int, int]] = [{} for _ in entries]
    ids = [-1] * len(entries)
    for root, each in enumerate(entries):
        for symbols in sorted(each):
            node = root
            for symbol in symbols:
                if symbol not in children[node]:
                    children[node][symbol] = len(children)
                    children.append({})
                    ids.append(-1)
                node = children[node][symbol]
            ids[node] = each[symbols]
    return children, ids


def _place(children: list[dict[int, int]], symbols: int) -> dict[int, int]:
    """Return a base for each root and each node with children, so that no two children share a row.

    Bases differ from each other, since a row knows its parent by the parent's base. Nodes with many children come
    first, when most rows are free; the many nodes with one child fill the gaps.
    """
    nodes = [node for node in range(len(children)) if children[node] or node < 2]
    nodes.sort(key=lambda node: (-len(children[node]), node))
    free = _FreeRows(sum(map(len, children)) * 2 + 3 * symbols + 16)
    return {node: free.take(np.array(sorted(children[node]), np.int64)) for node in nodes}


class _FreeRows:
    """The rows of the table that no child has yet, and the bases that no node has yet."""

    def __init__(self, rows: int) -> None:
        self._row_is_free = np.ones(rows, bool)
        self._base_is_free = np.ones(rows, bool)
        self._row_is_free[0] = self._base_is_free[0] = False  # base 0 says that a node has no children
        self._first = 1  # no search begins before this row: too few are free there

    def take(self, symbols: np.ndarray) -> int:
        """Return the base of a node, and mark the rows of its children as taken."""
        base = self._find(symbols)
        self._row_is_free[base + symbols] = False
        self._base_is_free[base] = False
        return base

    def _find(self, symbols: np.ndarray) -> int:
        if not len(symbols):
            return int(np.argmax(self._base_is_free))
        first, count = self._first, _CANDIDATES
        most = max(_CANDIDATES, _MOST_LOOKED_AT // len(symbols))
        while True:
            if first + count + symbols[-1] >= len(self._row_is_free):
                more = np.ones(len(self._row_is_free), bool)
                self._row_is_free = np.concatenate([self._row_is_free, more])
                self._base_is_free = np.concatenate([self._base_is_free, more])
            rows = first + np.flatnonzero(self._row_is_free[first : first + count])
            if first == self._first and len(rows) <= _TOO_FEW:
                self._first += _CANDIDATES
            bases = rows - symbols[0]
            bases = bases[bases > 0]
            bases = bases[self._base_is_free[bases]]
            fits = self._row_is_free[bases[:, np.newaxis] + symbols].all(axis=1)
            if fits.any():
                return int(bases[np.argmax(fits)])
            first += count
            if first > self._first:
                count = min(2 * count, most)
