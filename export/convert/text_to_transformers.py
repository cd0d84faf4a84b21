"""transformers: a directory of a text archive, its head included, that AutoModelFor… or SentenceTransformer loads.

The oracle reads the written files once more and answers the archive's golden texts with them; where transformers, or
for vectors sentence-transformers, is installed, its classes are asked, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from export.convert.asked import replaced_directory
from export.convert.check import Batch, Comparison, NoRuntime, compare
from export.convert.conversion import Conversion, written_report
from export.convert.in_transformers import Answered, ask_transformers, not_asked
from export.convert.report import ConversionReport
from export.convert.sentence_files import DenseArrays, stated_vectors, unknown_poolings, write_sentence_files
from export.convert.subject import planned_archive
from export.convert.text_subject import TextQuestions, joined, refuse_crf, text_questions
from export.convert.to_transformers import check_ids, check_ready
from export.convert.tokenizer_file import rules_of
from export.convert.transformers_classes import Arrays
from export.convert.transformers_files import ChosenClass, chosen_class, write_weights
from export.convert.transformers_tokenizer import write_text_tokenizer_files
from export.oracle.answers import tokens_for_masks
from export.oracle.texts import Chosen
from export.oracle.wordpiece import ReferenceTokenizer
from export.planning import PlannedEncoder
from export.tasks import TASKS
from export.tasks.reading import WithDenseLayers
from export.tasks.table import HeadForm
from export.text_certificate import text_oracle
from export.weights.derived import narrowed
from tokenizer.vocabulary import MASK
from zoo.archive.card import GoldenText, Stored, TextCard
from zoo.archive.task import DenseRecord, Scores, TextTask
from zoo.basics.progress import progress
from zoo.contract import INPUT_MASK, INPUT_WORD_IDS, VECTOR, TaskName
from zoo.errors import Unsupported, VerificationFailed
from zoo.loading.matching import FoundText

_LEFT_OUT = ("strings as inputs", "training")
VECTORS = "SentenceTransformer"
Read = Callable[[str], np.ndarray]
# What makes scores of logits -> "problem_type", by which transformers' pipeline chooses it.
_PROBLEMS: Mapping[Scores, str] = {
    "softmax": "single_label_classification",
    "sigmoid": "multi_label_classification",
    "identity": "regression",
}


@dataclass(frozen=True)
class PlannedFiles:
    """The encoder of a text archive, the class that it becomes, and the form in which that class has the head."""

    encoder: PlannedEncoder
    chosen: ChosenClass
    form: HeadForm | None


def convert_text_to_transformers(asked: Conversion, python: str | None = None) -> ConversionReport:
    """Return the report of `OUT`: config.json, model.safetensors, tokenizer, sentence-transformers' files for vectors.

        convert_text_to_transformers(Conversion(FoundText(path, card), "transformers", Path("my_reviews-transformers")))

    `python` is another Python whose transformers is asked. Raises what `convert_model` does, and Unsupported for heads
    that no class of transformers has.
    """
    planned, used = ready_text(asked)
    model, start = asked.model, time.monotonic()
    assert isinstance(model, FoundText)
    card, stored = model.card, model.card.stored_in
    with replaced_directory(asked.out) as work, progress(f"{card.name} to {asked.to}", 3, unit="steps") as advance:
        asked_texts = text_questions(model)
        advance(1)
        write_model(planned, card.task, _reader(planned.encoder), stored, work)
        vocabulary, takes_types = asked_texts.vocabulary, planned.chosen.row.takes_types
        tokenizer, notes = write_text_tokenizer_files(card, vocabulary, asked_texts.golden, takes_types, work)
        advance(1)
        again = _by_oracle(work, card, planned.chosen.heads, asked_texts)
        tolerance, outputs = card.certificate.tolerance, asked_texts.outputs
        comparison = compare(asked_texts.questions, asked_texts.archive, again, tolerance, relative=outputs)
        reason = None
        try:
            short = [each.text for each in _short(card, asked_texts)]
            found = ask_transformers(work, asked_texts.questions, short, python, _singles(card))
            comparison = _by_transformers(found, planned, card, asked_texts)
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
            left_out=[*planned.chosen.left_out, *_LEFT_OUT],
            notes=[_loads_as(planned.chosen, card.task), *planned.chosen.notes, *notes],
        )


def _reader(encoder: PlannedEncoder) -> Read:
    def read(name: str) -> np.ndarray:
        array: np.ndarray = encoder.checkpoint.read(name).astype(np.float32)
        return array

    return read


def _loads_as(chosen: ChosenClass, task: TextTask) -> str:
    return f"loads as {VECTORS if task.name == 'vector' else chosen.architectures[0]}"


# -- what is written --------------------------------------------------------------------------------------------------


def ready_text(asked: Conversion) -> tuple[PlannedFiles, dict[str, str]]:
    """Return plan and versions of a conversion. Raises every error that can be known before the work."""
    used = check_ready(asked)
    card = asked.model.card
    assert isinstance(card, TextCard)
    refuse_crf(card)
    encoder = planned_archive(asked.model.directory, card, card.exported_heads)
    return planned_text(encoder, card.task), used


def planned_text(encoder: PlannedEncoder, task: TextTask) -> PlannedFiles:
    """Return which class an encoder with the head of a task becomes. Raises Unsupported if none has this head."""
    chosen, row = chosen_class(encoder), TASKS[task.name]
    if task.name == "vector":
        if unknown := unknown_poolings(task.pooling or ""):
            raise Unsupported(f"sentence-transformers has no {', '.join(unknown)}. Convert it with --to onnx.")
        return PlannedFiles(encoder, replace(chosen, architectures=(chosen.row.model,)), None)
    if row.encoder_head is not None:
        if row.encoder_head not in chosen.heads:
            raise Unsupported(f"{'; '.join(chosen.left_out)}. Convert it with --to onnx.")
        return PlannedFiles(encoder, chosen, None)
    form = next((form for form in _forms(task, chosen) if _fits(form, task, encoder)), None)
    if form is None:
        raise Unsupported(
            f"no class around {chosen.row.model} has this head for {row.title}: pooling {task.pooling}, dense layers "
            f"with {', '.join(map(_in_words, task.dense))}. Convert it with --to onnx."
        )
    return PlannedFiles(encoder, replace(chosen, architectures=(chosen.row.named(row.classes[0]),)), form)


def _in_words(layer: DenseRecord) -> str:
    return layer.activation + (" of vectors that get the length 1 first" if layer.unit_inputs else "")


def _forms(task: TextTask, chosen: ChosenClass) -> list[HeadForm]:
    """Return the forms in which the class of a task has its head."""
    forms = [form for form in TASKS[task.name].forms if form.format == "huggingface" and chosen.row.has_tasks]
    own = [form for form in forms if chosen.row.family.name in form.families]
    return own or [form for form in forms if not form.families]


def _fits(form: HeadForm, task: TextTask, encoder: PlannedEncoder) -> bool:
    wanted = [activation or encoder.config.activation for _, activation in form.layers]
    found = [layer.activation for layer in task.dense if not layer.unit_inputs]  # no class takes vectors of length 1
    return form.pooling == task.pooling and wanted == found


def write_model(planned: PlannedFiles, task: TextTask, read: Read, stored: Stored, directory: Path) -> None:
    """Write model.safetensors, config.json and, for vectors, the files of sentence-transformers.

    `read` returns a variable of the task's head by its name in an archive, "task/dense_0/kernel".
    """
    dense = []
    for number, layer in enumerate(task.dense):
        kernel, bias = (f"task/dense_{number}/{leaf}" for leaf in ("kernel", "bias"))
        dense.append(DenseArrays(layer, read(kernel), read(bias) if layer.bias else None))
    head = {name: narrowed(array, stored) for name, array in _named(planned.form, dense).items()}
    write_weights(planned.encoder, planned.chosen, stored, directory, head, _settings(task, planned.chosen))
    if task.name == VECTOR:
        write_sentence_files(stated_vectors(task), dense, planned.encoder.config.hidden_size, directory)


def _named(form: HeadForm | None, dense: Sequence[DenseArrays]) -> Arrays:
    """Return the variables of a head under transformers' names: "classifier.weight" [outputs, inputs]."""
    found: Arrays = {}
    for (scope, _), layer in zip(form.layers if form else (), dense, strict=bool(form)):
        assert layer.bias is not None
        found |= {f"{scope}.weight": np.ascontiguousarray(layer.kernel.T), f"{scope}.bias": layer.bias}
    return found


