"""Tells the family of a checkpoint whose names fit several: by prefix, model type, architectures and sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from export.families.others import OTHERS
from export.families.scope import placed
from export.families.table import Family, Layout, Settings, joined
from export.readers.protocol import Checkpoint
from zoo.errors import BadCheckpoint, Unsupported


class Fit(NamedTuple):
    """A layout whose word table and first query kernel lie under a prefix."""

    prefix: str
    family: Family
    layout: Layout

    @property
    def has_own_prefix(self) -> bool:
        """Whether the names begin as the family's do: "module.bert.…" for BERT, but not "encoder.…"."""
        return (self.layout.separator + self.prefix).endswith(self.layout.separator + self.layout.prefix)

    def rows(self, checkpoint: Checkpoint, table: str) -> int:
        """Return the number of rows of an embedding table, 0 if the checkpoint does not have it."""
        layout = placed(self.layout, self.prefix, checkpoint.shapes)
        names = [joined(layout.scopes[f"embeddings/{table}"], ending) for ending in layout.leaves["table"].endings]
        return next((checkpoint.shapes[name][0] for name in names if name in checkpoint.shapes), 0)


def model_type_of(config: Settings, families: Sequence[Family]) -> str:
    """Return the model type that a config states, or that its architectures name; "" if it says neither.

    model_type_of({"architectures": ["XLMRobertaForMaskedLM"]}, FAMILIES)  # "xlm-roberta"
    """
    said = config.get("model_type")
    if isinstance(said, str) and said:
        return said.lower()
    known = sorted((*OTHERS, *(each for family in families for each in family.model_types)), key=len, reverse=True)
    classes = config.get("architectures")
    for name in classes if isinstance(classes, list) else ():
        plain = str(name).removeprefix("TF").removeprefix("Flax")
        for model_type in known:  # the longest first: BertGeneration before Bert
            word = model_type.replace("-", "").replace("_", "")
            # The next word of the class begins with a capital: ErnieModel is no ErnieM.
            if plain.lower().startswith(word) and not plain[len(word) :][:1].islower():
                return model_type
    return ""


def told_apart(checkpoint: Checkpoint, fits: Sequence[Fit], model_type: str, converted: str) -> Sequence[Fit]:
    """Return the fits that agree with the prefix and with the model type; if these two disagree, the sizes decide.

    Many architectures have BERT's names behind a prefix of their own, and another arithmetic. So a prefix that is not
    the family's needs a config that states the family, or none. Configs are copied from other models too, and people
    call a RoBERTa `self.bert`: then the number of positions and types tells which of the two it is.
    """
    own = [fit for fit in fits if fit.has_own_prefix]
    typed = [fit for fit in fits if model_type in fit.family.model_types]
    if own and typed:
        later = _later_positions(checkpoint, own[0])
        both = [fit for fit in own if fit in typed]
        sized = [[fit for fit in fits if fit.family.later_positions is later] for fits in (own, typed)]
        return next(filter(None, (both, *sized, own)))
    if own or typed:
        _refuse_two_answers(checkpoint, [*own, *typed], fits, model_type)
        return own or typed
    if model_type:
        types = ", ".join(sorted({each for fit in fits for each in fit.family.model_types}))
        raise Unsupported(
            f"the config of {checkpoint.path} says 'model_type' {model_type!r}, not {types}: many models have such "
            f"names and compute something else. {converted} If the encoder is one of these, name it with --family."
        )
    parts = [part.lower() for part in re.split(r"[/.]", fits[0].prefix)]
    if other := next((name for name in OTHERS if name.replace("-", "_") in parts), None):
        raise Unsupported(
            f"{checkpoint.path} has names under {fits[0].prefix!r}, and its config has no 'model_type': it looks like "
            f"{OTHERS[other]}, which is not converted. {converted}"
        )
    return [fit for fit in fits if not fit.family.by_type]


def check_positions(checkpoint: Checkpoint, fit: Fit, model_type: str) -> None:
    """Raise Unsupported if the sizes show positions that the chosen family does not compute."""
    family = fit.family
    if family.later_positions or model_type in family.model_types or not _later_positions(checkpoint, fit):
        return
    raise Unsupported(
        f"{checkpoint.path} has the names of {family.name}, but {fit.rows(checkpoint, 'position')} positions, and one "
        f"token type or padding id 1, as RoBERTa has, whose positions begin behind the padding id. Give --family "
        f"roberta; or, if it was trained as {family.name}, a config with 'model_type' {model_type_named(family)!r} by "
        "--config."
    )


def model_type_named(family: Family) -> str:
    """Return the model type that a config of a family states."""
    return next(iter(family.model_types), family.name)


def _refuse_two_answers(checkpoint: Checkpoint, found: Sequence[Fit], fits: Sequence[Fit], model_type: str) -> None:
    """Raise BadCheckpoint if a config says RoBERTa, and its padding id and all sizes say BERT, without a prefix."""
    for fit in found:
        plain = fit.family.later_positions and not fit.has_own_prefix and checkpoint.config.get("pad_token_id") == 0
        if plain and _later_positions(checkpoint, fit) is False:
            names = " or ".join(f"`--family {name}`" for name in dict.fromkeys(each.family.name for each in fits))
            raise BadCheckpoint(
                f"the config of {checkpoint.path} says 'model_type' {model_type!r}, but padding id 0, several token "
                f"types and {fit.rows(checkpoint, 'position')} positions are BERT's. Choose one with {names}."
            )


def _later_positions(checkpoint: Checkpoint, fit: Fit) -> bool | None:
    """Return whether sizes show positions that begin at 2; None if they do not tell.

    514 rows do, if there is one type, or if the config has RoBERTa's padding id.
    """
    positions, types = fit.rows(checkpoint, "position"), fit.rows(checkpoint, "type")
    if positions % 8 == 2 and (types == 1 or checkpoint.config.get("pad_token_id") == 1):
        return True
    return False if types > 1 and positions and positions % 8 == 0 else None
