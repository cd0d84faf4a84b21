"""Calls the functions of a loaded model by the graphs that were saved, so that TensorFlow traces no new graph.

TensorFlow traces a loaded function again for every new shape, and for every new Python list. A trace takes longer than
most calls and keeps about 2 MiB of memory. The saved graphs accept any shape, so they are called directly.

A *form* is one way to give inputs that was saved: a tensor, a list of three tensors, a dict with certain keys.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zoo.contract import INPUT_KEYS, INPUT_WORD_IDS, head_inputs
from zoo.errors import BadArgument
from zoo.loading.texts import wrong_texts

_WIDE = {"int64", "uint32", "uint64"}  # integer types with values that int32 cannot hold


class _Saved(NamedTuple):
    """One saved form of a function: the specs of its inputs, the specs of its other arguments, and the graph."""

    inputs: Any
    others: Sequence[Any]
    graph: Callable[..., Any]


class Forms:
    """Calls a loaded function without a new trace, for any shape, for lists, and for integers of several widths.

        detokenize = Forms(tokenizer.detokenize)
        detokenize([[872, 1962]])

    Raises BadArgument for shapes that contradict each other. If no form fits, TensorFlow gets the call; its error lists
    the forms.
    """

    def __init__(self, function: Any, otherwise: Callable[..., Any] | None = None) -> None:
        self._otherwise = otherwise or function
        self._parameters = inspect.signature(function).parameters
        self._saved: dict[str, list[_Saved]] = {}
        for graph in function.concrete_functions:
            positional, _ = graph.structured_input_signature
            if positional:
                inputs, *others = positional
                self._saved.setdefault(form_of(inputs), []).append(_Saved(inputs, others, graph))
        specs = [spec for forms in self._saved.values() for form in forms for spec in _leaves(form.inputs)]
        self._accepted = {spec.dtype.name for spec in specs}
        self._ranks_of_texts = {spec.shape.rank for spec in specs} if self._accepted == {"string"} else set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function and return its result."""
        given = dict(zip(self._parameters, args, strict=False)) | kwargs
        if len(given) < len(args) + len(kwargs) or not given.keys() <= self._parameters.keys():
            return self._otherwise(*args, **kwargs)
        first, *rest = (given.get(name, each.default) for name, each in self._parameters.items())
        inputs = self._prepared(first)
        for saved in self._saved.get(form_of(inputs), ()):
            if _fits(inputs, saved.inputs) and (others := _others(rest, saved.others)) is not None:
                return saved.graph(inputs, *others)
        self._check_strings(inputs)
        return self._otherwise(*args, **kwargs)

    def _check_strings(self, inputs: Any) -> None:
        """Raise BadArgument for strings if no form takes any, as in heads; for anything if only strings are taken."""
        if self._ranks_of_texts:
            raise BadArgument(wrong_texts(inputs, self._ranks_of_texts))
        if "string" not in self._accepted and any(leaf.dtype.name == "string" for leaf in _leaves(inputs)):
            raise BadArgument(
                "these inputs are strings, and this function takes ids alone, integers [B, T]. A tokenizer's "
                "`preprocess` makes them of texts."
            )

    def _prepared(self, inputs: Any) -> Any:
        """Return inputs as tensors with integers of one width. A list that no form has becomes one tensor."""
        if self._ranks_of_texts and isinstance(inputs, list | tuple) and not inputs:
            import tensorflow as tf

            return tf.zeros([0], tf.string)
        if isinstance(inputs, Mapping) or form_of(inputs) in self._saved:
            inputs = tensors_of(inputs)
        elif isinstance(inputs, list | tuple) and any(hasattr(value, "dtype") for value in inputs):
            inputs = _stacked(self._of_one_width([*map(tensors_of, inputs)], form_of(None)))
        else:
            inputs = tensors_of(inputs)
        check_shapes(inputs)
        return self._of_one_width(inputs, form_of(inputs))

    def _of_one_width(self, inputs: Any, form: str) -> Any:
        accepted = {spec.dtype.name for saved in self._saved.get(form, ()) for spec in _leaves(saved.inputs)}
        return of_one_width(inputs, accepted)


def without_traces(loaded: Any) -> None:
    """Change a loaded object, so that its functions, and those of its heads, are called by `Forms`.

    Functions with a fixed signature, as most of a tokenizer's, are left alone: TensorFlow never traces them again.
    """
    for function in _functions(loaded):
        if _has_forms(function):
            kind = type(function)
            function.forms = Forms(function, kind.__call__.__get__(function))
            function.__class__ = _untraced(kind)


def caller(function: Any) -> Callable[..., Any]:
    """Return `Forms(function)`, or the function itself if it needs no `Forms` or has them already."""
    return function if hasattr(function, "forms") or not _has_forms(function) else Forms(function)


# -- inputs: their form, their tensors, their shapes and widths ---------------------------------------------------


def form_of(inputs: Any) -> str:
    """Return the form of inputs in words: 'a tensor', 'a list or tuple of 2', '{input_mask, input_word_ids}'."""
    if isinstance(inputs, Mapping):
        return f"{{{', '.join(sorted(inputs))}}}"
    if isinstance(inputs, list | tuple):
        return f"a list or tuple of {len(inputs)}"
    return "a tensor"


def tensor_of(value: Any) -> Any:
    """Return an array, number, text or nested list as a tensor. Python integers become int32 if they fit."""
    import tensorflow as tf

    if tf.is_tensor(value):
        return value
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise BadArgument(
            f"these inputs cannot become a tensor ({error}): all rows need the same length and one type."
        ) from None