def _settings(task: TextTask, chosen: ChosenClass) -> dict[str, Any]:
    """Return what config.json says of a head: dropout, names of classes, and what makes scores of logits."""
    if task.name == VECTOR or TASKS[task.name].encoder_head:
        return {}
    settings: dict[str, Any] = {chosen.row.dropout: task.dropout}
    if task.labels:
        settings["id2label"] = {str(number): label for number, label in enumerate(task.labels)}
        settings["label2id"] = {label: number for number, label in enumerate(task.labels)}
    if task.name == "classification" and (len(task.labels) > 1 or task.scores == "identity"):
        settings["problem_type"] = _PROBLEMS[task.scores]
    return settings


# -- comparing --------------------------------------------------------------------------------------------------------


def _by_oracle(directory: Path, card: TextCard, heads: Sequence[str], asked: TextQuestions) -> list[Batch]:
    """Return what the oracle answers with the written files, as it reads them by itself."""
    planned = planned_archive(directory, card, heads)
    if planned.sentence:
        planned = replace(planned, checkpoint=WithDenseLayers(planned.checkpoint, planned.sentence))
    rules, whole = rules_of(card.tokenizer, asked.vocabulary)
    tokenizer = ReferenceTokenizer(
        asked.vocabulary.entries,
        rules.lower_case,
        rules.strip_accents,
        rules.tokenize_chinese_chars,
        rules.special_tokens,
        whole,
    )
    task = card.task
    oracle = text_oracle(planned, tokenizer, Chosen(task.name, task.max_length, task.labels, pairs_by=task.truncation))
    answers = [
        {key: value.astype(np.float32) if value.dtype.kind == "f" else value for key, value in each.items()}
        for each in oracle.answers([tuple(text) for text in card.certificate.texts])
    ]
    return [
        joined(task.name, [{key: answers[number][key] for key in asked.outputs} for number in group])
        for group in asked.groups
    ]


