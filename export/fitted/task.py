"""Decides the task of a fitted Keras model: classes, entities or vectors, labels, scores, the most tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import keras
import numpy as np

from export.fitted.model import FittedModel
from export.fitted.steps import LINEAR, SIGMOID, SOFTMAX, DenseLayer
from export.tasks.schemes import scheme_of
from zoo.archive.card import TextCard
from zoo.archive.task import DenseRecord, Scores, TextTask, Truncation
from zoo.contract import VECTOR, TaskName
from zoo.errors import BadArgument
from zoo.loading.pooling import check_limit

TOKENS: TaskName = "token_classification"

# What makes scores of logits, by the loss that a model without a last activation was compiled with.
_BY_LOSS: Mapping[str, Scores] = {
    "sparse_categorical_crossentropy": "softmax",
    "categorical_crossentropy": "softmax",
    "categorical_focal_crossentropy": "softmax",
    "binary_crossentropy": "sigmoid",
    "binary_focal_crossentropy": "sigmoid",
    "mean_squared_error": "identity",
    "mean_absolute_error": "identity",
    "huber": "identity",
    "log_cosh": "identity",
}
_BY_ACTIVATION: Mapping[str, Scores] = {SOFTMAX: "softmax", SIGMOID: "sigmoid"}


@dataclass(frozen=True)
class Asked:
    """What a person chose; None: as the model says."""

    labels: Sequence[str] | None = None
    task: str | None = None
    scores: str | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class FittedTask:
    """The task, its dense layers, and which of its outputs the Keras model gives: "vector", "logits" or "scores".

    Of tokens these are "logits" and "token_score", the chance of the best label.
    `one_of_two`: the only output of the Keras model is that of the second of two classes.
    """

    record: TextTask
    dense: tuple[DenseLayer, ...]
    output: str
    one_of_two: bool = False

    def as_answers(self, rows: np.ndarray) -> np.ndarray:
        """Return the output of the Keras model [B, …] as the archive's: [B, 2] of two classes, [B, T] of tokens."""
        if self.output == "token_score":
            return rows.max(-1)
        if not self.one_of_two:
            return rows
        return np.concatenate([1 - rows if self.output == "scores" else np.zeros_like(rows), rows], -1)


def decide_task(fitted: FittedModel, asked: Asked, truncation: Truncation) -> FittedTask:
    """Return the task of a model. Raises BadArgument where it has to be chosen, or where a choice does not fit."""
    behind = fitted.behind
    name = _name(fitted, asked)
    parent = fitted.card.task if isinstance(fitted.card, TextCard) and not fitted.takes_ids else None
    common: dict[str, Any] = {
        "name": name,
        "pooling": behind.pooling,
        "max_length": _length(fitted, asked.max_length),
        "truncation": truncation,
        "dropout": next((layer.dropout for layer in reversed(behind.dense) if layer.dropout), 0.0),
    }
    if parent:
        common |= {each: getattr(parent, each) for each in ("lower_case", "prompts", "default_prompt")}
    if name == VECTOR:
        reasons = ["a vector: the output of the Keras model"]
        record = TextTask(**common, dense=_records(behind.dense), normalize=behind.normalize, reasons=reasons)
        return FittedTask(record, behind.dense, VECTOR)
    *before, last = behind.dense
    word, (scores, why) = last.activation, _scores(fitted, asked)
    if word in _BY_ACTIVATION:
        last = replace(last, activation=LINEAR)
    one_of_two = scores == "sigmoid" and last.kernel.shape[1] == 1 and len(asked.labels or ()) == 2
    if one_of_two:
        scores, why = "softmax", f"{why}; its one output z became the logits 0 and z of two classes"
        last = _beside_zero(last)
    dense = (*before, last)
    labels, why_labels = _labels(fitted, asked.labels, last.kernel.shape[1])
    common |= {"labels": labels, "scores": scores, "scheme": scheme_of(labels) if name == TOKENS else None}
    record = TextTask(**common, dense=_records(dense), reasons=[why_labels, why])
    of_scores = "token_score" if name == TOKENS else "scores"
    return FittedTask(record, dense, of_scores if word in _BY_ACTIVATION else "logits", one_of_two)


def _name(fitted: FittedModel, asked: Asked) -> TaskName:
    behind = fitted.behind
    if asked.task not in (None, VECTOR, "classification", TOKENS):
        raise BadArgument(f"task={asked.task!r}: a fitted model has the task 'classification', {TOKENS!r} or 'vector'.")
    if behind.of_tokens:
        return _of_tokens(fitted, asked)
    if asked.task == TOKENS:
        raise BadArgument(
            f"task={TOKENS!r}: the model gives one answer for a text. Put a dense layer behind 'sequence_output', "
            "which has the numbers of every token."
        )
    if behind.ends_in == SOFTMAX and asked.task == VECTOR:
        raise BadArgument("task='vector': the model ends in a softmax, which gives classes. Leave task= away.")
    if asked.task == VECTOR and (asked.labels or asked.scores):
        raise BadArgument("labels= and scores= are of classes, and task='vector' has none: leave one of them away.")
    are_classes = asked.task or asked.labels or asked.scores or behind.ends_in in _BY_ACTIVATION or behind.of_classes
    name: TaskName = "classification" if asked.task != VECTOR and are_classes else "vector"
    if name == "classification" and (not behind.dense or behind.normalize):
        raise BadArgument("classes need a dense layer at the end of the model: keras.layers.Dense(len(labels)).")
    if asked.task is None and name == VECTOR and behind.dense and not behind.of_vectors and not behind.normalize:
        raise BadArgument(
            f"the model ends in {behind.dense[-1].name!r}, {behind.dense[-1].kernel.shape[1]} numbers without softmax "
            "or sigmoid. Say what they are: labels=[…] for classes, task='vector' for a vector, or "
            "scores='identity' for numbers such as grades."
        )
    return name


