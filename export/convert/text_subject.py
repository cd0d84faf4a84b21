"""A text archive without its strings: ids in, numbers out, which a runtime that has no strings computes.

The head is inside: pooling, dense layers, normalisation, the scores of classes, the logits of tokens. Texts become ids
by the tokenizer.json beside the model. The questions are the archive's golden texts, whose answers are stored in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from export.convert.check import Batch, as_numpy
from export.convert.rebuilding import PlainRoot, plain_encoder
from export.convert.subject import Subject, notes
from export.convert.tokenizer_file import vocabulary_of, write_text_tokenizer
from export.encoder.encoder import Encoder
from export.families import FAMILIES
from export.heads import HEADS
from export.heads.mlm import masked_logits
from export.heads.planning import with_heads
from export.oracle.answers import tokens_for_masks
from export.saved_model.text_model import Inputs, TextModel
from export.tasks import TASKS
from export.weights.naming import archive_name
from tokenizer.graph import TRIMS
from tokenizer.vocabulary import CLS, SEP, Vocabulary
from zoo.archive.activation import Activation
from zoo.archive.card import GoldenText, TextCard
from zoo.archive.task import TextTask
from zoo.contract import GOLDEN_FILE, INPUT_KEYS, INPUT_MASK, MLM_LOGITS, TASKS as CALLS, VECTOR, TaskName
from zoo.errors import Unsupported
from zoo.loading.load import load_checked
from zoo.loading.matching import FoundText
from zoo.loading.pooling import lowered

Text = Sequence[str]  # one text, or a pair
_TOKENS = 5  # the best that a golden answer has for each [MASK]


@dataclass(frozen=True)
class TextQuestions:
    """The golden texts of an archive, as ids, with its own answers and those that are stored in it.

    `groups` are the numbers of the texts of each batch. `golden` are all texts, with their prompts, and their ids.
    `outputs` are those that are compared.
    """

    groups: Sequence[Sequence[int]]
    questions: Sequence[Batch]
    archive: Sequence[Batch]
    original: Sequence[Batch]
    golden: Sequence[GoldenText]
    outputs: Sequence[str]
    vocabulary: Vocabulary
    variables: Sequence[tf.Variable]


def text_questions(model: FoundText) -> TextQuestions:
    """Return the questions to a text archive. Raises what loading does."""
    card, loaded = model.card, load_checked(model.directory, model.card)
    task, texts = card.task, card.certificate.texts
    rows = _Rows(loaded.tokenizer, card).of(texts)
    with np.load(model.directory / GOLDEN_FILE, allow_pickle=False) as file:
        stored = dict(file)
    outputs = _compared_outputs(task)
    groups = [*_groups(texts)]
    return TextQuestions(
        groups=groups,
        questions=[_batch([rows[number] for number in group], card.padding_id) for group in groups],
        archive=[joined(task.name, _answers(loaded, [texts[number] for number in group], outputs)) for group in groups],
        original=[
            joined(task.name, [{name: stored[f"{number}/{name}"] for name in outputs} for number in group])
            for group in groups
        ],
        golden=[GoldenText(text=row.text, ids=row.ids) for row in rows],
        outputs=outputs,
        vocabulary=vocabulary_of(loaded.encoder),
        variables=[*loaded.encoder.variables, *loaded.variables],
    )


def text_subject(model: FoundText) -> Subject:
    """Return a text archive: three inputs of ids, the numbers of its task.

    Raises what loading does, and Unsupported if numbers of ids are not enough for an answer.
    """
    refuse_crf(model.card)
    card, asked = model.card, text_questions(model)
    task = card.task
    encoder = plain_encoder(asked.variables, card, _head_names(card))
    answer = partial(_numbers, task, dict(card.tokenizer.special_tokens))
    return Subject(
        root=PlainRoot(encoder, answer, TASKS[task.name].axes),
        questions=asked.questions,
        archive=asked.archive,
        original=asked.original,
        write_tokenizer=lambda work: write_text_tokenizer(card, asked.vocabulary, asked.golden, work),
        left_out=["strings as inputs", "training", ".encoder", ".tokenizer"],
        notes=[*notes(card), *_notes(task)],
        relative=asked.outputs,
        compared=partial(_AS_ANSWERED.get(task.name, _real_tokens), task, asked.vocabulary.entries),
    )


def refuse_crf(card: TextCard) -> None:
    """Raise Unsupported if a CRF chooses the labels: no other format has one."""
    if card.task.crf:
        raise Unsupported(
            f"the labels of {card.name} are chosen by a CRF, which is in the archive alone: logits would give other "
            "labels. Use the archive itself, or `--to serving`, which takes strings."
        )


def _notes(task: TextTask) -> list[str]:
    found = [f"a text has at most {task.max_length:,} tokens with [CLS] and [SEP]: tokenizer.json cuts it"]
    found += [f"put the prompt {task.prompt!r} before every text, as the archive does"] if task.prompt else []
    found += ["lower-case every text before the tokenizer, as the archive does"] if task.lower_case else []
    return found


# -- the graph --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inside:
    """The encoder in a text model, in the plain layout."""

    encoder: Encoder

    def encode(
        self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, training: bool, first_only: bool
    ) -> Mapping[str, object]:
        return self.encoder.encode(ids, mask, types, first_only)

    def masked_logits(self, rows: tf.Tensor) -> tf.Tensor:
        return masked_logits(self.encoder, rows)


class _PlainText(TextModel):
    def activated(self, activation: Activation, x: tf.Tensor) -> tf.Tensor:
        return self.encoder.encoder.forms.activate(activation, x)


def _numbers(
    task: TextTask, special_tokens: Mapping[str, int], encoder: Encoder, *inputs: tf.Tensor
) -> Mapping[str, tf.Tensor]:
    head = {name: weight for name, weight in encoder.weights.items() if name.startswith("task/")}
    tokens: Any = SimpleNamespace(ids=special_tokens)
    inside: Any = _Inside(encoder)
    given: Inputs = dict(zip(INPUT_KEYS, inputs, strict=True))
    return TASKS[task.name].numbers(_PlainText(task, tokens, inside, head), given, False)


def _head_names(card: TextCard) -> dict[str, str]:
    """Return our name -> name in the archive of every variable of the task's head."""
    family = next(family for family in FAMILIES if family.name == card.family)
    names = {name: name for name in card.variables if name.startswith("task/")}
    if (head := TASKS[card.task.name].encoder_head) is None:
        return names
    canonical, ours = with_heads(family.canonical), [*HEADS[head].variables, *HEADS[head].tied]
    return {**names, **{each: archive_name(each, canonical) for each in ours}}


