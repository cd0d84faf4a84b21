"""The list of all families, and `detect`, which finds the family of a checkpoint."""

from __future__ import annotations

from export.families.albert import ALBERT
from export.families.albert_brightmart import ALBERT_BRIGHTMART
from export.families.bert import BERT
from export.families.electra import ELECTRA, ELECTRA_GENERATOR
from export.families.table import Family, Layout
from export.readers.protocol import Checkpoint
from zoo.errors import BadCheckpoint, Unsupported

FAMILIES: tuple[Family, ...] = (BERT, ALBERT, ALBERT_BRIGHTMART, ELECTRA, ELECTRA_GENERATOR)

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


def detect(checkpoint: Checkpoint, name: str | None = None) -> tuple[Family, Layout]:
    """Return the family and layout whose names a checkpoint uses; `name` chooses a family among those that fit.

        family, layout = detect(open_checkpoint(path))

    Raises Unsupported for architectures that are known but not converted, BadCheckpoint when no family or several fit.
    """
    model_type = str(checkpoint.config.get("model_type", "")).lower()
    if model_type in _OTHERS:
        raise Unsupported(f"{checkpoint.path} is {_OTHERS[model_type]}, which is not converted. {_converted()}")
    fits = [
        (family, layout)
        for family in FAMILIES
        for layout in family.layouts
        if layout.format == checkpoint.format and _fits(checkpoint, layout)
    ]
    if name is not None:
        fits = [(family, layout) for family, layout in fits if family.name == name]
    elif len(fits) > 1:
        # A bare BERT and a bare ELECTRA have the same variable names; `model_type` in the config tells them apart.
        typed = [(family, layout) for family, layout in fits if model_type in family.model_types]
        fits = [(family, layout) for family, layout in typed or fits if not family.on_request]
    if len(fits) > 1:
        names = " and ".join(family.name for family, _ in fits)
        raise BadCheckpoint(f"{checkpoint.path} has the names of {names}. Choose one with --family.")
    if not fits:
        some = ", ".join(sorted(checkpoint.shapes)[:3]) or "nothing"
        wanted = f"family {name}" if name else "a known family"
        raise BadCheckpoint(f"{checkpoint.path} does not have the names of {wanted} (found {some}, …). {_converted()}")
    family, layout = fits[0]
    if not _has(checkpoint, layout, "embeddings/position"):
        raise Unsupported(
            f"{checkpoint.path} has the names of {family.name} but no position table "
            f"('{layout.scopes['embeddings/position']}'). It looks like RoFormer or NEZHA, whose positions are "
            f"rotary or relative and which are not converted. {_converted()}"
        )
    return family, layout


def _fits(checkpoint: Checkpoint, layout: Layout) -> bool:
    """Return whether a checkpoint has the word table and the query kernels of a layout."""
    return _has(checkpoint, layout, "embeddings/word") and _has(checkpoint, layout, "block/attention/query")


def _has(checkpoint: Checkpoint, layout: Layout, module: str) -> bool:
    """Return whether a checkpoint holds a variable of a module, with or without the layout's prefix."""
    scope = layout.scopes[module].format(i=0)
    scopes = tuple(f"{name}{end}" for name in (scope, scope.removeprefix(layout.prefix)) for end in ("/", "."))
    names = (scope, scope.removeprefix(layout.prefix))
    return any(name in names or name.startswith(scopes) for name in checkpoint.shapes)


def _converted() -> str:
    return f"Families converted: {', '.join(family.name for family in FAMILIES)}."
