"""Reads TensorFlow's own checkpoints, PREFIX.index and PREFIX.data-*: name-based (TF1) and object-based (TF2).

zoo.archive.tensor_index checks every entry first. Then TensorFlow reads the numbers and compares the checksum of every
variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from export.readers.numbers import refuse_quantised
from export.readers.protocol import Shape
from zoo.archive.tensor_index import TEXT, BadIndex, read_index
from zoo.errors import BadCheckpoint

_SMALL = (tf.uint8.as_datatype_enum, tf.int8.as_datatype_enum)
# BadIndex comes from zoo.archive.tensor_index; TensorFlow raises the others for damaged files.
_ERRORS = (BadIndex, OSError, tf.errors.OpError, ValueError, RuntimeError, IndexError)


class TensorBundle:
    """The files that tf.train.Saver and tf.train.Checkpoint write. A variable stored in parts is read as a whole."""

    facts: tuple[str, ...] = ()

    def __init__(self, index: Path) -> None:
        try:
            self._index = read_index(index)
            self.files = (index, *self._index.data.values())
            # tf.train.load_checkpoint would obey the `checkpoint` file of a directory with that name.
            self._reader = tf.compat.v1.train.NewCheckpointReader(str(index).removesuffix(".index"))
        except _ERRORS as error:
            raise BadCheckpoint(f"{index} cannot be read: {_first_line(error)}. Fetch it again.") from None
        entries = self._index.entries
        self.shapes: Mapping[str, Shape] = {name: entries[name].shape for name in sorted(entries)}
        refuse_quantised(index, self.shapes, {name for name, entry in entries.items() if entry.dtype in _SMALL})

    def read(self, name: str) -> np.ndarray:
        try:
            if self._index.entries[name].dtype == TEXT:
                self._index.texts(name)  # checks lengths: TensorFlow allocates as much memory as a text claims to have
                return np.asarray(self._reader.get_tensor(name), object)  # as numpy's bytes, zeros at the end are lost
            return np.asarray(self._reader.get_tensor(name))
        except _ERRORS as error:
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].removesuffix(".")
