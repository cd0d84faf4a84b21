"""What is converted, of either kind of archive: a plain graph, and questions with the answers that it has to give."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.certificate import golden_arrays
from export.convert.check import Batch, answers, batches
from export.convert.rebuilding import OUTPUT_KEYS, PlainRoot, plain_encoder
from export.convert.report import TokenizerReport
from export.convert.tokenizer_file import write_tokenizer
from export.options import NO_VOCABULARY, EncoderRequest
from export.oracle.forward import Case
from export.planning import PlannedEncoder, plan_encoder
from zoo.archive.card import EncoderCard, ModelCard, Pooler
from zoo.contract import GOLDEN_FILE, INPUT_KEYS, INPUT_MASK
from zoo.loading.load import load_checked
from zoo.loading.matching import FoundEncoder

_NO_CHECK = "the archive refuses texts longer than {limit} tokens, this model does not: cut them before"
_WIDENED = "the archive stores matrices in {dtype}; here they are the same numbers in float32, and products are float32"


@dataclass(frozen=True)
class Subject:
    """An archive that is converted. `archive` are its own answers to the questions, `original` those of the oracle.

    `compared(question, outputs)` makes what is compared with them of the outputs of the converted model. Differences of
    outputs in `relative` count as in `compare`.
    """

    root: PlainRoot
    questions: Sequence[Batch]
    archive: Sequence[Batch]
    original: Sequence[Batch]
    write_tokenizer: Callable[[Path], TokenizerReport | None]
    left_out: Sequence[str]
    notes: Sequence[str]
    relative: Collection[str] = ()
    compared: Callable[[Batch, Batch], Batch] = lambda question, outputs: outputs


def encoder_subject(model: FoundEncoder) -> Subject:
    """Return an encoder: three inputs of ids, two outputs. Raises what loading and planning do."""
    card, encoder = model.card, load_checked(model.directory, model.card)
    questions = batches(model.directory, card)
    archive = answers(encoder, questions)
    return Subject(
        root=PlainRoot(plain_encoder(encoder.variables, card)),
        questions=questions,
        archive=archive,
        original=original_answers(model, questions, archive),
        write_tokenizer=lambda work: write_tokenizer(encoder, model, work),
        left_out=left_out(card),
        notes=notes(card),
    )


def left_out(card: EncoderCard) -> list[str]:
    """Return the parts of an encoder archive that are not converted."""
    heads = [f"head .{head}" for head in card.exported_heads]
    return [*heads, ".attention", "encoder_outputs", "training", "string tokens as inputs"]


def notes(card: ModelCard) -> list[str]:
    """Return the differences between archive and converted model that its users have to know."""
    found = [_NO_CHECK.format(limit=card.sizes.position_limit)] if isinstance(card, EncoderCard) else []
    stored = card.stored_in
    return found if stored == "float32" else [*found, _WIDENED.format(dtype=stored)]


# -- the original -----------------------------------------------------------------------------------------------------


def original_answers(model: FoundEncoder, questions: Sequence[Batch], archive: Sequence[Batch]) -> list[Batch]:
    """Return the two outputs for each batch as the forward pass in numpy computes them, in float64.

    For the golden inputs, which come first, they are stored in the archive; for the others the forward pass reads the
    archive's variables. A row without tokens keeps the answer of the archive: the original averages padding there.
    """
    with np.load(model.directory / GOLDEN_FILE, allow_pickle=False) as file:
        stored = {name.rpartition("/"): file[name] for name in file.files}
    golden = [
        {key: stored[case, slash, key] for key in OUTPUT_KEYS}
        for case, slash in sorted({name[:2] for name in stored if name[2] == INPUT_KEYS[0]})
    ]
    planned = planned_archive(model.directory, model.card)
    rest = [as_case(question) for question in questions[len(golden) :]]
    arrays = golden_arrays(planned.checkpoint, planned.config, (), rest, planned.under)
    computed = [{key: arrays[f"{number}/{key}"] for key in OUTPUT_KEYS} for number in range(len(rest))]
    del planned
    gc.collect()
    found: list[Batch] = []
    for question, ours, theirs in zip(questions, archive, [*golden, *computed], strict=True):
        has_tokens = question[INPUT_MASK].any(axis=1)
        rows = {key: has_tokens.reshape(-1, *[1] * (ours[key].ndim - 1)) for key in OUTPUT_KEYS}
        found.append({key: np.where(rows[key], theirs[key], ours[key]) for key in OUTPUT_KEYS})
    return found


def planned_archive(
    directory: Path, card: ModelCard, heads: Sequence[str] = (), vocab: Path | None = NO_VOCABULARY
) -> PlannedEncoder:
    """Return the plan of an archive, or of files that were written from it, as a checkpoint. It has to be complete."""
    request = EncoderRequest(
        checkpoint=directory, name=card.name, out=directory, heads=tuple(heads), pooler=_pooler(card), vocab=vocab
    )
    planned = plan_encoder(request)
    planned.plan.checked(card.name)
    return planned


def _pooler(card: ModelCard) -> Pooler:
    if card.pooler.startswith("none"):
        return "first_token"
    return "discriminator" if card.pooler.startswith("the discriminator") else "dense"


def as_case(question: Batch) -> Case:
    """Return the inputs of a batch as the forward pass takes them."""
    return Case(*(question[key] for key in INPUT_KEYS))