def _short(card: TextCard, asked: TextQuestions) -> list[GoldenText]:
    """Return the texts that AutoTokenizer does not have to cut. An empty second text is none at all for it."""
    return [each for each in asked.golden if len(each.ids) < card.task.max_length and each.text[-1:] != [""]]


def _singles(card: TextCard) -> list[str]:
    """Return the texts whose vectors are asked for: those of the first batch, as people give them."""
    return [text[0] for text in card.certificate.texts if len(text) == 1] if card.task.name == VECTOR else []


def _by_transformers(found: Answered, planned: PlannedFiles, card: TextCard, asked: TextQuestions) -> Comparison:
    """Return how far the classes of transformers are from the archive. Raises VerificationFailed."""
    name = planned.chosen.architectures[0]
    needed = [each for each in found.missing[name] if "pooler." not in each or planned.encoder.config.pooler == "dense"]
    if needed:
        raise VerificationFailed(f"transformers misses variables, and makes random ones: {', '.join(needed)}.")
    check_ids(found, _short(card, asked))
    made, place = _ANSWERS[card.task.name], VECTORS if card.task.name == VECTOR else name
    theirs = []
    for number, question in enumerate(asked.questions[:1] if card.task.name == VECTOR else asked.questions):
        outputs = {key.rpartition("/")[2]: a for key, a in found.arrays.items() if key.startswith(f"{place}/{number}/")}
        theirs.append(made(card, asked.vocabulary.entries, question, outputs))
    ours, original = (
        [{key: batch[key] for key in theirs[0]} for batch in of[: len(theirs)]]
        for of in (asked.archive, asked.original)
    )
    return compare(asked.questions[: len(theirs)], ours, theirs, card.certificate.tolerance, original, asked.outputs)


def _of_classes(card: TextCard, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    logits = outputs["logits"]
    return {"logits": logits, "label": np.array(card.task.labels)[logits.argmax(-1)]}


def _of_spans(card: TextCard, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    logits = np.stack([outputs["start_logits"], outputs["end_logits"]], -1)
    return {"logits": logits * question[INPUT_MASK][..., None].astype(logits.dtype)}


def _of_masks(card: TextCard, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    rows = outputs["logits"][question[INPUT_WORD_IDS] == card.tokenizer.special_tokens[MASK]]
    found = tokens_for_masks(entries, rows)
    return {"token": found["token"], "score": found["score"].astype(np.float32)}


def _of_tokens(card: TextCard, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    logits = outputs["logits"]
    return {"logits": logits * question[INPUT_MASK][..., None].astype(logits.dtype)}


def _of_vectors(card: TextCard, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    return {VECTOR: outputs[VECTOR]}


# What is compared, of the outputs of transformers' class.
_ANSWERS: Mapping[TaskName, Callable[[TextCard, Sequence[str], Batch, Batch], Batch]] = {
    "vector": _of_vectors,
    "classification": _of_classes,
    "token_classification": _of_tokens,
    "span": _of_spans,
    "fill_mask": _of_masks,
}
