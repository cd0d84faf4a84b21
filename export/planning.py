"""What is asked for, and everything that is decided about it before the work begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from export.families import detect
from export.families.table import Family, Layout, Pooler
from export.heads.heads import chosen_heads, head_states, plan_with_heads
from export.readers import open_checkpoint
from export.readers.protocol import Checkpoint
from export.weights.config import EncoderConfig, read_config
from export.weights.derived import DerivedCheckpoint, Dtype, kept_ids, pruned
from export.weights.naming import table_shapes
from export.weights.plan import WeightPlan
from tokenizer.source import vocabulary_file
from tokenizer.vocabulary import Vocabulary
from zoo.archive.card import Activation, HeadState
from zoo.errors import BadConfig, BadVocabulary

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class EncoderRequest:
    """What to export, as a person says it."""

    checkpoint: Path
    name: str
    out: Path
    config: Path | None = None
    vocabulary: Path | None = None
    layers: int | None = None
    activation: Activation | None = None
    pooler: Pooler | None = None
    family: str | None = None
    heads: tuple[str, ...] | None = None  # None: those that look trained
    dtype: Dtype = "float32"  # what matrices are stored in; of bfloat16 they are multiplied in it too
    cased: bool | None = None  # of the tokenizer that goes with keep_tokens; None lets the source decide
    recompute: bool = False  # in training, each layer once more in place of what it would keep
    keep_tokens: Path | None = None  # a file of tokens: embedding rows and tokenizer of these alone
    licence: str = "not stated"


@dataclass(frozen=True)
class PlannedEncoder:
    """Everything that is decided before the work begins."""

    request: EncoderRequest
    checkpoint: Checkpoint
    family: Family
    config: EncoderConfig
    plan: WeightPlan
    head_states: Mapping[str, HeadState]
    heads: tuple[str, ...]
    vocabulary: Vocabulary
    vocabulary_file: Path


@dataclass(frozen=True)
class TokenizerRequest:
    """Which vocabulary to export, as a person says it. `cased` of None lets the source decide."""

    source: Path
    name: str
    out: Path
    cased: bool | None = None
    special_tokens_in_text: bool = False
    licence: str = "not stated"


def plan_encoder(request: EncoderRequest, opened: Checkpoint | None = None) -> PlannedEncoder:
    """Return what an export would do, from names, shapes, config, vocabulary and a look at the heads' numbers.

        print(plan_encoder(EncoderRequest(Path("chinese_L-12_H-768_A-12"), "bert", Path("dist"))).plan)

    `opened` is the request's checkpoint where it is open already: what is unpacked once serves several exports. The
    plan may be incomplete; `plan.checked(…)` raises WeightMismatch then. Raises BadCheckpoint, BadConfig,
    BadVocabulary or Unsupported for what cannot be planned at all.
    """
    check_name(request.name)
    parent = opened or open_checkpoint(request.checkpoint, request.config)
    family, layout = detect(parent, request.family)
    config = _read_config(request, parent, family, layout)
    vocabulary, file = _read_vocabulary(request, parent, config)
    kept = kept_ids(vocabulary, request.keep_tokens) if request.keep_tokens else None
    checkpoint: Checkpoint = parent
    if kept is not None or request.dtype != "float32":
        checkpoint = DerivedCheckpoint(parent, request.dtype, kept)
    if kept is not None:
        vocabulary = pruned(vocabulary, kept)
        config = replace(config, vocab_size=len(kept))
    states = head_states(parent, layout)
    heads = chosen_heads(states, request.heads, config)
    plan = plan_with_heads(checkpoint, config, family, layout, heads)
    return PlannedEncoder(request, checkpoint, family, config, plan, states, heads, vocabulary, file)


def _read_config(request: EncoderRequest, checkpoint: Checkpoint, family: Family, layout: Layout) -> EncoderConfig:
    tables = table_shapes(checkpoint.shapes, layout)
    config = read_config(
        checkpoint.config, family, layout.format, request.activation, request.pooler, tables, checkpoint.heads
    )
    return config if request.layers is None else config.truncated(request.layers)


def _read_vocabulary(request: EncoderRequest, checkpoint: Checkpoint, config: EncoderConfig) -> tuple[Vocabulary, Path]:
    try:
        file = vocabulary_file(request.vocabulary or checkpoint.path)
    except BadVocabulary as error:
        raise BadVocabulary(f"{error} `zoo export` takes it by --vocab.") from None
    vocabulary = Vocabulary.read(file)
    if vocabulary.special_tokens["[PAD]"] != 0:
        raise BadVocabulary(f"{file} has [PAD] at {vocabulary.special_tokens['[PAD]']}; models take id 0 as padding.")
    if len(vocabulary.entries) != config.vocab_size:
        raise BadVocabulary(
            f"{file} has {len(vocabulary.entries):,} entries, the config of {checkpoint.path} says 'vocab_size' "
            f"{config.vocab_size:,}. Give the vocabulary the model was trained with by --vocab."
        )
    return vocabulary, file


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadConfig(f"{name!r} cannot name an archive: letters, digits, '.', '_' and '-', a letter or digit first.")
