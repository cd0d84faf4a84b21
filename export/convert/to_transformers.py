"""transformers: a directory that AutoModel, AutoTokenizer and sentence-transformers load, from any encoder archive.

The written files are read by our own readers and computed by the oracle, and, where transformers is installed, by its
classes; both answers are compared with those of the archive.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.certificate import golden_arrays
from export.convert.check import Batch, Comparison, NoRuntime, answers, batches, compare
from export.convert.conversion import Conversion, allowed_difference, check_place, replaced_directory
from export.convert.in_transformers import Answered, ask_transformers
from export.convert.report import ConversionReport, with_files
from export.convert.sentence_files import write_sentence_files
from export.convert.transformers_files import ChosenClass, chosen_class, write_weights
from export.convert.transformers_tokenizer import write_tokenizer_files
from export.heads import HEADS
from export.options import NO_VOCABULARY, EncoderRequest
from export.oracle.forward import Case
from export.planning import PlannedEncoder, plan_encoder
from export.versions import versions
from zoo.archive.card import EncoderCard, Pooler
from zoo.basics.extras import versions_of
from zoo.basics.progress import progress
from zoo.contract import INPUT_KEYS, INPUT_MASK, MASKED_POSITIONS, POOLED_OUTPUT, SEQUENCE_OUTPUT
from zoo.errors import BadArgument, VerificationFailed
from zoo.loading.load import load_checked
from zoo.loading.matching import EncoderWithTokenizer

_LEFT_OUT = ("string tokens as inputs", "zeros at padded positions")


def convert_to_transformers(asked: Conversion, python: str | None = None) -> ConversionReport:
    """Return the report of `OUT`: config.json, model.safetensors, the files of the tokenizer, conversion.json.

        convert_to_transformers(Conversion(find_pair("albert_tiny"), "transformers", Path("albert_tiny-transformers")))

    `python` is another Python whose transformers is asked. Raises what `convert_encoder` does, and Unsupported for
    archives that no class of transformers computes.
    """
    planned, chosen, used = ready_for_transformers(asked)
    model, card, start = asked.model, asked.model.card, time.monotonic()
    with replaced_directory(asked.out) as work, progress(f"{card.name} to {asked.to}", 3, unit="steps") as advance:
        encoder = load_checked(model.directory, card)
        questions = batches(model.directory, card)
        expected = _answers(encoder, questions, chosen.heads)
        advance(1)
        write_weights(planned, chosen, card.derivation.stored_in if card.derivation else "float32", work)
        vocabulary = planned.vocabulary
        tokenizer, notes = write_tokenizer_files(encoder, model, vocabulary, chosen.row.takes_types, work)
        no_vectors = write_sentence_files(card, work)
        advance(1)
        tolerance = allowed_difference(card)
        comparison, reason = compare(questions, expected, _by_oracle(work, planned, chosen, questions), tolerance), None
        try:
            texts = [text.text for text in model.tokenizer_card.certificate] if tokenizer and isinstance(model, EncoderWithTokenizer) else []
            found = ask_transformers(work, questions, texts, python)
            comparison = _by_transformers(found, planned, chosen, questions, expected, tolerance)
            if isinstance(model, EncoderWithTokenizer):
                _check_ids(found, [text.ids for text in model.tokenizer_card.certificate])
            used |= found.versions
        except NoRuntime as error:
            reason = f"by transformers itself, only by the numpy forward pass over the files: {error}"
        advance(1)
        facts: dict[str, Any] = {
            "name": card.name,
            "format": asked.to,
            "quantized": None,
            "archive_sha256": model.sha256,
            "comparison": comparison,
            "not_verified": reason,
            "tokenizer": tokenizer,
            "left_out": [*chosen.left_out, *filter(None, [no_vectors]), *_LEFT_OUT],
            "notes": [f"loads as {' and '.join(chosen.architectures)}", *chosen.notes, *notes],
            "versions": {**versions(), **used},
            "seconds": round(time.monotonic() - start, 1),
        }
        return with_files(work, facts)


def ready_for_transformers(asked: Conversion) -> tuple[PlannedEncoder, ChosenClass, dict[str, str]]:
    """Return plan, class and versions for a conversion. Raises every error that can be known before the work."""
    if asked.quantize:
        raise BadArgument(f"--quantize {asked.quantize} goes with --to onnx, tflite; transformers' files are written as the archive stores them.")
    check_place(asked.out, asked.force)
    used = versions_of(["safetensors"], "`zoo convert --to transformers`", "hf")
    card = asked.model.card
    planned = _planned(asked.model.directory, card, None if card.vocabulary_sha256 else NO_VOCABULARY)
    planned.plan.checked(card.name)
    return planned, chosen_class(planned), used