def _of_tokens(fitted: FittedModel, asked: Asked) -> TaskName:
    """Return the task of a model that gives numbers for every token. Raises BadArgument where they are no labels."""
    behind = fitted.behind
    says = asked.task == TOKENS or asked.labels or behind.ends_in == SOFTMAX
    if asked.task not in (None, TOKENS) or not behind.dense or not says:
        raise BadArgument(
            "'sequence_output' is taken as it is, which is no vector for each text. For a vector or classes pool it: "
            "x[:, 0] for the first token's; zoo.TextEncoder(…, pooling='mean').keras_model() has others. For entities "
            "end in keras.layers.Dense(len(labels), activation='softmax') and give labels=['O', 'B-PER', …]."
        )
    if behind.normalize or _scores(fitted, asked)[0] != "softmax":
        raise BadArgument("a token has one label: end in keras.layers.Dense(len(labels), activation='softmax').")
    if fitted.width == 2 or fitted.card.stored_in == "bfloat16":
        what = "in pairs" if fitted.width == 2 else f"with the bfloat16 numbers of {fitted.card.name}"
        raise BadArgument(f"entities are found in single texts, and not {what}: build the model for that.")
    return TOKENS


def _scores(fitted: FittedModel, asked: Asked) -> tuple[Scores, str]:
    """Return what makes scores of logits, and why."""
    if asked.scores is not None and asked.scores not in get_args(Scores):
        raise BadArgument(f"scores={asked.scores!r}: choose one of {', '.join(get_args(Scores))}.")
    word = fitted.behind.ends_in
    if (own := _BY_ACTIVATION.get(word)) is not None:
        if asked.scores not in (None, own):
            raise BadArgument(f"scores={asked.scores!r}: the model ends in a {word}. Leave scores= away.")
        return own, f"scores by {word}: the last activation of the Keras model"
    if asked.scores is not None:
        return asked.scores, f"scores={asked.scores}"  # type: ignore[return-value]
    if fitted.behind.of_classes:
        assert isinstance(fitted.card, TextCard)
        return fitted.card.task.scores, f"scores as in {fitted.card.name}"
    loss = _loss(fitted.model)
    if loss is None:
        raise BadArgument(
            f"the model ends in {fitted.behind.dense[-1].name!r} without softmax or sigmoid, and no loss says what "
            "makes scores of its numbers. Choose scores='softmax', 'sigmoid' or 'identity'."
        )
    return _BY_LOSS[loss], f"scores by the loss that the Keras model was compiled with: {loss}"


def _loss(model: Any) -> str | None:
    """Return the loss of a compiled model, if it says what the last layer's numbers are; None for any other."""
    loss = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    name = str(getattr(loss, "name", getattr(loss, "__name__", None)))
    if name not in _BY_LOSS:
        return None
    settings = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    return name if _BY_LOSS[name] == "identity" or settings.get("from_logits") else None


def _labels(fitted: FittedModel, labels: Sequence[str] | None, count: int) -> tuple[list[str], str]:
    if labels is None:
        if fitted.behind.of_classes and isinstance(fitted.card, TextCard):
            return fitted.card.task.labels, f"labels of {fitted.card.name}"
        return [f"LABEL_{number}" for number in range(count)], "nothing names the classes; labels=[…] would"
    given = [] if isinstance(labels, str) else list(labels)
    if not all(isinstance(label, str) for label in given) or len({*given}) != len(given) or len(given) != count:
        two = " (or 2, of a single sigmoid)" if count == 1 else ""
        raise BadArgument(
            f"labels={labels!r:.200}: give {count} different texts{two}, one for each number of the last layer, in "
            "their order."
        )
    return given, "labels that were given with the Keras model"


def _length(fitted: FittedModel, asked: int | None) -> int:
    limit = fitted.card.sizes.position_limit
    if asked is not None and fitted.length not in (None, asked):
        raise BadArgument(f"max_length={asked}: the model itself has {fitted.length} tokens. Leave max_length= away.")
    length = asked or fitted.length or limit
    check_limit(f"max_length={length}", length, limit, fitted.card.name)
    return length


def _beside_zero(layer: DenseLayer) -> DenseLayer:
    """Return a layer of two numbers, 0 and what the layer gives: a softmax of them is the sigmoid of the second."""
    bias = np.zeros(1, np.float32) if layer.bias is None else layer.bias
    kernel, bias = (np.concatenate([np.zeros_like(each), each], -1) for each in (layer.kernel, bias))
    return replace(layer, kernel=kernel, bias=bias)


def _records(dense: Sequence[DenseLayer]) -> list[DenseRecord]:
    return [
        DenseRecord(
            outputs=layer.kernel.shape[1],
            activation=layer.activation,
            bias=layer.bias is not None,
            unit_inputs=layer.unit_inputs,
        )
        for layer in dense
    ]
