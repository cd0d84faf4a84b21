"""Shows stored variables under other names and shapes, so that one table of names per family is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from export.readers.protocol import Container, Shape
from zoo.errors import BadCheckpoint


@dataclass(frozen=True)
class RenamedVariable:
    """One stored variable under the name and shape that it is shown with; `change` turns the stored array into that."""

    name: str
    stored: str
    shape: Shape
    change: Callable[[np.ndarray], np.ndarray] = lambda value: value


def as_stored(name: str, stored: str, shape: Shape) -> RenamedVariable:
    return RenamedVariable(name, stored, shape)


def transposed(name: str, stored: str, shape: Shape) -> RenamedVariable:
    return RenamedVariable(name, stored, shape[::-1], np.transpose)


def reshaped(name: str, stored: str, shape: Shape) -> RenamedVariable:
    return RenamedVariable(name, stored, shape, lambda value: value.reshape(shape))


def without_first_row(name: str, stored: str, shape: Shape) -> RenamedVariable:
    return RenamedVariable(name, stored, (shape[0] - 1, *shape[1:]), lambda value: value[1:])


class RenamedVariables:
    """A container whose variables have other names. Raises BadCheckpoint when two of them would have one name."""

    def __init__(self, container: Container, variables: Iterable[RenamedVariable], facts: Iterable[str] = ()) -> None:
        self.files = container.files
        self.facts = (*container.facts, *facts)
        self._container = container
        self._variables: dict[str, RenamedVariable] = {}
        for variable in variables:
            if other := self._variables.get(variable.name):
                raise BadCheckpoint(
                    f"{self.files[0]} holds '{variable.name}' twice: as '{other.stored}' and as '{variable.stored}'."
                )
            self._variables[variable.name] = variable
        self.shapes: Mapping[str, Shape] = {name: self._variables[name].shape for name in sorted(self._variables)}

    @property
    def stored(self) -> Container:
        """The container with the names that the files have."""
        return self._container.stored if isinstance(self._container, RenamedVariables) else self._container

    def read(self, name: str) -> np.ndarray:
        variable = self._variables[name]
        return variable.change(self._container.read(variable.stored))
