"""The list of all families, and `detect`, which finds the family of a checkpoint."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from export.families.albert import ALBERT
from export.families.albert_brightmart import ALBERT_BRIGHTMART
from export.families.bert import BERT
from export.families.electra import ELECTRA, ELECTRA_GENERATOR
from export.families.scope import placed, prefixes
from export.families.table import Family, Layout, read_from_archives
from export.readers.protocol import Checkpoint
from zoo.errors import BadCheckpoint, Unsupported

_SHOWN = 8  # prefixes in a message
_MOST_ENCODERS = 64  # in one file; a stranger's may pretend to hold thousands

FAMILIES: tuple[Family, ...] = tuple(
    map(read_from_archives, (BERT, ALBERT, ALBERT_BRIGHTMART, ELECTRA, ELECTRA_GENERATOR))
)

# Architectures with BERT's variable names and another arithmetic: an export would give wrong numbers without an error.
_OTHERS = {
    "roformer": "RoFormer (rotary positions)",
    "roformer_v2": "RoFormerV2 (rotary positions, no biases)",
    "nezha": "NEZHA (relative positions)",
    "roberta": "RoBERTa of fairseq (byte-pair vocabulary, positions from 2)",
    "xlm-roberta": "XLM-RoBERTa (SentencePiece vocabulary, positions from 2)",
    "distilbert": "DistilBERT",
    "deberta": "DeBERTa (disentangled attention)",
    "deberta-v2": "DeBERTa (disentangled attention)",
}


def detect(checkpoint: Checkpoint, name: str | None = None, prefix: str | None = None) -> tuple[Family, Layout]:
    """Return the family whose names a checkpoint uses, and the layout of these names, where they lie.

        family, layout = detect(open_checkpoint(path))
        layout.scopes["pooler"]  # "module.bert.pooler.dense"

    `name` chooses a family among those that fit, `prefix` one of several encoders. Raises Unsupported for architectures
    that are known but not converted, BadCheckpoint when no family or several fit, or several encoders are there.
    """
    name = name or checkpoint.family
    model_type = str(checkpoint.config.get("model_type", "")).lower()
    if model_type in _OTHERS:
        raise Unsupported(f"{checkpoint.path} is {_OTHERS[model_type]}, which is not converted. {_converted()}")
    names = checkpoint.shapes
    fits = [
        _Fit(found, family, layout)
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
        some = ", ".join(sorted(names)[:3]) or "nothing"
        which = f"family {name}" if name else "a known family"
        raise BadCheckpoint(f"{checkpoint.path} does not have the names of {which} (found {some}, …). {_converted()}")
    chosen = _chosen_prefix(checkpoint, sorted({fit.prefix for fit in wanted}), prefix)
    there = [fit for fit in wanted if fit.prefix == chosen]
    family, layout = _chosen_family(checkpoint, there if name else _told_apart(checkpoint, there, model_type))
    if not placed(layout, chosen, names).has("embeddings/position", names):
        raise Unsupported(
            f"{checkpoint.path} has the names of {family.name} but no position table "
            f"('{layout.scopes['embeddings/position']}'). It looks like RoFormer or NEZHA, whose positions are "
            f"rotary or relative and which are not converted. {_converted()}"
        )
    return family, placed(layout, chosen, names, {fit.prefix for fit in fits} - {chosen})


class _Fit(NamedTuple):
    """A layout whose word table and first query kernel lie under a prefix."""

    prefix: str
    family: Family
    layout: Layout

    @property
    def has_own_prefix(self) -> bool:
        """Whether the names begin as the family's do: "module.bert.…" for BERT, but not "encoder.…"."""
        return (self.layout.separator + self.prefix).endswith(self.layout.separator + self.layout.prefix)


def _chosen_prefix(checkpoint: Checkpoint, found: Sequence[str], asked: str | None) -> str:
    options = " or ".join(f"`--prefix {shlex.quote(each)}`" for each in found[:_SHOWN])
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    if asked is not None and asked not in found:
        raise BadCheckpoint(f"{checkpoint.path} has no encoder under {asked!r}. It has one with {options}{more}.")
    if asked is None and len(found) > 1:
        raise BadCheckpoint(f"{checkpoint.path} holds {len(found)} encoders. Choose one with {options}{more}.")
    return found[0] if asked is None else asked


def _told_apart(checkpoint: Checkpoint, fits: Sequence[_Fit], model_type: str) -> Sequence[_Fit]:
    """Return those of the fits that the prefix speaks for, else those that `model_type` in the config speaks for.

    Many architectures have BERT's names behind a prefix of their own, and another arithmetic. So a prefix that is not
    the family's needs a config that states the family, or none.
    """
    own = [fit for fit in fits if fit.has_own_prefix]
    typed = [fit for fit in fits if model_type in fit.family.model_types]
    if own or typed:
        return own or typed
    if model_type:
        types = ", ".join(sorted({each for fit in fits for each in fit.family.model_types}))
        raise Unsupported(
            f"the config of {checkpoint.path} says 'model_type' {model_type!r}, not {types}: many models have such "
            f"names and compute something else. {_converted()} If the encoder is one of these, name it with --family."
        )
    if other := next((part for part in re.split(r"[/.]", fits[0].prefix) if part.lower() in _OTHERS), None):
        raise Unsupported(
            f"{checkpoint.path} has names under {fits[0].prefix!r}, and its config has no 'model_type': it looks like "
            f"{_OTHERS[other.lower()]}, which is not converted. {_converted()}"
        )
    return fits


def _chosen_family(checkpoint: Checkpoint, fits: Sequence[_Fit]) -> tuple[Family, Layout]:
    """Return the family and layout that find most modules: a bare BERT with its pooler is no ELECTRA, which has none.

    A config without 'embedding_size' is none of a family that needs it. Raises BadCheckpoint if several families are
    left.
    """
    names = checkpoint.shapes

    def modules(fit: _Fit) -> int:
        layout = placed(fit.layout, fit.prefix, names)
        return sum(layout.has(module, names) for module in layout.scopes)

    most = max(map(modules, fits))
    best = [fit for fit in fits if modules(fit) == most]
    if "embedding_size" not in checkpoint.config:
        best = [fit for fit in best if fit.family.projection == "none"] or best
    if len(families := dict.fromkeys(fit.family.name for fit in best)) > 1:
        options = " or ".join(f"`--family {family}`" for family in families)
        raise BadCheckpoint(f"{checkpoint.path} has the names of {' and '.join(families)}. Choose one with {options}.")
    return best[0].family, best[0].layout


def _converted() -> str:
    return f"Families converted: {', '.join(family.name for family in FAMILIES)}."
