"""Which rows are asked for, which exports make them, in which order, and about what each will take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from zoo.archive.kinds import KINDS
from zoo.errors import BadRegistry, UnknownModel
from zoo.registry.entry import Entry
from zoo.registry.recipes import origin
from zoo.registry.registry import Registry

# Seconds of an export, measured in docs/exports.md on 2 cores: so many to begin with, for each layer, for each MiB of
# weights; of the two archives of a tokenizer together. Archives shrink weights by a fourteenth.
_START, _A_LAYER, _A_MIB = 10.0, 1.0, 0.1
_TOKENIZER_SECONDS, _TOKENIZER_BYTES = 10.0, 650 << 10
_PACKED = 0.93
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Step:
    """One export: of an encoder, or of a tokenizer with the preprocess archive that comes along.

    `rows` are the rows of the registry that it makes, `origin` is the model whose sources it reads.
    """

    name: str
    rows: tuple[str, ...]
    origin: str


@dataclass(frozen=True)
class Estimate:
    """About what a step takes: bytes of its archive and seconds, on a machine like the one that was measured."""

    archive: int
    seconds: float


def make_steps(registry: Registry, names: Iterable[str] | None = None) -> list[Step]:
    """Return the exports that make the models of some names, or of all, in the order in which to run them.

        [step.name for step in make_steps(registry, ["bert_3", "bert"])]  # ["bert", "bert_3"]

    Tokenizers come first, then the largest, so that none of the long ones is left for the end. What is made from one
    checkpoint stands together, the whole model before those cut from it. Raises UnknownModel with every name that is
    none, BadRegistry for a preprocess row under a name that no export gives it.
    """
    models = registry.models
    asked = list(models) if names is None else _canonical(registry, names)
    steps: dict[str, list[str]] = {}
    for name in asked:
        kind, maker = KINDS[models[name].kind], origin(name, models)
        if kind.comes_along and name != maker + kind.suffix:
            raise BadRegistry(f"{name} comes with {maker!r}, whose export calls it {maker + kind.suffix!r}.")
        steps.setdefault(maker if kind.comes_along else name, []).append(name)
    made = [Step(name, _rows(name, models), origin(name, models)) for name in steps]
    return sorted(made, key=lambda step: _place(step, models))


def groups(steps: Iterable[Step]) -> Iterator[Sequence[Step]]:
    """Yield the steps that read one checkpoint, together."""
    for _, group in groupby(steps, key=lambda step: step.origin):
        yield list(group)


def estimate(step: Step, models: Mapping[str, Entry], dtype: str = "float32") -> Estimate:
    """Return about what a step takes: 10 s, 1 s a layer and 0.1 s a MiB of weights, 0.93 bytes for each of them."""
    entry = models[step.name]
    if not KINDS[entry.kind].has_weights:
        return Estimate(_TOKENIZER_BYTES, _TOKENIZER_SECONDS)
    weights = 4 * (entry.parameters or 0)
    seconds = _START + _A_LAYER * (entry.layers or 0) + _A_MIB * weights / 2**20
    return Estimate(round(_PACKED * weights * _BYTES[dtype] / 4), seconds)


def _canonical(registry: Registry, names: Iterable[str]) -> list[str]:
    found, problems = [], []
    for name in names:
        try:
            found.append(registry.canonical(name))
        except UnknownModel as error:
            problems.append(str(error))
    if problems:
        raise UnknownModel(" ".join(problems))
    return list(dict.fromkeys(found))


def _rows(name: str, models: Mapping[str, Entry]) -> tuple[str, ...]:
    along = (kind for kind in KINDS.values() if kind.comes_along and kind.made_of == models[name].kind)
    return (name, *(name + kind.suffix for kind in along if name + kind.suffix in models))


def _place(step: Step, models: Mapping[str, Entry]) -> tuple[object, ...]:
    entry, whole = models[step.name], models[step.origin]
    has_weights = KINDS[entry.kind].has_weights
    return (has_weights, -(whole.parameters or 0), step.origin, step.name != step.origin, entry.layers or 0)
