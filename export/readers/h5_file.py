"""Reads one HDF5 file that Keras wrote. A variable's name is the path of its dataset."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path

import h5py
import numpy as np

from export.readers.numbers import refuse_quantised
from export.readers.protocol import MOST_DIMENSIONS, MOST_VARIABLES, Shape
from zoo.errors import BadCheckpoint

_MOST_DEPTH = 32  # groups within groups; HDF5 visits them with a recursive function
# Errors that h5py raises for damaged files; some of them are accidents in its own code.
_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError)


class H5File:
    """Reads one dataset at a time, from this file alone: no links, no virtual or external datasets."""

    facts: tuple[str, ...] = ()

    def __init__(self, file: Path) -> None:
        self.files = (file,)
        self._file = file
        shapes: dict[str, Shape] = {}
        small: set[str] = set()
        visited = claimed = 0

        def visit(path: str | bytes, item: h5py.Group | h5py.Dataset) -> None:
            nonlocal visited, claimed
            visited += 1
            if not isinstance(path, str):
                raise BadCheckpoint(f"{file} holds the name {path!r}, which is not UTF-8 text.")
            if path.count("/") > _MOST_DEPTH or visited > 10 * MOST_VARIABLES:
                raise BadCheckpoint(
                    f"{file} has more than {10 * MOST_VARIABLES:,} entries, or groups nested more than {_MOST_DEPTH} "
                    f"deep, at '{path[:80]}'."
                )
            if isinstance(item, h5py.Dataset):
                _check(file, path, item)
                claimed += item.nbytes
                shapes[path] = item.shape
                if item.dtype.itemsize == 1 and item.dtype.kind != "b":
                    small.add(path)

        try:
            with h5py.File(file, "r") as opened:
                opened.visititems(visit)  # follows neither soft nor external links
        except _ERRORS as error:
            raise BadCheckpoint(f"{file} cannot be read: {error}. Fetch it again.") from None
        if claimed > (held := file.stat().st_size):
            raise BadCheckpoint(
                f"{file} has {held:,} bytes, but its variables claim {claimed:,}: several of them share the same bytes."
            )
        refuse_quantised(file, shapes, small)
        self.shapes: Mapping[str, Shape] = dict(sorted(shapes.items()))

    def read(self, name: str) -> np.ndarray:
        try:
            with h5py.File(self._file, "r") as opened:
                return np.asarray(opened[name][()])
        except _ERRORS as error:
            raise BadCheckpoint(f"'{name}' of {self._file} cannot be read: {error}.") from None


def _check(file: Path, path: str, dataset: h5py.Dataset) -> None:
    """Refuse datasets that Keras does not write: numbers in another file, or more bytes than the file holds."""
    if dataset.is_virtual or dataset.external:
        raise BadCheckpoint(f"'{path}' of {file} takes its numbers from another file, which is not read.")
    if dataset.shape is None or dataset.dtype.kind not in "fiub" or len(dataset.shape) > MOST_DIMENSIONS:
        raise BadCheckpoint(f"'{path}' of {file} holds {dataset.dtype}, not an array of numbers.")
    stored = dataset.id.get_storage_size()
    chunk = prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if stored < max(dataset.nbytes, chunk * bool(dataset.nbytes)) or dataset.id.get_create_plist().get_nfilters():
        raise BadCheckpoint(
            f"'{path}' of {file} claims {dataset.nbytes:,} bytes, but the file holds {stored:,} of them. "
            "It is compressed or cut short; Keras writes whole, uncompressed arrays."
        )