# -- questions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A text or pair, with its prompt, as the archive packs it."""

    text: list[str]
    ids: list[int]
    types: list[int]


@dataclass(frozen=True)
class _Rows:
    """Packs texts as an archive does: prompt, lower case, ids of its tokenizer, and the rule by which pairs are cut."""

    tokenizer: Any
    card: TextCard

    def of(self, texts: Sequence[Text]) -> list[_Row]:
        task, special = self.card.task, self.card.tokenizer.special_tokens
        parts = [[task.prompt + text[0], *text[1:]] for text in texts]
        flat = tf.constant([part for each in parts for part in each])
        flat = lowered(flat) if task.lower_case else flat
        said = iter([text.decode("utf-8", "surrogateescape") for text in flat.numpy()])
        ids = iter(self.tokenizer.tokenize(flat).merge_dims(1, 2).to_list())
        rows = []
        for text in texts:
            pieces = [next(ids) for _ in text]
            row, types = [special[CLS]], [0]
            for number, (piece, length) in enumerate(zip(pieces, self._kept(pieces), strict=True)):
                row += [*piece[:length], special[SEP]]
                types += [number] * (length + 1)
            rows.append(_Row([next(said) for _ in text], row, types))
        return rows

    def _kept(self, pieces: Sequence[list[int]]) -> list[int]:
        task, lengths = self.card.task, [*map(len, pieces)]
        room = task.max_length - 1 - len(pieces)
        if len(pieces) == 1:
            return [min(lengths[0], room)]
        kept: list[int] = TRIMS[task.truncation](tf.constant([lengths]), tf.constant(room)).numpy()[0].tolist()
        return kept


