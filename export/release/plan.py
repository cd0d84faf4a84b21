"""From the names of models to the exports that make them, in order; and estimates of their sizes and times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from zoo.archive.kinds import KINDS
from zoo.errors import BadArgument, BadRegistry, UnknownModel
from zoo.registry.entry import Entry
from zoo.registry.recipes import origin
from zoo.registry.registry import Registry

# Seconds of an encoder's export: at the start, for each layer, for each MiB of weights (docs/exports.md, 2 cores). Then
# the two archives of a tokenizer together. A packed archive has 0.93 of the bytes of its weights.
_START, _A_LAYER, _A_MIB = 10.0, 1.0, 0.1
_TOKENIZER_SECONDS, _TOKENIZER_BYTES = 10.0, 650 << 10
_PACKED = 0.93
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Step:
    """One export: an encoder, or a tokenizer together with its preprocess archive.

    `rows` are the names of the rows that the export fills, `origin` is the model whose sources the export reads.
    """

    name: str
    rows: tuple[str, ...]
    origin: str


@dataclass(frozen=True)
class Estimate:
    """Estimated bytes of a step's archive, and its seconds on a machine with 2 cores."""

    archive: int
    seconds: float


def make_steps(registry: Registry, names: Iterable[str] | None = None) -> list[Step]:
    """Return the exports that make the models of `names`, in the order to run them; None is all but those on request.

        [step.name for step in make_steps(registry, ["bert_3"])]  # ["bert_tokenizer_chinese", "bert_3"]

    A tokenizer without an archive comes with the encoders of `names`. Tokenizers come first, then large models before
    small ones, so that no process is left with a long export at the end. Models of one checkpoint follow each other,
    the whole model before those cut from it. Raises UnknownModel with every unknown name, BadArgument for NAME_onnx,
    BadRegistry for a preprocess row without a tokenizer, or not called like its tokenizer with _preprocess.
    """
    models = registry.models
    if names is None:
        asked = [name for name, row in models.items() if not (row.on_request or KINDS[row.kind].is_conversion)]
    else:
        asked = _with_tokenizers(_canonical(registry, names), registry)
    steps = dict.fromkeys(_maker(name, models) for name in asked)  # each once
    return sorted((make_step(name, models) for name in steps), key=lambda step: _place(step, models))


def make_step(name: str, models: Mapping[str, Entry]) -> Step:
    """Return the export that makes one model, which no other export makes."""
    return Step(name, _rows(name, models), origin(name, models))


def groups(steps: Iterable[Step]) -> Iterator[Sequence[Step]]:
    """Yield groups of steps: those that follow each other and read the same checkpoint."""
    for _, group in groupby(steps, key=lambda step: step.origin):
        yield list(group)


def estimate(step: Step, models: Mapping[str, Entry], dtype: str = "float32") -> Estimate:
    """Return the estimate for a step: for an encoder 10 s, 1 s for each layer and 0.1 s for each MiB of weights."""
    entry = models[step.name]
    if not KINDS[entry.kind].has_weights:
        return Estimate(_TOKENIZER_BYTES, _TOKENIZER_SECONDS)
    weights = 4 * (entry.parameters or 0)
    seconds = _START + _A_LAYER * (entry.layers or 0) + _A_MIB * weights / 2**20
    return Estimate(round(_PACKED * weights * _BYTES[dtype] / 4), seconds)


def _maker(name: str, models: Mapping[str, Entry]) -> str:
    """Return the model whose export makes the archive of a model: mostly the model itself."""
    kind, its = KINDS[models[name].kind], origin(name, models)
    if kind.is_conversion:
        whole = name.removesuffix(kind.suffix)
        raise BadArgument(
            f"{name} is made of the archive of {whole}: `zoo build {whole} --with {kind.name}` makes both."
        )
    if not kind.comes_along:
        return name
    if its == name:
        raise BadRegistry(
            f"{name} is made by the export of {KINDS[kind.made_of or ''].with_article}, which the registry does not "
            f"have. Add its row, called {name.removesuffix(kind.suffix)!r}, or leave {name} out."
        )
    if name != its + kind.suffix:
        raise BadRegistry(f"{name} comes with {its!r}, whose export calls it {its + kind.suffix!r}.")
    return its


def _with_tokenizers(names: Sequence[str], registry: Registry) -> list[str]:
    """Return names, and before them their tokenizers that are not published."""
    tokenizers = [tokenizer for name in names if (tokenizer := registry.tokenizer(name)) in registry.models]
    missing = [name for name in tokenizers if name and registry.models[name].archive is None]
    return list(dict.fromkeys((*missing, *names)))


def _canonical(registry: Registry, names: Iterable[str]) -> list[str]:
    """Return the canonical names of names and aliases, each once. Raises UnknownModel with all unknown names."""
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
    """Return the names of the rows that the export of a model fills: its own, and those that come along."""
    along = (kind for kind in KINDS.values() if kind.comes_along and kind.made_of == models[name].kind)
    return (name, *(name + kind.suffix for kind in along if name + kind.suffix in models))


def _place(step: Step, models: Mapping[str, Entry]) -> tuple[object, ...]:
    """Return the key by which steps are sorted, see `make_steps`."""
    entry, whole = models[step.name], models[step.origin]
    has_weights = KINDS[entry.kind].has_weights
    return (has_weights, -(whole.parameters or 0), step.origin, step.name != step.origin, entry.layers or 0)
