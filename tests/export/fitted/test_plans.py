"""What a planned archive of a fitted model computes, beside Keras itself and beside the oracle; nothing is saved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

import zoo
from export.fitted.plan import plan_fitted
from export.fitted.task import Asked
from export.planning import PlannedText
from export.saved_model.text_model import TextModel
from export.text_certificate import golden_answers, golden_questions
from tests.export.fitted.conftest import LENGTH, Layers
from tests.export.tasks.conftest import text_model
from tests.zoo.toyzoo import ToyZoo
from zoo.errors import BadArgument
from zoo.loading.verify_text import differences

K = keras.layers


def planned(model: Any, tokenizer: Any = None, **asked: Any) -> PlannedText:
    return plan_fitted(model, "fitted", Path("out"), Asked(**asked), tokenizer)


def ids_of(layers: Layers, *keys: str) -> Any:
    """A model of these inputs alone."""
    inputs = {key: layers.ids[key] for key in keys}
    return keras.Model(inputs, K.Dense(3, activation="softmax")(layers.encoder(inputs)["pooled_output"]))


def of_two_inputs(toys: ToyZoo) -> Any:
    """A model of pairs whose two texts come by two inputs."""
    encode = zoo.TextEncoder(
        toys.unpacked("toy"), tokenizer=toys.unpacked("toy_tokenizer"), pooling="mean", max_length=LENGTH
    )
    vectors = encode.keras_model(pairs="apart")
    return keras.Model(vectors.inputs, K.Dense(2, "softmax")(vectors.output))


MODELS: dict[str, Callable[[Layers, ToyZoo], PlannedText]] = {
    "texts, two dense layers": lambda layers, toys: planned(
        keras.Model(layers.text, K.Dense(2, "softmax")(K.Dense(5, "gelu")(K.Dropout(0.2)(layers.mean())))),
        labels=["bad", "good"],
    ),
    "ids, one sigmoid for two classes": lambda layers, toys: planned(
        keras.Model(layers.ids, K.Dense(1, "sigmoid")(layers.of_ids["sequence_output"][:, 0])),
        toys.unpacked("toy_tokenizer"),
        labels=["bad", "good"],
        max_length=LENGTH,
    ),
    "word ids alone": lambda layers, toys: planned(
        ids_of(layers, "input_word_ids"), toys.unpacked("toy_tokenizer"), max_length=LENGTH
    ),
    "texts, labels of tokens": lambda layers, toys: planned(
        keras.Model(layers.text, K.Dense(3, "softmax")(K.Dense(5, "tanh")(layers.of_text["sequence_output"]))),
        labels=["O", "B-PER", "I-PER"],
    ),
    "logits of tokens": lambda layers, toys: planned(
        keras.Model(layers.ids, K.Dense(3)(K.UnitNormalization()(layers.of_ids["sequence_output"]))),
        toys.unpacked("toy_tokenizer"),
        labels=["O", "B-PER", "I-PER"],
        scores="softmax",
        max_length=LENGTH,
    ),
    "pairs by two inputs": lambda layers, toys: planned(of_two_inputs(toys), labels=["bad", "good"]),
    "a vector": lambda layers, toys: planned(
        keras.Model(layers.text, K.UnitNormalization()(K.Dense(7, "tanh")(layers.mean()))), task="vector"
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_keras_the_archive_and_the_oracle_answer_alike(name: str, layers: Layers, toy_zoo: ToyZoo) -> None:
    plan = MODELS[name](layers, toy_zoo)
    plan.plan.checked("fitted")
    assert plan.fitted is not None
    questions = golden_questions(plan)
    asked = [text for text in questions if plan.fitted.takes(text)]
    assert (asked == questions) == (
        name.startswith("ids") or "tokens" in name
    )  # those without types of tokens, and of texts, take no pairs
    model = partial(batch, text_model(plan))
    of_keras = differences(model, asked, plan.fitted.answers(asked), 2e-6, "Keras")
    given = {"a vector": "vector", "texts, labels of tokens": "token_score", "logits of tokens": "logits"}
    assert of_keras.keys() == {given.get(name, "scores")}
    differences(model, questions, golden_answers(plan), 2e-6, "the oracle")


def batch(model: TextModel, texts: tf.Tensor) -> Any:
    return model.answer(texts, False)


def test_what_the_plan_states(layers: Layers, toy_zoo: ToyZoo) -> None:
    plan = MODELS["texts, two dense layers"](layers, toy_zoo)
    assert plan.fitted is not None
    record = plan.fitted.record
    assert (record.parent, record.parent_sha256) == ("toy", None)  # a directory, not an archive
    assert [name.partition(" ")[2] for name in record.layers[1:]] == ["(Dropout)", "(Dense)", "(Dense)"]
    assert plan.encoder.notes[0].startswith("its weights were fitted in Keras 3")
    assert plan.encoder.heads == () and "masked-language-model head" in plan.plan.left_out
    assert (
        next(each for each in plan.plan.variables if each.ours == "task/dense_1/bias").sources[0].startswith("keras/")
    )
    assert (plan.task.max_length, plan.task.labels, plan.task.dropout) == (LENGTH, ["bad", "good"], 0.2)


def test_tokenizers(layers: Layers, toy_zoo: ToyZoo) -> None:
    model = ids_of(layers, "input_word_ids", "input_mask")
    with pytest.raises(BadArgument, match=r"and a text archive texts\. Name the tokenizer .* `zoo info toy`"):
        planned(model)
    with pytest.raises(BadArgument, match="is of kind encoder: name a tokenizer"):
        planned(model, toy_zoo.unpacked("toy"))
    with pytest.raises(BadArgument, match="takes texts, and has its own tokenizer"):
        planned(keras.Model(layers.text, layers.mean()), toy_zoo.unpacked("toy_tokenizer"))
    assert planned(model, toy_zoo.unpacked("toy_tokenizer")).task.max_length == 40  # the most positions


def test_numbers_of_tokens_that_are_no_labels(layers: Layers) -> None:
    def of(*behind: Any) -> Any:
        return keras.Model(layers.text, keras.Sequential(behind)(layers.of_text["sequence_output"]))

    for asked in ({}, {"task": "vector"}, {"task": "classification", "labels": ["O", "A"]}):
        with pytest.raises(BadArgument, match=r"'sequence_output' is taken as it is, .* For entities end in"):
            planned(of(K.Dense(2)), **asked)
    with pytest.raises(BadArgument, match="a token has one label"):
        planned(of(K.Dense(2, "sigmoid")), labels=["O", "A"])
    with pytest.raises(BadArgument, match="gives one answer for a text"):
        planned(keras.Model(layers.text, K.Dense(2, "softmax")(layers.mean())), task="token_classification")
    plan = planned(of(K.Dropout(0.2), K.Dense(3, "softmax")), labels=["O", "B-PER", "E-PER"])
    assert (plan.task.name, plan.task.scheme, plan.task.dropout, plan.task.pooling) == (
        "token_classification",
        "BIOES",
        0.2,
        None,
    )
