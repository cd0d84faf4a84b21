"""Finds the weights in what torch.save wrote: the tensors themselves, or a dictionary of them one or two levels down.

    {"epoch": 3, "model": {"bert.pooler.dense.bias": tensor, …}, "optimizer": {…}}  ->  the tensors of ["model"]

Everything beside the weights is left out by name. A file that Python could only load by running code of its own, such
as a whole model, is refused with the line of Python that saves its weights alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from export.readers.numbers import refuse_quantised
from export.readers.torch_names import Harmless, Stranger
from export.readers.torch_pickle import BadPickle, Described, StoredTensor

_MOST_DEPTH = 2  # dictionaries around the weights: {"model": {"state_dict": weights}} has two
_OPTIMISER = {"state", "param_groups"}  # the keys of an optimiser's state, which holds tensors of the weights' sizes
_WORDS: Mapping[type, str] = {StoredTensor: "tensor", dict: "dictionary", str: "text", int: "number", float: "number"}
_SHOWN = 20  # entries that are named in one sentence
_LONGEST = 60  # characters of a key


@dataclass(frozen=True)
class StateDict:
    """The tensors of a file by name, and sentences for the card about what else the file holds."""

    tensors: Mapping[str, StoredTensor]
    facts: tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """A dictionary with tensors: the keys that lead to it, ("model", "state_dict"), and its entries."""

    keys: tuple[object, ...]
    entries: Mapping[object, object]

    @property
    def tensors(self) -> dict[str, StoredTensor]:
        return {str(key): value for key, value in self.entries.items() if isinstance(value, StoredTensor)}

    @property
    def numbers(self) -> int:
        return sum(prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def path(self) -> str:
        return "".join(f"[{_shown(key)}]" for key in self.keys)


def state_dict_of(described: Described, file: Path) -> StateDict:
    """Return the weights that a file describes: the largest group of tensors.

    Raises BadPickle when there are none, when several groups are about as large and differ, and when the file names
    code of others; Unsupported when the weights are quantised.
    """
    groups = sorted(_groups((), described.value, set()), key=lambda group: -group.numbers)
    if described.stranger:
        raise BadPickle(_refusal(described, groups, file))
    if not groups:
        raise BadPickle(_no_weights(described.value))
    chosen, *others = groups
    as_large = [group for group in others if group.numbers * 2 >= chosen.numbers]
    same = [group for group in as_large if group.tensors == chosen.tensors]
    rivals = [group for group in as_large if group.tensors != chosen.tensors]
    if rivals:
        lines = "; ".join(f"`{_saving(file, group.path)}`" for group in (chosen, *rivals)[:_SHOWN])
        raise BadPickle(
            f"it holds {len(rivals) + 1} groups of weights: {_listed(group.path for group in (chosen, *rivals))}. Save "
            f"the one to use as a file of its own, in Python: {lines}"
        )
    shapes = {name: tensor.shape for name, tensor in chosen.tensors.items()}
    refuse_quantised(file, shapes, {name for name, tensor in chosen.tensors.items() if _is_small(tensor)})
    return StateDict(chosen.tensors, tuple(_facts(described.value, chosen, same, file)))


def _groups(keys: tuple[object, ...], value: object, seen: set[int]) -> Iterator[_Group]:
    """Yield every dictionary that has tensors among its entries, each once: one may stand under many keys."""
    if not isinstance(value, dict) or id(value) in seen or value.keys() >= _OPTIMISER:
        return
    seen.add(id(value))
    if any(isinstance(entry, StoredTensor) for entry in value.values()):
        yield _Group(keys, value)
    if len(keys) < _MOST_DEPTH:
        for key, entry in value.items():
            yield from _groups((*keys, key), entry, seen)


def _is_small(tensor: StoredTensor) -> bool:
    return tensor.storage.dtype.itemsize == 1 and tensor.storage.dtype.kind != "b"


# -- what the card says -----------------------------------------------------------------------------------------------


def _facts(value: object, chosen: _Group, same: list[_Group], file: Path) -> Iterator[str]:
    if chosen.keys:
        yield f"the weights are the {len(chosen.tensors):,} tensors of {chosen.path} in {file.name}"
    if same:
        yield f"{_listed(group.path for group in same)} in {file.name} holds the same tensors again"
    left_out: list[str] = []
    level: object = value
    for depth in range(len(chosen.keys) + 1):
        assert isinstance(level, dict)  # the keys of a group lead through dictionaries
        used = chosen.keys[depth] if depth < len(chosen.keys) else None
        others = {key: entry for key, entry in level.items() if key != used or depth == len(chosen.keys)}
        if depth == len(chosen.keys):
            others = {key: entry for key, entry in others.items() if not isinstance(entry, StoredTensor)}
        left_out += [
            f"{_shown(key)} ({'the same again' if entry is chosen.entries else _in_words(entry)})"
            for key, entry in others.items()
        ]
        level = level[used] if depth < len(chosen.keys) else None
    if left_out:
        yield f"left out of {file.name}, because they are no weights of the model: {_listed(left_out)}"


def _in_words(value: object) -> str:
    if isinstance(value, dict) and value.keys() >= _OPTIMISER:
        return "state of an optimiser"
    if isinstance(value, Harmless):
        return value.name
    return _WORDS.get(type(value), type(value).__name__)


def _shown(key: object) -> str:
    text = repr(key)  # repr escapes what a terminal must not get
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _listed(texts: Iterator[str] | list[str]) -> str:
    texts = list(texts)
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(text[: 2 * _LONGEST] for text in texts[:_SHOWN]) + more


# -- what is refused --------------------------------------------------------------------------------------------------


def _no_weights(value: object) -> str:
    if not isinstance(value, dict) or not value:
        return f"it should hold a dict of tensors by name, but holds a {type(value).__name__}"
    if value.keys() >= _OPTIMISER:
        return "it holds the state of an optimiser and no weights. Give the file of the model"
    return (
        f"not a state_dict: {len(value)} of {len(value)} entries are not tensors "
        f"({', '.join(_shown(key).strip(chr(39)) for key in [*value][:5])}). Save the state_dict alone"
    )


def _refusal(described: Described, groups: list[_Group], file: Path) -> str:
    """Return words for the name that is a stranger, and a line of Python that saves the weights alone."""
    value = described.value
    if groups:
        line = _saving(file, groups[0].path)
    else:
        models = [key for key, entry in value.items() if isinstance(entry, Stranger)] if isinstance(value, dict) else []
        line = _saving(file, "".join(f"[{_shown(key)}]" for key in models[:1]) + ".state_dict()")
    return (
        f"its pickle asks for '{described.stranger}', which Python would run code for; nothing of it was run. If you "
        f"trust the file, save its weights alone where it can be loaded, in Python: `{line}`"
    )


def _saving(file: Path, path: str) -> str:
    return f"import torch; torch.save(torch.load({file.name!r}, weights_only=False){path}, 'state.pt')"
