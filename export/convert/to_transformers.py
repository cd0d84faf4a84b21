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
from export.convert.asked import check_asked, converter_versions, replaced_directory
from export.convert.check import Batch, Comparison, NoRuntime, answers, batches, compare
from export.convert.conversion import Conversion, written_report
from export.convert.in_transformers import Answered, ask_transformers, not_asked
from export.convert.report import ConversionReport
from export.convert.sentence_files import sentence_files_of_card
from export.convert.subject import as_case, planned_archive
from export.convert.tokenizer_file import check_tokenizer
from export.convert.transformers_files import ChosenClass, chosen_class, write_weights
from export.convert.transformers_tokenizer import write_tokenizer_files
from export.heads import HEADS
from export.options import NO_VOCABULARY
from export.planning import PlannedEncoder
from zoo.archive.card import GoldenText, ModelCard
from zoo.basics.progress import progress
from zoo.contract import INPUT_MASK, MASKED_POSITIONS, POOLED_OUTPUT, SEQUENCE_OUTPUT, head_outputs
from zoo.errors import VerificationFailed
from zoo.loading.load import load_checked
from zoo.loading.matching import EncoderWithTokenizer, FoundEncoder

_LEFT_OUT = ("string tokens as inputs", "zeros at padded positions")


def convert_to_transformers(asked: Conversion, python: str | None = None) -> ConversionReport:
    """Return the report of `OUT`: config.json, model.safetensors, the files of the tokenizer, conversion.json.

        convert_to_transformers(Conversion(find_pair("albert_tiny"), "transformers", Path("albert_tiny-transformers")))

    `python` is another Python whose transformers is asked. Raises what `convert_model` does, and Unsupported for
    archives that no class of transformers computes.
    """
    planned, chosen, used = ready_for_transformers(asked)
    model, start = asked.model, time.monotonic()
    assert isinstance(model, FoundEncoder)
    card = model.card
    with replaced_directory(asked.out) as work, progress(f"{card.name} to {asked.to}", 3, unit="steps") as advance:
        encoder = load_checked(model.directory, card)
        questions = _with_tokens(batches(model.directory, card))
        expected = _answers(encoder, questions, chosen.heads)
        advance(1)
        write_weights(planned, chosen, card.stored_in, work)
        vocabulary = planned.vocabulary
        tokenizer, notes = write_tokenizer_files(encoder, model, vocabulary, chosen.row.takes_types, work)
        no_vectors = sentence_files_of_card(card, work)
        advance(1)
        tolerance, original = card.certificate.tolerance, _by_oracle(work, card, chosen, questions)
        comparison, reason = compare(questions, expected, original, tolerance, relative=head_outputs()), None
        golden = model.tokenizer_card.certificate if isinstance(model, EncoderWithTokenizer) else []
        try:
            found = ask_transformers(work, questions, [each.text for each in golden], python)
            comparison = _by_transformers(found, planned, chosen, questions, expected, original, tolerance)
            check_ids(found, golden)
            used |= found.versions
        except NoRuntime as error:
            reason = not_asked(error)
        advance(1)
        return written_report(
            asked,
            work,
            start,
            used,
            comparison=comparison,
            not_verified=reason,
            tokenizer=tokenizer,
            left_out=[*chosen.left_out, *filter(None, [no_vectors]), *_LEFT_OUT],
            notes=[f"loads as {' and '.join(chosen.architectures)}", *chosen.notes, *notes],
        )


def ready_for_transformers(asked: Conversion) -> tuple[PlannedEncoder, ChosenClass, dict[str, str]]:
    """Return plan, class and versions for a conversion. Raises every error that can be known before the work."""
    used = check_ready(asked)
    card = asked.model.card
    vocab = None if card.vocabulary_sha256 else NO_VOCABULARY
    planned = planned_archive(asked.model.directory, card, card.exported_heads, vocab)
    return planned, chosen_class(planned), used


def check_ready(asked: Conversion) -> dict[str, str]:
    """Return the versions of the packages that write the files. Raises BadArgument, CannotWrite, ZooError."""
    check_asked(asked.to, asked.quantize, asked.force, asked.out)
    check_tokenizer(asked.model)
    return converter_versions("transformers")


