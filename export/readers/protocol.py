"""The interface of every checkpoint reader: names, shapes, and one variable at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from zoo.archive.sentence import SentenceVectors
from zoo.archive.tensor_index import MOST_DIMENSIONS, Shape
from zoo.archive.tensor_table import MOST_VARIABLES

__all__ = [
    "MOST_DIMENSIONS",
    "MOST_VARIABLES",
    "Checkpoint",
    "CheckpointView",
    "Container",
    "Format",
    "OpenedCheckpoint",
    "Shape",
]

# The code base whose conventions a checkpoint follows. Variables of "tf2" are shown under the names of "tf1", those of
# "uer" under the names of "huggingface"; the word "gelu" in the config means something else in each. "archive" is an
# encoder archive of this project, which states what it computes.
Format = Literal["tf1", "tf2", "huggingface", "uer", "archive"]


class Container(Protocol):
    """The variables of one file, or of several that belong together."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read, for digests; the main one first."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Every name and its shape, sorted by name."""

    @property
    def facts(self) -> tuple[str, ...]:
        """Sentences for the card about what the reader chose, and what it left out beside the variables."""

    def read(self, name: str) -> np.ndarray:
        """Return one variable as stored. Raises BadCheckpoint when its bytes are damaged."""


class Checkpoint(Protocol):
    """A checkpoint on disk. Nothing but names and shapes is held in memory."""

    @property
    def format(self) -> Format: ...

    @property
    def path(self) -> Path:
        """The directory of the checkpoint, or the temporary one that its archive was unpacked to."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings of the config file, under the keys that google-research/bert uses."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read, for digests; first the archive, if there is one."""

    @property
    def shapes(self) -> Mapping[str, Shape]: ...

    @property
    def facts(self) -> tuple[str, ...]:
        """Sentences for the card about the reader's choices and changes."""

    @property
    def family(self) -> str | None:
        """The name of the family, if the source states it."""

    @property
    def sentence(self) -> SentenceVectors | None:
        """How texts become vectors, as the card of an archive states it; for other checkpoints files may say it."""

    @property
    def heads(self) -> int | None:
        """The number of attention heads, if the shapes of the variables state it."""

    @property
    def stored(self) -> Container:
        """The variables as the files store them, under the names in the files."""

    def read(self, name: str) -> np.ndarray:
        """Return one variable as stored. Raises BadCheckpoint when its bytes are damaged."""


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A container together with its config and the facts that readers found."""

    format: Format
    path: Path
    config: Mapping[str, Any]
    files: tuple[Path, ...]
    container: Container
    stored: Container
    facts: tuple[str, ...] = ()
    sentence: SentenceVectors | None = None
    heads: int | None = None
    family: str | None = None

    @property
    def shapes(self) -> Mapping[str, Shape]:
        return self.container.shapes

    def read(self, name: str) -> np.ndarray:
        return self.container.read(name)


class CheckpointView:
    """A checkpoint that shows another one, `parent`. A subclass replaces the attributes in which it differs."""

    def __init__(self, parent: Checkpoint) -> None:
        self.parent = parent
        self.format: Format = parent.format
        self.path: Path = parent.path
        self.config: Mapping[str, Any] = parent.config
        self.files: tuple[Path, ...] = parent.files
        self.shapes: Mapping[str, Shape] = parent.shapes
        self.facts: tuple[str, ...] = parent.facts
        self.heads, self.family, self.sentence = parent.heads, parent.family, parent.sentence
        self.stored: Container = parent.stored

    def read(self, name: str) -> np.ndarray:
        """Return one variable as the parent has it."""
        return self.parent.read(name)
