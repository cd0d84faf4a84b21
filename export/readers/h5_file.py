"""One HDF5 file as Keras writes it, under the paths its datasets have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from export.readers.protocol import Shape
from zoo.errors import BadCheckpoint


class H5File:
    """A dataset at a time. Only what lies in this very file is read: no links, no virtual or external datasets."""

    def __init__(self, file: Path) -> None:
        self.files = (file,)
        self._file = file
        shapes: dict[str, Shape] = {}

        def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                _check(file, path, item)
                shapes[path] = item.shape

        try:
            with h5py.File(file, "r") as opened:
                opened.visititems(visit)  # follows neither soft nor external links
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise BadCheckpoint(f"{file} cannot be read: {error}. Fetch it again.") from None
        self.shapes: Mapping[str, Shape] = dict(sorted(shapes.items()))

    def read(self, name: str) -> np.ndarray:
        try:
            with h5py.File(self._file, "r") as opened:
                return np.asarray(opened[name][()])
        except (OSError, RuntimeError, KeyError) as error:
            raise BadCheckpoint(f"'{name}' of {self._file} cannot be read: {error}.") from None


def _check(file: Path, path: str, dataset: h5py.Dataset) -> None:
    """Refuse what Keras does not write: numbers kept elsewhere, and sizes that the file does not hold."""
    if dataset.is_virtual or dataset.external:
        raise BadCheckpoint(f"'{path}' of {file} takes its numbers from another file; this is not read.")
    if dataset.shape is None or dataset.dtype.kind not in "fiub":
        raise BadCheckpoint(f"'{path}' of {file} holds {dataset.dtype}, not an array of numbers.")
    stored = dataset.id.get_storage_size()
    if stored < dataset.nbytes:
        raise BadCheckpoint(
            f"'{path}' of {file} claims {dataset.nbytes:,} bytes, the file holds {stored:,} of them; "
            "compressed or cut short, it is not as Keras writes it."
        )
