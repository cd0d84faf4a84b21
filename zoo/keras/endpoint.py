"""The callable inside a loaded SavedModel: which one, what it may be called with, and the shapes that come out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.contract import ENCODER_AXES, INPUT_KEYS, INPUT_WORD_IDS, head_inputs, head_outputs
from zoo.errors import BadArgument
from zoo.loading.calls import caller, check_shapes, form_of, is_integer, of_one_width

Leaf = tuple[str, int | None]  # dtype, rank


class BadInputs(BadArgument, NotImplementedError):
    """Inputs that a SavedModel has no form for.

    A keras.Sequential without an Input tries its layers on float inputs first, and takes a NotImplementedError for
    "wait for the data".
    """


@dataclass(frozen=True)
class Endpoint:
    """What a layer calls. `owner` has the lists of variables; `forms` is how inputs may be nested -> their leaves."""

    name: str
    function: Callable[..., Any]
    owner: Any
    forms: Mapping[str, frozenset[Leaf]]
    takes_training: bool
    is_signature: bool

    def check(self, inputs: Any) -> None:
        """Raise BadInputs when there is no form for these tensors, symbolic or not; BadArgument for odd shapes."""
        check_shapes(inputs)
        leaves = self.forms.get(form_of(inputs), frozenset())
        found = [_leaf(tensor) for tensor in _tensors(inputs)]
        if not self.forms or (leaves and all(_fits(leaf, leaves) for leaf in found)):
            return
        if any(dtype.startswith(("float", "bfloat")) for dtype, _ in found):
            raise BadInputs(
                f"{self.name} takes integers or strings, these inputs are {_in_words(found)}. In a Keras model that is "
                "for keras.Input to say: keras.Input([None], dtype='int32'); for texts keras.Input([], dtype='string')."
            )
        takes = "; ".join(f"{form}: {_in_words(leaves)}" for form, leaves in self.forms.items())
        raise BadInputs(f"{self.name} has no form for {form_of(inputs)}: {_in_words(found)}. It takes {takes}.")

    def __call__(self, inputs: Any, arguments: Mapping[str, Any]) -> Any:
        """Return the outputs for tensors that `check` let pass."""
        import tensorflow as tf

        inputs = of_one_width(inputs, {dtype for dtype, _ in self.forms.get(form_of(inputs), ())})
        if self.is_signature and isinstance(inputs, Mapping):
            return self.function(**inputs, **arguments)
        outputs = self.function(inputs, **arguments)
        if not tf.executing_eagerly() and isinstance(outputs, Mapping):
            _set_shapes(outputs, inputs, arguments)
        return outputs


def endpoint_of(loaded: Any, model: str, endpoint: str | None, signature: str | None) -> Endpoint:
    """Return the callable of that name, the root itself without one. Raises BadArgument, which lists what there is."""
    if endpoint and signature:
        raise BadArgument(f"{model}: endpoint={endpoint!r} and signature={signature!r} exclude each other.")
    if signature:
        signatures = dict(getattr(loaded, "signatures", {}))
        if signature not in signatures:
            raise BadArgument(f"{model} has no signature {signature!r}. There is {_listed(signatures)}.")
        function = signatures[signature]
        return Endpoint(f"{model}, signature {signature}", function, loaded, _forms([function]), False, True)
    is_public = endpoint is None or not endpoint.startswith("_")  # "__class__" and the like are no endpoints
    owner = loaded if endpoint is None else getattr(loaded, endpoint, None) if is_public else None
    if not callable(owner):
        there = [name for name in vars(loaded) if not name.startswith("_") and callable(getattr(loaded, name))]
        raise BadArgument(f"{model} has no endpoint {endpoint!r} to call. There is {_listed(there)}.")
    function = owner if hasattr(owner, "concrete_functions") else owner.__call__
    return Endpoint(
        f"{model}.{endpoint}" if endpoint else model,
        caller(function),
        owner if hasattr(owner, "variables") else loaded,
        _forms(getattr(function, "concrete_functions", ())),
        "training" in inspect.signature(function).parameters,
        False,
    )


def _listed(names: Any) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"


# -- what goes in -------------------------------------------------------------------------------------------------


def _forms(functions: Any) -> dict[str, frozenset[Leaf]]:
    forms: dict[str, frozenset[Leaf]] = {}
    for function in functions:
        positional, named = function.structured_input_signature
        inputs = positional[0] if positional else named
        leaves = frozenset(map(_leaf, _tensors(inputs)))
        for form in {form_of(inputs), *([form_of(None)] if not positional and len(named) == 1 else [])}:
            forms[form] = forms.get(form, frozenset()) | leaves
    if form_of(dict.fromkeys(INPUT_KEYS)) in forms:  # of an encoder: its tensors of other ranks are stacked lists
        plain = forms.get(form_of(None), frozenset())
        stacked = frozenset((dtype, 2) for dtype, rank in plain if rank in (None, 3))
        if stacked:
            tensors = stacked | {leaf for leaf in plain if leaf[1] == 2}
            forms |= {form_of(None): tensors, form_of([None] * 2): stacked, form_of([None] * 3): stacked}
    return forms


def _tensors(inputs: Any) -> Iterator[Any]:
    if isinstance(inputs, Mapping | list | tuple):
        for value in inputs.values() if isinstance(inputs, Mapping) else inputs:
            yield from _tensors(value)
    else:
        yield inputs


def _leaf(tensor: Any) -> Leaf:
    dtype, shape = getattr(tensor.dtype, "name", tensor.dtype), tensor.shape
    kind = "ragged " if getattr(tensor, "ragged_rank", None) else ""
    return f"{kind}{dtype}", shape.rank if hasattr(shape, "rank") else len(shape)


def _in_words(leaves: Iterable[Leaf]) -> str:
    dtypes: dict[int | None, set[str]] = {}
    for dtype, rank in leaves:
        dtypes.setdefault(rank, set()).add(dtype)
    return " or ".join(
        "/".join(sorted(names)) + ("" if rank is None else f" of rank {rank}") for rank, names in dtypes.items()
    )


def _fits(leaf: Leaf, accepted: frozenset[Leaf]) -> bool:
    def same(dtype: str, rank: int | None) -> bool:
        is_number = is_integer(leaf[0]) and is_integer(dtype)
        return (leaf[0] == dtype or is_number) and (None in (leaf[1], rank) or leaf[1] == rank)

    return any(same(dtype, rank) for dtype, rank in accepted)


# -- what comes out -----------------------------------------------------------------------------------------------


def _set_shapes(outputs: Mapping[str, Any], inputs: Any, arguments: Mapping[str, Any]) -> None:
    """Write into the outputs' static shapes what the static shapes of the inputs say."""
    ids = next(_tensors(inputs.get(INPUT_WORD_IDS, inputs) if isinstance(inputs, Mapping) else inputs))
    if ids.shape.rank is None:
        return
    # Letters of axes as in zoo/contract; L is the seq_length that a tokenizer is given.
    length = arguments.get("seq_length")
    known = {"B": ids.shape[0], "L": length if isinstance(length, int) else None}
    known["T"] = (ids.shape[1] or None) if ids.shape.rank == 2 else None  # no tokens at all become one of padding
    for name, axes in head_inputs().items():
        if isinstance(inputs, Mapping) and name in inputs:
            known = {axis: inputs[name].shape[i] for i, axis in enumerate(axes)} | known
    axes_of = ENCODER_AXES | head_outputs() | dict.fromkeys(INPUT_KEYS, "BL")
    for name, output in outputs.items():
        for tensor in output if isinstance(output, list | tuple) else [output]:
            if name in axes_of and tensor.shape.rank is not None:
                sizes = [known.get(axis) for axis in axes_of[name]]
                tensor.set_shape(sizes + [None] * (tensor.shape.rank - len(sizes)))
