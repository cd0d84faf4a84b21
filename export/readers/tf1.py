"""TF1 name-based checkpoints: PREFIX.index and PREFIX.data-*."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from export.readers.protocol import Format, Shape
from zoo.errors import BadCheckpoint, Unsupported

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class TF1Checkpoint:
    """What google-research/bert and its descendants publish."""

    format: Format = "tf1"

    def __init__(self, index: Path, config: Mapping[str, Any], config_file: Path) -> None:
        self.path, self.config = index.parent, config
        prefix = index.name.removesuffix(".index")
        data = sorted(index.parent.glob(f"{prefix}.data-*-of-*"))
        self.files = (config_file, index, *data)
        if not data:
            raise BadCheckpoint(f"{index} has no data file beside it ({prefix}.data-00000-of-00001).")
        try:
            self._reader = tf.train.load_checkpoint(str(index.parent / prefix))
        except (tf.errors.OpError, ValueError) as error:
            raise BadCheckpoint(f"{index} cannot be read: {_first_line(error)}") from None
        self.shapes: Mapping[str, Shape] = {
            name: tuple(shape) for name, shape in sorted(self._reader.get_variable_to_shape_map().items())
        }
        if _OBJECT_GRAPH in self.shapes:
            raise Unsupported(
                f"{index} is a TF2 object-based checkpoint; TF1 name-based ones and model.safetensors are read."
            )
        self._check_size(data)

    def read(self, name: str) -> np.ndarray:
        try:
            value: np.ndarray = self._reader.get_tensor(name)
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise BadCheckpoint(f"'{name}' of {self.files[1]} cannot be read: {_first_line(error)}") from None
        return value

    def _check_size(self, data: list[Path]) -> None:
        """A download cut short is found before anything is read."""
        dtypes = self._reader.get_variable_to_dtype_map()
        promised = sum(int(np.prod(shape)) * dtypes[name].size for name, shape in self.shapes.items())
        present = sum(file.stat().st_size for file in data)
        if present < promised:
            raise BadCheckpoint(
                f"{data[0].name} in {self.path} is cut short: its index promises {promised:,} bytes, "
                f"there are {present:,}. Fetch it again."
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