# -- comparing --------------------------------------------------------------------------------------------------------


def _answers(encoder: Any, questions: Sequence[Batch], heads: Sequence[str]) -> list[Batch]:
    """Return the outputs of a loaded archive for each batch; those of its heads for the first one."""
    found: list[dict[str, Any]] = [dict(each) for each in answers(encoder, questions)]
    for head in heads:
        outputs = getattr(encoder, head)({**questions[0], **_own_inputs(head, questions[0])})
        found[0] |= {key: outputs[key].numpy() for key in HEADS[head].outputs}
    return [*found]


def _own_inputs(head: str, question: Batch) -> Mapping[str, np.ndarray]:
    return HEADS[head].golden_inputs(as_case(question))


def _by_oracle(directory: Path, card: ModelCard, chosen: ChosenClass, questions: Sequence[Batch]) -> list[Batch]:
    """Return what the forward pass in numpy computes with the written files, as our readers see them."""
    again = planned_archive(directory, card, chosen.heads)
    cases = [as_case(question) for question in questions]
    arrays = golden_arrays(again.checkpoint, again.config, again.heads, cases, again.under)
    keys = [[SEQUENCE_OUTPUT, POOLED_OUTPUT] for _ in questions]
    keys[0] += [key for head in chosen.heads for key in HEADS[head].outputs]
    return [{key: arrays[f"{number}/{key}"] for key in each} for number, each in enumerate(keys)]


def _by_transformers(
    found: Answered,
    planned: PlannedEncoder,
    chosen: ChosenClass,
    questions: Sequence[Batch],
    expected: Sequence[Batch],
    original: Sequence[Batch],
    tolerance: float,
) -> Comparison:
    """Return how far the classes of transformers are from the archive. Raises VerificationFailed."""
    pooler = planned.config.pooler
    may_miss = ("pooler.",) if pooler == "first_token" and chosen.row.pools else ()
    lost = {name for names in found.missing.values() for name in names if not any(part in name for part in may_miss)}
    if lost:
        raise VerificationFailed(f"transformers misses variables, and makes random ones: {', '.join(sorted(lost))}.")
    unknown = [] if pooler == "first_token" or chosen.row.pools else [POOLED_OUTPUT]
    ours = [{key: array for key, array in batch.items() if key not in unknown} for batch in expected]
    theirs: list[dict[str, Any]] = []
    for number, question in enumerate(questions):
        last = found.arrays[f"AutoModel/{number}/last_hidden_state"]
        mask = question[INPUT_MASK] != 0
        outputs = {SEQUENCE_OUTPUT: last * mask[..., None]}
        if POOLED_OUTPUT in ours[number]:
            outputs[POOLED_OUTPUT] = (
                last[:, 0] if pooler == "first_token" else found.arrays[f"AutoModel/{number}/pooler_output"]
            )
        theirs.append(outputs)
    for architecture in chosen.architectures:
        for head, field in chosen.outputs_of(architecture).items():
            [(key, axes)] = HEADS[head].outputs.items()
            logits = found.arrays[f"{architecture}/0/{field}"]
            if "M" in axes:
                positions = _own_inputs(head, questions[0])[MASKED_POSITIONS]
                logits = np.take_along_axis(logits, positions[..., None], axis=1)
            theirs[0][key] = logits * (questions[0][INPUT_MASK] != 0) if axes == "BT" else logits
    return compare(questions, ours, theirs, tolerance, original, head_outputs())


def _with_tokens(questions: Sequence[Batch]) -> list[Batch]:
    """Return batches without the rows that have no token: there, everybody computes another average of padding."""
    rows = [question[INPUT_MASK].any(axis=1) for question in questions]
    return [{key: array[kept] for key, array in each.items()} for kept, each in zip(rows, questions, strict=True)]


def check_ids(found: Answered, golden: Sequence[GoldenText]) -> None:
    wrong = [each.text for each, ids in zip(golden, found.ids or [], strict=bool(golden)) if each.ids != [*ids]]
    if wrong:
        raise VerificationFailed(
            f"AutoTokenizer gives other ids than the archive's tokenizer for {len(wrong)} texts: {wrong[0]}."
        )
