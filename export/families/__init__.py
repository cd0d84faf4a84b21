"""The list of all families, and `detect`, which finds the family of a checkpoint."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from export.families.albert import ALBERT
from export.families.albert_brightmart import ALBERT_BRIGHTMART
from export.families.bert import BERT
from export.families.bert_generation import BERT_GENERATION
from export.families.distilbert import DISTILBERT
from export.families.electra import ELECTRA, ELECTRA_GENERATOR
from export.families.ernie import ERNIE
from export.families.nezha import NEZHA
from export.families.others import OTHERS, added_to_layers
from export.families.roberta import ROBERTA
from export.families.roformer import ROFORMER
from export.families.scope import placed, prefixes
from export.families.table import Family, Layout, read_from_archives
from export.families.telling import Fit, check_positions, model_type_of, told_apart
from export.readers.protocol import Checkpoint
from zoo.errors import BadCheckpoint, Unsupported

_SHOWN = 8  # prefixes in a message
_MOST_ENCODERS = 64  # in one file; a stranger's may pretend to hold thousands

FAMILIES: tuple[Family, ...] = tuple(
    map(
        read_from_archives,
        (
            BERT,
            ALBERT,
            ALBERT_BRIGHTMART,
            ELECTRA,
            ELECTRA_GENERATOR,
            ERNIE,
            ROBERTA,
            DISTILBERT,
            BERT_GENERATION,
            ROFORMER,
            NEZHA,
        ),
    )
)


def detect(checkpoint: Checkpoint, name: str | None = None, prefix: str | None = None) -> tuple[Family, Layout]:
    """Return the family whose names a checkpoint uses, and the layout of these names, where they lie.

        family, layout = detect(open_checkpoint(path))
        layout.scopes["pooler"]  # "module.bert.pooler.dense"

    `name` chooses a family among those that fit, `prefix` one of several encoders. Raises Unsupported for architectures
    that are known but not converted, BadCheckpoint when no family or several fit, or several encoders are there.
    """
    name = name or checkpoint.family
    model_type = model_type_of(checkpoint.config, FAMILIES)
    if model_type in OTHERS:
        raise Unsupported(f"{checkpoint.path} is {OTHERS[model_type]}, which is not converted. {_converted()}")
    names = checkpoint.shapes
    fits = [
        Fit(found, family, layout)
        for family in FAMILIES
        for layout in family.layouts
        if layout.format == checkpoint.format
        for found in prefixes(layout, names)
    ]
    if (count := len({fit.prefix for fit in fits})) > _MOST_ENCODERS:
        raise BadCheckpoint(f"{checkpoint.path} holds {count:,} encoders; up to {_MOST_ENCODERS} are told apart.")
    wanted = [fit for fit in fits if (not fit.family.on_request if name is None else fit.family.name == name)]
    if name is not None:
        others = {fit.prefix for fit in fits if fit.has_own_prefix and fit.family.name != name}
        wanted = [fit for fit in wanted if fit.has_own_prefix or fit.prefix not in others] or wanted
    if not wanted:
        if added := added_to_layers(names):
            raise Unsupported(f"{checkpoint.path} cannot be read as an encoder. {added}")
        some = ", ".join(sorted(names)[:3]) or "nothing"
        which = f"family {name}" if name else "a known family"
        raise BadCheckpoint(f"{checkpoint.path} does not have the names of {which} (found {some}, …). {_converted()}")
    chosen = _chosen_prefix(checkpoint, sorted({fit.prefix for fit in wanted}), prefix)
    there = [fit for fit in wanted if fit.prefix == chosen]
    fit = _chosen_fit(checkpoint, there if name else told_apart(checkpoint, there, model_type, _converted()))
    check_positions(checkpoint, fit, model_type)
    _check_position_table(checkpoint, fit, [each for each in fits if each.prefix == chosen])
    return fit.family, placed(fit.layout, chosen, names, {each.prefix for each in fits} - {chosen})


def _chosen_prefix(checkpoint: Checkpoint, found: Sequence[str], asked: str | None) -> str:
    options = " or ".join(f"`--prefix {shlex.quote(each)}`" for each in found[:_SHOWN])
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    if asked is not None and asked not in found:
        raise BadCheckpoint(f"{checkpoint.path} has no encoder under {asked!r}. It has one with {options}{more}.")
    if asked is None and len(found) > 1:
        raise BadCheckpoint(f"{checkpoint.path} holds {len(found)} encoders. Choose one with {options}{more}.")
    return found[0] if asked is None else asked


def _chosen_fit(checkpoint: Checkpoint, fits: Sequence[Fit]) -> Fit:
    """Return the fit that finds most modules: a bare BERT with its pooler is no ELECTRA, which has none.

    A config without 'embedding_size' is none of a family that needs it. Raises BadCheckpoint if several families are
    left.
    """
    names = checkpoint.shapes

    def modules(fit: Fit) -> int:
        layout = placed(fit.layout, fit.prefix, names)
        return sum(layout.has(module, names) for module in layout.scopes)

    most = max(map(modules, fits))
    best = [fit for fit in fits if modules(fit) == most]
    if "embedding_size" not in checkpoint.config:
        best = [fit for fit in best if fit.family.projection == "none"] or best
    if len(families := dict.fromkeys(fit.family.name for fit in best)) > 1:
        options = " or ".join(f"`--family {family}`" for family in families)
        raise BadCheckpoint(f"{checkpoint.path} has the names of {' and '.join(families)}. Choose one with {options}.")
    return best[0]


def _check_position_table(checkpoint: Checkpoint, fit: Fit, fits: Sequence[Fit]) -> None:
    """Raise Unsupported if a family has a table of positions and the checkpoint has none."""
    layout = placed(fit.layout, fit.prefix, checkpoint.shapes)
    has_table = layout.has("embeddings/position", checkpoint.shapes)
    if has_table or fit.family.positions(checkpoint.config) != "absolute":
        return
    if checkpoint.config.get("position_embedding_type") not in (None, "absolute"):
        return  # such as "alibi": whichever family it is, read_config refuses the config by this word
    others = sorted({each.family.name for each in fits if each.family.positions(checkpoint.config) != "absolute"})
    options = " or ".join(f"`--family {name}`" for name in others)
    move = f"If it is one of them, name it with {options}." if others else "Both convert from transformers' files."
    raise Unsupported(
        f"{checkpoint.path} has the names of {fit.family.name} but no position table "
        f"('{layout.scopes['embeddings/position']}'). It looks like RoFormer or NEZHA, whose positions are rotary or "
        f"relative. {move} {_converted()}"
    )


def _converted() -> str:
    return f"Families converted: {', '.join(family.name for family in FAMILIES)}."
