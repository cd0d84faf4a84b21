"""The card of an archive, and the entry of the registry that goes with the archive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.certificate import TOLERANCE, certify, drift, tolerance
from export.options import TokenizerRequest, card_notes
from export.planning import PlannedEncoder, PlannedText
from export.text_certificate import Golden, certify_texts, golden_ids, text_drift
from export.versions import versions
from export.weights.config import EncoderConfig
from export.weights.derived import computed_in
from tokenizer.sentencepiece import SentencePiece
from tokenizer.source import TokenizerConfig
from zoo.archive.card import (
    AddedTokenRecord,
    Derivation,
    EncoderCard,
    SentencePieceFacts,
    Source,
    TextCard,
    TokenizerCard,
    TokenizerFacts,
)
from zoo.archive.digests import file_digests, sha256_and_size
from zoo.archive.kinds import KINDS
from zoo.errors import VerificationFailed
from zoo.safety import used_ops


def encoder_card(planned: PlannedEncoder, directory: Path, golden: Mapping[str, np.ndarray]) -> EncoderCard:
    source = _sources(planned, planned.vocabulary_files)
    allowed = tolerance(planned.config, computed_in(planned.request.dtype))
    return EncoderCard(
        **_model_facts(planned, source, directory),
        derivation=_derivation(planned, source, partial(drift, directory, golden)),
        certificate=certify(directory, golden, planned.request.name, allowed),
    )


def text_card(planned: PlannedText, directory: Path, golden: Golden) -> TextCard:
    encoder, tokenizer = planned.encoder, planned.tokenizer
    source = _sources(encoder, tuple(dict.fromkeys((*encoder.vocabulary_files, *tokenizer.files))))
    facts = _model_facts(encoder, source, directory)
    notes = [*facts.pop("notes"), *(note for note in tokenizer.notes if note not in encoder.notes)]
    return TextCard(
        **facts,
        notes=notes,
        derivation=_derivation(encoder, source, lambda *_: text_drift(directory, golden, planned)),
        tokenizer=TokenizerFacts(**_rules_on_card(tokenizer, planned.special_tokens_in_text)),
        task=planned.task,
        fitted_from=planned.fitted.record if planned.fitted else None,
        certificate=certify_texts(directory, golden, planned),
    )


def _sources(planned: PlannedEncoder, files: tuple[Path, ...]) -> Source:
    source = _source(planned.checkpoint.format, (*planned.checkpoint.files, *files))
    if planned.sentence:
        source.files.update({name: sha256_and_size(file) for name, file in planned.sentence.named_files().items()})
    return source


def _model_facts(planned: PlannedEncoder, source: Source, directory: Path) -> dict[str, Any]:
    """Return the fields that the cards of all archives with an encoder share."""
    request, config, plan = planned.request, planned.config, planned.plan
    return {
        "name": request.name,
        "family": planned.family.name,
        "sizes": config.sizes(),
        "activation_reason": config.activation_reason,
        "truncated_from": config.truncated_from,
        "pooler": _pooler_in_words(config),
        "notes": [*planned.notes, *card_notes(request)],
        "heads": dict(planned.head_states),
        "exported_heads": list(planned.heads),
        "parameters": plan.parameters,
        "variables": {each.name: list(zip(each.sources, each.widths, strict=True)) for each in plan.variables},
        "left_out": {reason: list(names) for reason, names in plan.left_out.items()},
        "vocabulary_sha256": planned.vocabulary.sha256 if planned.vocabulary else None,
        "mlm_activation": (config.mlm_activation or config.activation) if "mlm" in planned.heads else None,
        "padding_id": planned.padding_id,
        "special_tokens": planned.vocabulary.special_tokens if planned.vocabulary else {},
        "string_tokens": planned.vocabulary is not None,
        "sentence": planned.sentence.on_card() if planned.sentence else None,
        "source": source,
        "licence": request.licence,
        "ops": used_ops(directory),
        "versions": versions(),
        "files": file_digests(directory),
    }


def _derivation(
    planned: PlannedEncoder, source: Source, drift_of: Callable[..., dict[str, float]]
) -> Derivation | None:
    """Return how the model differs from the checkpoint's own model; None if it does not.

    `drift_of` measures how far its outputs are from its parent's.
    """
    config, derived, name = planned.config, planned.derived, planned.request.name
    cut = config.truncated_from - config.layers if config.truncated_from else 0
    if not cut and derived is None:
        return None
    measured, kept = {}, None
    if derived is not None:
        measured = drift_of(derived, config, name, planned.under)
        kept = None if derived.kept is None else len(derived.kept)
        if derived.dtype == "float32" and max(measured.values(), default=0.0) > TOLERANCE:
            raise VerificationFailed(f"{name}: with fewer tokens it computes something else: {measured}.")
    return Derivation(
        parent_sha256=source.sha256,
        stored_in=planned.request.dtype,
        computed_in=computed_in(planned.request.dtype),
        kept_tokens=kept,
        layers_cut=cut,
        drift=measured,
    )


def tokenizer_card(
    request: TokenizerRequest, source: TokenizerConfig, kind: str, name: str, directory: Path
) -> TokenizerCard:
    vocabulary, in_text = source.vocabulary, request.special_tokens_in_text
    return TokenizerCard(
        kind=kind,
        name=name,
        **_rules_on_card(source, in_text),
        notes=[*source.notes, *card_notes(request)],
        vocab_size=len(vocabulary.entries),
        vocabulary_sha256=vocabulary.sha256,
        source=_source("vocabulary", source.files),
        licence=request.licence,
        needs=[*KINDS[kind].needs] if request.ops == "text" else [],
        ops=used_ops(directory),
        versions=versions(),
        certificate=golden_ids(source, in_text),
        files=file_digests(directory),
    )


def _rules_on_card(source: TokenizerConfig, in_text: bool) -> dict[str, Any]:
    """Return the fields of `TokenizerFacts`."""
    vocabulary, rules = source.vocabulary, source.rules
    whole = rules.whole_tokens(vocabulary, in_text)
    return {
        "lower_case": rules.lower_case,
        "lower_case_reason": source.lower_case_reason,
        "strip_accents": rules.strip_accents,
        "tokenize_chinese_chars": rules.tokenize_chinese_chars,
        "special_tokens": rules.special_ids(vocabulary),
        "special_tokens_in_text": in_text,
        "added_tokens": [] if rules.has_usual_tokens_alone else [AddedTokenRecord(**asdict(token)) for token in whole],
        "sentencepiece": _sentencepiece(rules.sentencepiece) if rules.sentencepiece else None,
    }


def _sentencepiece(own: SentencePiece) -> SentencePieceFacts:
    return SentencePieceFacts(
        model_sha256=hashlib.sha256(own.data).hexdigest(),
        pieces=len(own.model.pieces),
        numbering=own.numbering,
        prepares=own.prepares,
        remove_space=own.remove_space,
        separators=own.layout.separators,
    )


def _pooler_in_words(config: EncoderConfig) -> str:
    if config.pooler == "first_token":
        return "none: pooled_output is the first token's vector"
    if config.pooler == "discriminator":
        return "the discriminator head's dense layer with tanh, over the first token; it was not trained as a pooler"
    if config.truncated_from is not None:
        return f"dense and tanh, trained on layer {config.truncated_from} of the whole model"
    return "dense and tanh over the first token, of the checkpoint"


def _source(kind: str, files: tuple[Path, ...]) -> Source:
    return Source(format=kind, files={file.name: sha256_and_size(file) for file in files})