def _groups(texts: Sequence[Text]) -> Iterable[list[int]]:
    """Yield the numbers of texts that are asked together: all single texts, all pairs, and one text alone."""
    for width in (1, 2):
        if numbers := [number for number, text in enumerate(texts) if len(text) == width]:
            yield numbers
    yield [0]


def _batch(rows: Sequence[_Row], padding_id: int) -> Batch:
    longest = max(len(row.ids) for row in rows)

    def padded(numbers: Sequence[list[int]], by: int) -> np.ndarray:
        return np.array([each + [by] * (longest - len(each)) for each in numbers], np.int32)

    ids = padded([row.ids for row in rows], padding_id)
    mask, types = padded([[1] * len(row.ids) for row in rows], 0), padded([row.types for row in rows], 0)
    return dict(zip(INPUT_KEYS, (ids, mask, types), strict=True))


# -- answers ----------------------------------------------------------------------------------------------------------


def _compared_outputs(task: TextTask) -> list[str]:
    """Return the outputs of an archive that the converted model gives too, or that can be made of what it gives."""
    given = {*TASKS[task.name].axes, *_MADE.get(task.name, ())}
    return [name for name in CALLS[task.name].outputs if name in given]


def _answers(loaded: Any, texts: Sequence[Text], outputs: Sequence[str]) -> list[dict[str, np.ndarray]]:
    given = loaded(tf.constant([list(text) if len(text) == 2 else text[0] for text in texts]))
    named = given if isinstance(given, Mapping) else {VECTOR: given}
    return [{name: as_numpy(named[name][row]) for name in outputs} for row in range(len(texts))]


def joined(task: TaskName, rows: Sequence[Mapping[str, np.ndarray]]) -> Batch:
    """Return the answers to several texts as one batch: rows of tokens are padded, those of any number joined."""
    found: dict[str, np.ndarray] = {}
    for name in rows[0]:
        axes, each = CALLS[task].outputs[name], [row[name] for row in rows]
        if axes[1:2] == "E":
            found[name] = np.concatenate(each)
        elif axes[1:2] == "T":
            longest = max(len(array) for array in each)
            found[name] = np.stack([np.pad(array, [(0, longest - len(array)), (0, 0)]) for array in each])
        else:
            found[name] = np.stack(each)
    return found


def _real_tokens(task: TextTask, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    """Return the outputs with zeros for padding, as `joined` pads."""
    axes, mask = TASKS[task.name].axes, question[INPUT_MASK]
    return {
        name: array * mask[..., None].astype(array.dtype) if axes.get(name, "").startswith("BT") else array
        for name, array in outputs.items()
    }


def _with_labels(task: TextTask, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    return {**outputs, "label": np.array(task.labels)[outputs["logits"].argmax(-1)]}


def _best_tokens(task: TextTask, entries: Sequence[str], question: Batch, outputs: Batch) -> Batch:
    found = tokens_for_masks(entries, outputs[MLM_LOGITS])
    return {"token": found["token"], "score": found["score"].astype(np.float32)}


# What is compared of a task's numbers, where that is more than the numbers, and which outputs that makes.
_AS_ANSWERED: Mapping[TaskName, Callable[[TextTask, Sequence[str], Batch, Batch], Batch]] = {
    "classification": _with_labels,
    "fill_mask": _best_tokens,
}
_MADE: Mapping[TaskName, tuple[str, ...]] = {"classification": ("label",), "fill_mask": ("token", "score")}
