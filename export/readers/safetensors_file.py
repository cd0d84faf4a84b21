"""One .safetensors file, under the names it has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.readers.protocol import Shape
from zoo.errors import BadCheckpoint, ZooError


class SafetensorsFile:
    """Mapped into memory, a variable at a time; the library checks that header and size of the file agree."""

    def __init__(self, file: Path) -> None:
        try:
            import safetensors
        except ImportError:
            raise ZooError(f"reading {file.name} needs the extra 'hf': pip install 'bert-zoo[hf]'.") from None
        self.files = (file,)
        try:
            self._file = safetensors.safe_open(file, framework="numpy")
        except (safetensors.SafetensorError, OSError) as error:
            raise BadCheckpoint(f"{file} cannot be read: {error}. Fetch it again.") from None
        self.shapes: Mapping[str, Shape] = {
            name: tuple(self._file.get_slice(name).get_shape()) for name in sorted(self._file.keys())
        }

    def read(self, name: str) -> np.ndarray:
        try:
            value: np.ndarray = self._file.get_tensor(name)
        except (TypeError, AttributeError) as error:  # a kind of number that numpy does not have
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {error}.") from None
        return value
