"""Variables under other names and shapes than they are stored with, so that one table per family is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from export.readers.protocol import Container, Shape
from zoo.errors import BadCheckpoint


@dataclass(frozen=True)
class View:
    """One stored variable as it is shown."""

    name: str
    stored: str
    shape: Shape
    change: Callable[[np.ndarray], np.ndarray] = lambda value: value


def as_stored(name: str, stored: str, shape: Shape) -> View:
    return View(name, stored, shape)


def transposed(name: str, stored: str, shape: Shape) -> View:
    return View(name, stored, shape[::-1], np.transpose)


def reshaped(name: str, stored: str, shape: Shape) -> View:
    return View(name, stored, shape, lambda value: value.reshape(shape))


def without_first_row(name: str, stored: str, shape: Shape) -> View:
    return View(name, stored, (shape[0] - 1, *shape[1:]), lambda value: value[1:])


class Viewed:
    """A container seen through views. Raises BadCheckpoint when two variables would be shown under one name."""

    def __init__(self, container: Container, views: Iterable[View]) -> None:
        self.files = container.files
        self._container = container
        self._views: dict[str, View] = {}
        for view in views:
            if other := self._views.get(view.name):
                raise BadCheckpoint(
                    f"{self.files[0]} holds '{view.name}' twice: as '{other.stored}' and as '{view.stored}'."
                )
            self._views[view.name] = view
        self.shapes: Mapping[str, Shape] = {name: self._views[name].shape for name in sorted(self._views)}

    @property
    def stored(self) -> Container:
        """The container itself, without views."""
        return self._container.stored if isinstance(self._container, Viewed) else self._container

    def read(self, name: str) -> np.ndarray:
        view = self._views[name]
        return view.change(self._container.read(view.stored))
