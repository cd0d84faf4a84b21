"""TensorFlow's own checkpoints, PREFIX.index and PREFIX.data-*: name-based of TF1 and object-based of TF2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from export.readers.protocol import Shape
from zoo.errors import BadCheckpoint


class TensorBundle:
    """What tf.train.Saver and tf.train.Checkpoint write; TensorFlow compares a checksum of every variable it reads."""

    def __init__(self, index: Path) -> None:
        prefix = index.name.removesuffix(".index")
        data = sorted(index.parent.glob(f"{prefix}.data-*-of-*"))
        self.files = (index, *data)
        if not data:
            raise BadCheckpoint(f"{index} has no data file beside it ({prefix}.data-00000-of-00001).")
        try:
            self._reader = tf.train.load_checkpoint(str(index.parent / prefix))
        except (tf.errors.OpError, ValueError) as error:
            raise BadCheckpoint(f"{index} cannot be read: {_first_line(error)}") from None
        self.shapes: Mapping[str, Shape] = {
            name: tuple(shape) for name, shape in sorted(self._reader.get_variable_to_shape_map().items())
        }
        self._check_size(data)

    def read(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self._reader.get_tensor(name))
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {_first_line(error)}") from None

    def _check_size(self, data: list[Path]) -> None:
        """A download cut short is found before anything is read."""
        dtypes = self._reader.get_variable_to_dtype_map()
        promised = sum(int(np.prod(shape)) * dtypes[name].size for name, shape in self.shapes.items())
        present = sum(file.stat().st_size for file in data)
        if present < promised:
            raise BadCheckpoint(
                f"{data[0].name} in {data[0].parent} is cut short: its index promises {promised:,} bytes, "
                f"there are {present:,}. Fetch it again."
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
