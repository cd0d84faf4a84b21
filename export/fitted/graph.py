"""Reads the graph of a Keras 3 model backwards: by which operation a tensor was made, and of what.

Keras has no public names for this: a tensor's `_keras_history` and an operation's `_inbound_nodes` are where
`keras.Model` itself finds the graph.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from zoo.errors import Unsupported


@dataclass(frozen=True)
class Made:
    """How a tensor was made: it is output number `index` of one call of an operation, which may be a layer."""

    operation: Any
    call: int
    index: int
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[Any, ...]  # all tensors in args and kwargs

    @property
    def key(self) -> tuple[int, int, int]:
        """The same for every tensor that means this output."""
        return id(self.operation), self.call, self.index

    def __str__(self) -> str:
        """The layer or operation in words: "layer 'flatten' (Flatten)"."""
        what = "layer" if isinstance(self.operation, keras.layers.Layer) else "operation"
        return f"{what} {self.operation.name!r} ({type(self.operation).__name__})"


class KerasGraph:
    """The operations behind tensors. Models that are layers of other models are looked into."""

    def __init__(self) -> None:
        self._outside: dict[int, Any] = {}  # id of the input of an inner model -> the tensor that it was called with

    def made(self, tensor: Any) -> Made:
        """Return how a tensor was made. Raises Unsupported for an inner model that is called twice."""
        while True:
            history = tensor._keras_history
            operation = history.operation
            node = operation._inbound_nodes[history.node_index]
            if inner := outputs_of(operation):
                for inside, outside in zip(operation.inputs, node.input_tensors, strict=True):
                    if self._outside.setdefault(id(inside), outside) is not outside:
                        raise Unsupported(
                            f"the model calls {operation.name!r} twice. A text archive answers one text, or one pair, "
                            "by one call of its encoder."
                        )
                tensor = inner[history.tensor_index]
            elif id(tensor) in self._outside:
                tensor = self._outside[id(tensor)]
            else:
                how = node.arguments
                return Made(
                    operation,
                    history.node_index,
                    history.tensor_index,
                    tuple(how.args),
                    how.kwargs,
                    tuple(node.input_tensors),
                )

    def behind(self, tensor: Any) -> Iterator[Made]:
        """Yield every output that a tensor depends on, once; its own first."""
        seen, left = set(), [tensor]
        while left:
            made = self.made(left.pop())
            if made.key not in seen:
                seen.add(made.key)
                left += made.inputs
                yield made

    def formula(self, tensor: Any, leaves: Mapping[tuple[int, int, int], Hashable]) -> Hashable:
        """Return a value that equal computations share: operations with their settings, down to the `leaves`.

        `leaves` are keys of `Made` -> anything that stands for this tensor.
        """
        made = self.made(tensor)
        if made.key in leaves:
            return leaves[made.key]
        operation = made.operation
        if isinstance(operation, keras.layers.Layer):
            return (id(operation), *(self.formula(each, leaves) for each in made.inputs))
        settings = {name: value for name, value in operation.get_config().items() if name != "name"}
        return type(operation).__name__, self._frozen([settings, made.args, made.kwargs], leaves)

    def _frozen(self, value: Any, leaves: Mapping[tuple[int, int, int], Hashable]) -> Hashable:
        if isinstance(value, keras.KerasTensor):
            return self.formula(value, leaves)
        if isinstance(value, Mapping):
            kept = ((name, self._frozen(each, leaves)) for name, each in sorted(value.items()) if each is not None)
            return tuple(kept)
        if isinstance(value, list | tuple):
            parts = [self._frozen(each, leaves) for each in value]
            while parts and parts[-1] == _WHOLE:  # x[:, 0, :] is x[:, 0]
                parts.pop()
            return tuple(parts)
        return repr(value)


_WHOLE = repr(slice(None))


def outputs_of(operation: Any) -> list[Any]:
    """Return the output tensors of a Functional or Sequential model; [] for whatever has no graph."""
    found = getattr(operation, "outputs", None) if isinstance(operation, keras.Model) else None
    return list(found or [])
