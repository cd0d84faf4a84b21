"""What every checkpoint reader offers: names, shapes, and one variable at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

Format = Literal["tf1", "huggingface"]
Shape = tuple[int, ...]


class Checkpoint(Protocol):
    """A checkpoint on disk. Nothing but names and shapes is held in memory."""

    @property
    def format(self) -> Format: ...

    @property
    def path(self) -> Path:
        """The directory it lies in."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The config file, word for word."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read, for digests."""

    @property
    def shapes(self) -> Mapping[str, Shape]: ...

    def read(self, name: str) -> np.ndarray:
        """Return one variable as stored. Raises BadCheckpoint when its bytes are damaged."""