def tensors_of(inputs: Any, make: Callable[[Any], Any] = tensor_of) -> Any:
    """Return inputs with every value turned into a tensor, in the same nesting."""
    if isinstance(inputs, Mapping):
        return {name: tensors_of(value, make) for name, value in inputs.items()}
    if isinstance(inputs, list | tuple) and any(hasattr(value, "dtype") for value in inputs):
        return (list if isinstance(inputs, list) else tuple)(tensors_of(value, make) for value in inputs)
    return make(inputs)


def check_shapes(inputs: Any) -> None:
    """Raise BadArgument for a dict of tensors, symbolic or not, whose known shapes contradict each other.

    Shapes that are unknown here are checked by the graph of the archive. Archives of older exporters do not check them.
    """
    import tensorflow as tf

    if not isinstance(inputs, Mapping) or INPUT_WORD_IDS not in inputs:
        return
    shapes = {name: tf.TensorShape(tensor.shape) for name, tensor in inputs.items()}
    ids = shapes[INPUT_WORD_IDS]
    wrong = [name for name in INPUT_KEYS[1:] if name in shapes and not shapes[name].is_compatible_with(ids)]
    positions = head_inputs()
    wrong += [name for name in positions if name in shapes and not shapes[name][:1].is_compatible_with(ids[:1])]
    if wrong:
        found = "; ".join(f"{name} is {shapes[name]}" for name in (INPUT_WORD_IDS, *wrong))
        raise BadArgument(
            f"{found}: mask and types need the shape of the ids, and {', '.join(positions)} a row for each of theirs."
        )


def of_one_width(inputs: Any, accepted: set[str]) -> Any:
    """Return inputs with integers of any width, and bool masks, cast to one type of `accepted`, a wide one if needed.

    If only int32 is accepted, numbers beyond its range become the nearest number in it. Both are beyond the rows of any
    table, so the graph treats them alike.
    """
    import tensorflow as tf

    found = {leaf.dtype.name for leaf in _leaves(inputs) if is_integer(leaf.dtype.name)}
    choices = accepted & {"int32", "int64"}
    if not choices or not found or (len(found) == 1 and found <= choices):
        return inputs
    wanted = max(choices) if found & _WIDE else min(choices)

    def cast(tensor: Any) -> Any:
        name = tensor.dtype.name
        if not is_integer(name) or name == wanted or _is_ragged(tensor):
            return tensor
        if name in _WIDE and wanted == "int32":
            tensor = tf.clip_by_value(tf.cast(tensor, tf.int64), tf.int32.min, tf.int32.max)
        return tf.cast(tensor, wanted)

    return tf.nest.map_structure(cast, inputs)


def is_integer(dtype: str) -> bool:
    """Return whether ids and masks may have a dtype: true for "int32", "uint8", "bool"."""
    return dtype == "bool" or dtype.startswith(("int", "uint"))


def _stacked(tensors: Sequence[Any]) -> Any:
    """Return the tensors stacked into one. Raises BadArgument, which names both shapes, if two shapes differ."""
    import tensorflow as tf

    for tensor in tensors[1:]:
        if not tensor.shape.is_compatible_with(tensors[0].shape):
            raise BadArgument(
                f"inputs in a list are ids, mask and types and need one shape, but these have {tensors[0].shape} and "
                f"{tensor.shape}."
            )
    return tf.stack(tensors)


# -- functions and their saved forms ------------------------------------------------------------------------------


def _functions(loaded: Any) -> Iterator[Any]:
    """Yield the functions in the attributes of a loaded object, and in those of its heads."""
    attributes = [*vars(loaded).values()] if hasattr(loaded, "__dict__") else []
    for value in attributes:
        if hasattr(value, "concrete_functions"):
            yield value
        elif "__call__" in getattr(value, "__dict__", {}):
            yield from _functions(value)


def _has_forms(function: Any) -> bool:
    """Return whether a function was loaded and has no fixed signature."""
    return bool(getattr(function, "concrete_functions", ())) and getattr(function, "input_signature", 0) is None


def _untraced(kind: type) -> type:
    """Return a subclass of a loaded function's class that is called by `self.forms`.

    It is made here, because a class statement in the module would need TensorFlow on import.
    """

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.forms(*args, **kwargs)

    return type(kind.__name__, (kind,), {"__call__": call, "__doc__": kind.__doc__})


def _leaves(inputs: Any) -> Iterator[Any]:
    """Yield the tensors or specs in nested inputs."""
    if isinstance(inputs, Mapping | list | tuple):
        for value in inputs.values() if isinstance(inputs, Mapping) else inputs:
            yield from _leaves(value)
    elif hasattr(inputs, "dtype"):
        yield inputs


def _fits(value: Any, spec: Any) -> bool:
    """Return whether tensors fit the spec of a form. Both are nested in the same way."""
    if isinstance(spec, Mapping):
        return all(_fits(value[name], each) for name, each in spec.items())
    if isinstance(spec, list | tuple):
        return isinstance(value, list) == isinstance(spec, list) and all(map(_fits, value, spec))
    if _is_ragged(value):
        return bool(spec.is_compatible_with(value))
    return bool(value.dtype == spec.dtype and spec.shape.is_compatible_with(value.shape)) and not _is_ragged(spec)


def _others(values: Sequence[Any], specs: Sequence[Any]) -> list[Any] | None:
    """Return the arguments after the inputs as a form takes them, or None if the form was saved for other values."""
    import tensorflow as tf

    found = []
    for value, spec in zip(values, specs, strict=True):
        if isinstance(spec, tf.TensorSpec):
            value = of_one_width(tf.convert_to_tensor(value), {spec.dtype.name})
            if not _fits(value, spec):
                return None
        elif tf.is_tensor(value) or value != spec:
            return None
        found.append(value)
    return found


def _is_ragged(tensor: Any) -> bool:
    return getattr(tensor, "ragged_rank", None) is not None
