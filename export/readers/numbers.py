"""Refuses quantised weights by name: weights are numbers of 16 bits and more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from export.readers.protocol import Shape
from zoo.errors import Unsupported

NO_QUANTISED = "Quantised weights are not converted: export the model that was quantised"


def refuse_quantised(file: Path, shapes: Mapping[str, Shape], small: Collection[str]) -> None:
    """Raise Unsupported if a matrix is among the variables that are stored in `small` numbers, of 8 bits or fewer.

    Such numbers mean something only together with scales that are stored elsewhere. Vectors may be buffers or masks.
    """
    if found := sorted(name for name in small if len(shapes[name]) > 1):
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Unsupported(f"{file} stores matrices in 8 bits: {', '.join(found[:5])}{more}. {NO_QUANTISED}.")
