"""Reads the table of characters that a SentencePiece model replaces, and proves that following it stays inside of it.

The table ("precompiled_charsmap") is the size of a trie in bytes, the trie, and the replacements, each ended by a zero
byte. The trie is a double array: a unit of 32 bits for each place, which says where the units of its next bytes lie.
tensorflow-text follows these places without checking them, so each place that any text can reach is looked at here.

Source: src/normalizer.cc of google/sentencepiece, include/darts.h of s-yata/darts-clone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from zoo.basics.untrusted import BadInput

_MOST_BYTES = 8 << 20  # the largest of SentencePiece's own tables has 0.3 MB
_BLOCK = 256  # units; the units of a place's next bytes lie in one block
_LONGEST_KEY = 32  # bytes of a text that is replaced; tensorflow-text has room for 32 matches at one place
_LONGEST_REPLACEMENT = 256  # bytes; NFKC's longest has 33

Units = NDArray[np.uint32]


def check_charsmap(charsmap: bytes) -> None:
    """Raise BadInput for a table that could lead outside of itself; an empty one replaces nothing."""
    if not charsmap:
        return
    units, replacements = _parts(charsmap)
    for place in np.unique(_replaced(units)).tolist():
        if place >= len(replacements):
            raise BadInput("its table of characters names a replacement that it does not hold")
        replacement = replacements[place : replacements.index(b"\x00", place)]
        if len(replacement) > _LONGEST_REPLACEMENT:
            raise BadInput(f"its table of characters has a replacement of more than {_LONGEST_REPLACEMENT} bytes")
        try:
            replacement.decode()
        except UnicodeDecodeError:
            raise BadInput("its table of characters has a replacement that is not UTF-8") from None


def _parts(charsmap: bytes) -> tuple[Units, bytes]:
    """Return the units of the trie, and the replacements. Raises BadInput if they cannot be cut apart."""
    size = struct.unpack("<I", charsmap[:4])[0] if len(charsmap) >= 4 else 0
    replacements = charsmap[4 + size :]
    if len(charsmap) > _MOST_BYTES or not size or size % (4 * _BLOCK) or not replacements.endswith(b"\x00"):
        raise BadInput("its table of characters is cut short or of an odd size")
    return np.frombuffer(charsmap, "<u4", size // 4, 4), replacements


def _replaced(units: Units) -> NDArray[np.uint32]:
    """Return the places of all replacements that some text reaches. Raises BadInput if a text could leave the trie."""
    return np.concatenate([units[bases[has_leaf]] & 0x7FFFFFFF for bases, has_leaf in _levels(units)])


def _levels(units: Units) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Yield, for texts of 0, 1, 2, … bytes, the bases of the places reached, and whether a replacement lies there.

    The unit for the next byte b lies at base ^ b and has the label b; that of a replacement lies at base ^ 0.
    """
    label = (units & 0x800000FF).astype(np.int64)
    base_of = np.where(label < _BLOCK, np.arange(len(units)) ^ label, -1)  # from which base each unit is reached
    nodes = np.zeros(1, np.int64)
    for _ in range(_LONGEST_KEY + 1):
        at = units[nodes].astype(np.int64)
        bases = nodes ^ ((at >> 10) << ((at & (1 << 9)) >> 6))
        if bases.max() >= len(units):  # inside of the trie, all of base ^ b are, because its blocks are whole
            raise BadInput("its table of characters leads outside of itself")
        yield bases, (at >> 8) & 1 == 1
        nodes = np.flatnonzero(np.isin(base_of, bases))
        if not len(nodes):
            return
    raise BadInput(f"its table of characters replaces texts of more than {_LONGEST_KEY} bytes, or runs in a circle")
