"""Reads one .safetensors file, under the names in the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.readers.protocol import MOST_DIMENSIONS, Shape
from zoo.basics.extras import imported
from zoo.errors import BadCheckpoint

_MOST_HEADER = 4 << 20  # bytes; that of a large BERT has 40 kilobytes


class SafetensorsFile:
    """Maps the file into memory and reads one variable at a time. The library checks header and size of the file."""

    def __init__(self, file: Path) -> None:
        safetensors = imported("safetensors", f"reading {file.name}", "hf")
        self.files = (file,)
        try:
            with file.open("rb") as opened:
                header = int.from_bytes(opened.read(8), "little")
            if _MOST_HEADER < header < file.stat().st_size:
                raise BadCheckpoint(f"{file} has a header of {header:,} bytes; at most {_MOST_HEADER:,} are read.")
            self._file = safetensors.safe_open(file, framework="numpy")
            shapes = {name: tuple(self._file.get_slice(name).get_shape()) for name in sorted(self._file.keys())}
        except (safetensors.SafetensorError, OSError) as error:
            raise BadCheckpoint(f"{file} cannot be read: {error}. Fetch it again.") from None
        if deep := [name for name, shape in shapes.items() if len(shape) > MOST_DIMENSIONS]:
            raise BadCheckpoint(f"{file} cannot be read: {len(shapes[deep[0]]):,} dimensions in {deep[0]!r}.")
        self.shapes: Mapping[str, Shape] = shapes

    def read(self, name: str) -> np.ndarray:
        from safetensors import SafetensorError

        try:
            value: np.ndarray = self._file.get_tensor(name)
        # numpy lacks the kind of number (float8), or the shape is too large for numpy.
        except (TypeError, AttributeError, ValueError, OverflowError, SafetensorError) as error:
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {error}.") from None
        return value
