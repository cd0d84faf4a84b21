"""All families, and which one a checkpoint belongs to."""

from __future__ import annotations

from export.families.bert import BERT
from export.families.table import Family, Layout
from export.readers.protocol import Checkpoint
from zoo.errors import BadCheckpoint, Unsupported

FAMILIES: tuple[Family, ...] = (BERT,)

# Neighbours with the same scopes and another arithmetic: converting them would give wrong numbers and no error.
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


def detect(checkpoint: Checkpoint) -> tuple[Family, Layout]:
    """Return the family and layout whose names a checkpoint uses.

        family, layout = detect(open_checkpoint(path))

    Raises Unsupported for architectures we know and do not convert, BadCheckpoint when no family's word table is there.
    """
    model_type = str(checkpoint.config.get("model_type", "")).lower()
    if model_type in _OTHERS:
        raise Unsupported(f"{checkpoint.path} is {_OTHERS[model_type]}; this is not converted. {_converted()}")
    for family in FAMILIES:
        for layout in family.layouts:
            if layout.format == checkpoint.format and _has(checkpoint, layout, "embeddings/word"):
                if not _has(checkpoint, layout, "embeddings/position"):
                    raise Unsupported(
                        f"{checkpoint.path} has word embeddings but no position table "
                        f"('{layout.scopes['embeddings/position']}'): it looks like RoFormer or NEZHA, whose "
                        f"positions are rotary or relative; this is not converted. {_converted()}"
                    )
                return family, layout
    some = ", ".join(sorted(checkpoint.shapes)[:3]) or "nothing"
    raise BadCheckpoint(
        f"{checkpoint.path} holds no word embeddings of a known family (found {some}, …). {_converted()}"
    )


def _has(checkpoint: Checkpoint, layout: Layout, module: str) -> bool:
    scope = layout.scopes[module]
    return any(name.startswith((scope, scope.removeprefix(layout.prefix))) for name in checkpoint.shapes)


def _converted() -> str:
    return f"Families converted: {', '.join(family.name for family in FAMILIES)}."
