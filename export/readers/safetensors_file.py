"""Reads one .safetensors file, under the names in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from export.readers.numbers import refuse_quantised
from export.readers.protocol import MOST_DIMENSIONS, Shape
from zoo.basics.extras import imported
from zoo.errors import BadCheckpoint

_MOST_HEADER = 4 << 20  # bytes; that of a large BERT has 40 kilobytes


class SafetensorsFile:
    """Maps the file into memory and reads one variable at a time. The library checks header and size of the file."""

    facts: tuple[str, ...] = ()

    def __init__(self, file: Path) -> None:
        safetensors = imported("safetensors", f"reading {file.name}", "hf")
        self.files = (file,)
        try:
            with file.open("rb") as opened:
                header = int.from_bytes(opened.read(8), "little")
            if _MOST_HEADER < header < file.stat().st_size:
                raise BadCheckpoint(f"{file} has a header of {header:,} bytes; at most {_MOST_HEADER:,} are read.")
            self._file = safetensors.safe_open(file, framework="numpy")
            slices = {name: self._file.get_slice(name) for name in sorted(self._file.keys())}
            shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
            kinds = {name: str(each.get_dtype()) for name, each in slices.items()}
        except (safetensors.SafetensorError, OSError) as error:
            raise BadCheckpoint(f"{file} cannot be read: {error}. Fetch it again.") from None
        if deep := [name for name, shape in shapes.items() if len(shape) > MOST_DIMENSIONS]:
            raise BadCheckpoint(f"{file} cannot be read: {len(shapes[deep[0]]):,} dimensions in {deep[0]!r}.")
        refuse_quantised(file, shapes, {name for name, kind in kinds.items() if _is_small(kind)})
        self.shapes: Mapping[str, Shape] = shapes

    def read(self, name: str) -> np.ndarray:
        from safetensors import SafetensorError

        try:
            value: np.ndarray = self._file.get_tensor(name)
        # numpy lacks the kind of number (float8), or the shape is too large for numpy.
        except (TypeError, AttributeError, ValueError, OverflowError, SafetensorError) as error:
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {error}.") from None
        return value


def _is_small(kind: str) -> bool:
    """Return whether a kind of numbers has 8 bits or fewer: "I8", "U8", "F8_E4M3", "F4"."""
    return kind[:1] in "IUF" and int(re.match(r"\d*", kind[1:])[0] or 64) <= 8  # type: ignore[index]
