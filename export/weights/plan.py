"""Plans every variable of the archive and where its numbers come from; names and shapes are enough for that."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from export.families.others import added_to_layers
from export.families.table import Family, Layout
from export.readers.protocol import Checkpoint, Shape
from export.weights.config import EncoderConfig
from export.weights.leave_out import BY_REQUEST, as_words, proposed_patterns
from export.weights.leftovers import AVERAGE, leftover
from export.weights.naming import Names, archive_name, parts
from export.weights.vectors import EMBEDDINGS, VECTORS, widths
from zoo.contract import HEADS
from zoo.errors import BadCheckpoint, WeightMismatch


@dataclass(frozen=True)
class PlannedVariable:
    """One variable of the archive and where its numbers come from."""

    ours: str  # block_0/attention/query_key_value/kernel
    name: str  # bert/encoder/layer_0/attention/self/query_key_value/kernel
    sources: tuple[str, ...]  # the checkpoint's names, joined along the last axis
    widths: tuple[int, ...]  # of each source's part of the last axis
    shape: Shape  # in our orientation
    transposed: bool  # whether the sources are stored the other way round


@dataclass(frozen=True)
class WeightPlan:
    """Everything that will happen to a checkpoint's variables; `print(plan)` is the dry run.

    `remedy` are the options of `zoo export` that make the plan complete, () if it is, None if no options do.
    """

    variables: tuple[PlannedVariable, ...]
    left_out: Mapping[str, tuple[str, ...]]  # reason -> the checkpoint's names
    missing: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()  # needed, but left out by request
    inside: tuple[str, ...] = ()  # unused ones that lie within the encoder
    remedy: tuple[str, ...] | None = ()
    layers: tuple[int, int] | None = None  # of the config and of the checkpoint, if they differ

    @property
    def problems(self) -> dict[str, tuple[str, ...]]:
        """Kind of problem -> the names that have it; empty for a complete plan."""
        found = {
            "missing": self.missing,
            "shape": self.misshapen,
            "unused": self.unused,
            "left out by request but needed": self.withheld,
        }
        return {kind: names for kind, names in found.items() if names}

    @property
    def parameters(self) -> int:
        shapes = {variable.name: variable.shape for variable in self.variables}
        return sum(int(np.prod(shape)) for shape in shapes.values())

    def checked(self, what: str) -> WeightPlan:
        """Return the plan itself when it is complete. Raises WeightMismatch with every problem otherwise."""
        problems = [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in self.problems.items()]
        if not problems:
            return self
        raise WeightMismatch(f"{what}: {'; '.join(problems)}.{self._next_move()}")

    def _next_move(self) -> str:
        layers = ""
        if self.layers:
            said, stored = (f"{count} layer{'s' * (count != 1)}" for count in self.layers)
            layers = f" The config says {said}, the checkpoint has {stored}."
        if self.remedy:
            return f"{layers} The encoder is complete without them: add `{as_words(self.remedy)}`."
        if layers and self.missing:
            return f"{layers} Name the config that belongs to this checkpoint with --config."
        if self.withheld:
            parts = {each.ours.partition("/")[0] for each in self.variables if {*each.sources} & {*self.withheld}}
            heads = {each.ours.partition("/")[0] for each in self.variables} & HEADS.keys()
            if parts <= HEADS.keys():
                return f" Narrow the patterns, or add `--heads {','.join(sorted(heads - parts)) or 'none'}`."
            return " Narrow the patterns" + (", or add `--pooler first_token`." if parts == {"pooler"} else ".")
        if self.inside:
            return (
                " These lie within the encoder, so it may compute something else than the family does"
                f" ({_some(self.inside)}). "
                f"{added_to_layers(self.inside) or 'If it does not, --leave-out leaves them out.'}"
            )
        if self.misshapen:
            return " Name the config that belongs to this checkpoint with --config."
        return ""

    def leaving_out(self, variables: Mapping[str, tuple[str, ...]]) -> WeightPlan:
        """Return the plan with further variables left out, by reason: those of files beside the checkpoint."""
        return replace(self, left_out=dict(sorted({**self.left_out, **variables}.items())))

    def taking(self, variables: Sequence[PlannedVariable]) -> WeightPlan:
        """Return the plan with further variables, which were left out or unused before: those of a task's head."""
        taken = {source for each in variables for source in each.sources}
        rest = {reason: tuple(n for n in names if n not in taken) for reason, names in self.left_out.items()}
        return replace(
            self,
            variables=(*self.variables, *variables),
            left_out={reason: names for reason, names in rest.items() if names},
            unused=tuple(name for name in self.unused if name not in taken),
        )

    def read(self, variable: PlannedVariable, checkpoint: Checkpoint) -> np.ndarray:
        """Return one variable's numbers, fp32, in our orientation and joined.

        Raises BadCheckpoint when any is NaN or infinite, and names every variable of the plan where that is so.
        """
        values = self._convert(variable, checkpoint)
        if not np.isfinite(values).all():
            bad = [each for each in self.variables if not np.isfinite(self._convert(each, checkpoint)).all()]
            names = ", ".join(" + ".join(each.sources) for each in bad)
            raise BadCheckpoint(
                f"{checkpoint.path} holds NaN or infinite numbers in {len(bad)} variables: {names}. "
                "Such a model computes nothing; take an earlier checkpoint of its training."
            )
        return values

    def _convert(self, variable: PlannedVariable, checkpoint: Checkpoint) -> np.ndarray:
        read = [checkpoint.read(name) for name in variable.sources]
        for name, part in zip(variable.sources, read, strict=True):
            if part.dtype.kind in "biuc":  # to convert complex numbers would drop their imaginary parts
                raise BadCheckpoint(f"'{name}' of {checkpoint.path} holds {part.dtype}, and no floating-point numbers.")
        oriented = [part.T if variable.transposed else part for part in read]
        joined = oriented[0] if len(oriented) == 1 else np.concatenate(oriented, axis=-1)
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, which `read` reports
            return np.ascontiguousarray(joined, dtype=np.float32)

    def to_dict(self) -> dict[str, object]:
        """Return the plan for programs: the archive's variables with their sources, what is left out, the problems."""
        return {
            "variables": {
                v.name: {"shape": v.shape, "sources": v.sources, "widths": v.widths, "transposed": v.transposed}
                for v in self.variables
            },
            "parameters": self.parameters,
            "left_out": dict(self.left_out),
            "missing": self.missing,
            "misshapen": self.misshapen,
            "unused": self.unused,
            "withheld": self.withheld,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        width = max((len(variable.name) for variable in self.variables), default=0)
        rows = []
        for v in self.variables:
            whole, *others = [source + " (transposed)" * v.transposed for source in v.sources] or ["nothing"]
            rows.append(f"{v.name:<{width}}  {_shape(v.shape):>14}  <- {whole}")
            rows += [" " * (width + 20) + other for other in others]
        rows.append(f"{len(self.variables)} variables, {self.parameters:,} parameters")
        rows += [f"left out, {reason}: {len(names)} ({_some(names)})" for reason, names in self.left_out.items()]
        for kind, names in self.problems.items():
            rows += [f"{kind.upper()}: {name}" for name in names]
        return "\n".join(rows)


def make_plan(
    shapes: Mapping[str, Shape],
    config: EncoderConfig,
    family: Family,
    layout: Layout,
    heads: Mapping[str, Shape] | None = None,
    leave_out: Collection[str] = (),
    taken: Collection[str] = (),
) -> WeightPlan:
    """Return the plan for a checkpoint's shapes under a config; it lists every problem and raises nothing.

        make_plan(checkpoint.shapes, config, family, layout).checked("bert")

    `heads` are the variables of heads to export and their shapes; the layout has to have the scopes of all heads.
    `leave_out` are names that a person leaves out, `taken` those that a task uses.
    """
    names = Names(shapes, layout)
    canonical = family.canonical
    variables, missing, misshapen, used = [], [], [], {*taken}
    incomplete = set()  # modules with a missing variable
    of_heads = {ours: {ours: shape} for ours, shape in (heads or {}).items()}
    for ours, shapes_of_parts in {**variable_parts(config), **of_heads}.items():
        *_, last = shapes_of_parts.values()
        full = (*last[:-1], sum(shape[-1] for shape in shapes_of_parts.values()))
        if names.stores_whole(ours):
            shapes_of_parts = {ours: full}
        sources, transposed = {}, False
        for part, shape in shapes_of_parts.items():
            transposed = layout.leaves[part.rpartition("/")[2]].transposed
            found, candidates = names.find(part)
            if found is None:
                missing.append(" or ".join(candidates))
                incomplete.add(ours.partition("/")[0])
                continue
            used.add(found)
            sources[found] = shape[-1]
            there = shapes[found][::-1] if transposed else shapes[found]
            if there != shape:
                said = shape[::-1] if transposed else shape
                misshapen.append(f"{found} is {_shape(shapes[found])}, the config says {_shape(said)}")
        name = archive_name(ours, canonical)
        variables.append(PlannedVariable(ours, name, (*sources,), (*sources.values(),), full, transposed))

    rules = [*layout.left_out.items(), *names.rules_for_dropped(config).items()]

    def reason(name: str) -> str | None:
        if name in leave_out:
            return BY_REQUEST
        if name + AVERAGE in used:
            return "plain weights; the averaged ones were taken"
        return leftover(name, shapes, layout.format) or next(
            (reason for pattern, reason in rules if re.fullmatch(pattern, name)), None
        )

    left_out: dict[str, list[str]] = {}
    unused = []
    for name in sorted(shapes.keys() - used):
        if (why := reason(name)) is None:
            unused.append(name)
        else:
            left_out.setdefault(why, []).append(name)
    withheld = sorted(used & set(leave_out))
    stored = names.stored_layers(config)
    layers = (config.layers, stored) if stored != (config.truncated_from or config.layers) else None
    deeper = names.of_other_layers(config) if layers else set()
    beginnings = _beginnings(layout)
    unused_here = [name for name in unused if name not in deeper]
    inside = [name for name in unused_here if name.startswith(beginnings)]
    poolerless = incomplete == {"pooler"} and "first_token" in family.poolers
    remedy: tuple[str, ...] | None = None
    if not (misshapen or inside or withheld) and (poolerless or not incomplete):
        patterns = proposed_patterns(unused_here, used, layout.separator)
        remedy = ("--layers", str(config.layers)) if deeper else ()
        remedy += ("--pooler", "first_token") if poolerless else ()
        remedy += tuple(word for pattern in patterns for word in ("--leave-out", pattern))
    return WeightPlan(
        tuple(variables),
        {reason: tuple(left_out[reason]) for reason in sorted(left_out)},
        tuple(missing),
        tuple(misshapen),
        tuple(unused),
        tuple(withheld),
        tuple(inside),
        remedy,
        layers,
    )


def _beginnings(layout: Layout) -> tuple[str, ...]:
    """Return how names within the encoder begin: ("module.bert.",), or ("embeddings.", "encoder.", …) at the root."""
    found = set()
    for module, scope in layout.scopes.items():
        place = next(place for place in layout.beside if scope.startswith(place))
        if place and place == layout.prefix:
            found.add(place)
        elif module.partition("/")[0] not in HEADS:
            found.add(place + scope.removeprefix(place).split(layout.separator)[0] + layout.separator)
    return tuple(sorted(found))


def variable_parts(config: EncoderConfig) -> dict[str, dict[str, Shape]]:
    """Return every variable of an encoder -> the parts of it that checkpoints store, and their shapes."""
    # V vocabulary, P positions, S segment types, E embedding, H hidden, F feed-forward
    v, p, s = config.vocab_size, config.position_limit, config.type_vocab_size
    e, h, f = config.embedding_size, config.hidden_size, config.intermediate_size
    n = config.normed_size
    shapes: dict[str, Shape] = {"embeddings/word/table": (v, e)}
    if config.projection == "word":
        shapes["embeddings/word_projection/table"] = (e, h)
    if config.positions == "absolute":
        shapes["embeddings/position/table"] = (p, n)
    shapes |= {"embeddings/type/table": (s, n), **_vectors(EMBEDDINGS, config)}
    if config.projects:
        shapes |= _dense("embeddings/projection", e, h)
    for block in sorted(set(config.block_of_layer)):
        scope = f"block_{block}"
        shapes[f"{scope}/attention/query_key_value/kernel"] = (h, 3 * h)
        shapes[f"{scope}/attention/output/kernel"] = (h, h)
        shapes[f"{scope}/ffn/expand/kernel"] = (h, f)
        shapes[f"{scope}/ffn/contract/kernel"] = (f, h)
        shapes |= _vectors(scope, config)
    if config.pooler != "first_token":
        shapes |= _dense("pooler", h, h)
    return {ours: _parts(ours, shape, config) for ours, shape in shapes.items()}


def _parts(ours: str, shape: Shape, config: EncoderConfig) -> dict[str, Shape]:
    scope, _, leaf = ours.rpartition("/")
    if leaf == VECTORS:
        vectors = {f"{scope}/{name}": (width,) for name, width in widths(config, scope).items()}
        return {part: shape for name, width in vectors.items() for part, shape in _parts(name, width, config).items()}
    found = [*parts(ours)]
    return {part: (*shape[:-1], shape[-1] // len(found)) for part in found}


def _vectors(part: str, config: EncoderConfig) -> dict[str, Shape]:
    return {f"{part}/{VECTORS}": (sum(widths(config, part).values()),)}


def _dense(module: str, inputs: int, outputs: int) -> dict[str, Shape]:
    return {f"{module}/kernel": (inputs, outputs), f"{module}/bias": (outputs,)}


def _shape(shape: Shape) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _some(names: tuple[str, ...], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
