"""Which Keras models are understood, what becomes of their layers, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from export.fitted.model import read_model
from export.fitted.task import Asked, decide_task
from tests.export.fitted.conftest import LENGTH, Layers
from zoo.errors import BadArgument, Unsupported
from zoo.loading.pooling import TextVectors

K = keras.layers


def of_texts(layers: Layers, output: Any) -> Any:
    return keras.Model(layers.text, output)


def first(layers: Layers) -> Any:
    return layers.of_text["sequence_output"][:, 0, :]


def pooled(layers: Layers) -> Any:
    return layers.of_text["pooled_output"]


# -- what is read ---------------------------------------------------------------------------------------------------

POOLED: dict[str, Callable[[Layers], Any]] = {
    "mean": lambda made: made.mean(normalize=False),
    "first": first,
    "pooled": pooled,
    "first+mean": lambda made: K.Concatenate()([first(made), made.mean(normalize=False)]),
    "pooled+first": lambda made: keras.ops.concatenate([made.of_text["default"], first(made)], axis=-1),
}


@pytest.mark.parametrize("pooling", POOLED)
def test_poolings(pooling: str, layers: Layers) -> None:
    fitted = read_model(of_texts(layers, K.Dense(3)(POOLED[pooling](layers))))
    assert (fitted.behind.pooling, fitted.width, fitted.length) == (pooling, 1, LENGTH)
    assert [layer.kernel.shape for layer in fitted.behind.dense] == [(32 * len(pooling.split("+")), 3)]


@pytest.mark.parametrize("pooling", ["max", "mean_sqrt_len", "weightedmean", "lasttoken", "first+max"])
def test_poolings_of_text_encoders(pooling: str, layers: Layers) -> None:
    how = TextVectors(pooling, True, LENGTH, "", False)
    behind = read_model(of_texts(layers, how.compute(layers.of_text, layers.tokens, keras.ops))).behind
    assert (behind.pooling, behind.normalize, behind.dense) == (pooling, True, ())


def test_the_mean_of_a_layer_of_keras_with_the_mask(layers: Layers) -> None:
    mean = K.GlobalAveragePooling1D()(layers.of_ids["sequence_output"], mask=layers.ids["input_mask"])
    fitted = read_model(keras.Model(layers.ids, K.Dense(3)(mean)))
    assert fitted.behind.pooling == "mean" and fitted.width is None and fitted.length is None
    assert fitted.places == {"input_word_ids": 2, "input_mask": 0, "input_type_ids": 1}


def test_the_steps_behind_and_what_training_alone_has(layers: Layers) -> None:
    x = K.Dropout(0.2)(layers.mean())
    x = K.Dense(5, name="hidden")(K.GaussianNoise(0.1)(x))
    x = K.UnitNormalization()(K.Activation("gelu")(x))
    fitted = read_model(of_texts(layers, K.Softmax()(K.Dense(3, use_bias=False, name="top")(x))))
    hidden, top = fitted.behind.dense
    assert (hidden.name, hidden.activation, hidden.unit_inputs, hidden.dropout) == ("hidden", "gelu", True, 0.2)
    assert (top.name, top.activation, top.unit_inputs, top.bias) == ("top", "softmax", True, None)
    assert fitted.behind.layers[0] == "division by the length" and fitted.behind.layers[-1].endswith("(Softmax)")
    task = decide_task(fitted, Asked(labels=["a", "b", "c"]), "round_robin")
    assert [layer.model_dump() for layer in task.record.dense] == [
        {"outputs": 5, "activation": "gelu", "bias": True, "unit_inputs": True},
        {"outputs": 3, "activation": "linear", "bias": False, "unit_inputs": True},
    ]
    assert (task.record.scores, task.record.dropout, task.output) == ("softmax", 0.2, "scores")


def test_models_within_models_and_sequential_ones(layers: Layers) -> None:
    vectors = of_texts(layers, layers.mean())
    outer = keras.Sequential([keras.Input([], dtype="string"), vectors, K.Dense(2, activation="sigmoid")])
    fitted = read_model(outer)
    assert (fitted.behind.pooling, fitted.behind.ends_in, fitted.behind.dense[0].unit_inputs) == (
        "mean",
        "sigmoid",
        True,
    )
    left, right = keras.Input([], dtype="string"), keras.Input([], dtype="string")
    with pytest.raises(Unsupported, match=r"calls '.*' twice\. A text archive answers one text"):
        read_model(keras.Model([left, right], K.Dot(1)([vectors(left), vectors(right)])))


def test_lora_is_part_of_the_kernel(layers: Layers) -> None:
    dense = K.Dense(3)
    model = of_texts(layers, dense(pooled(layers)))
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.ones([2, 3]))
    expected = dense._kernel.numpy() + dense.lora_kernel_a.numpy() @ dense.lora_kernel_b.numpy()
    np.testing.assert_allclose(read_model(model).behind.dense[0].kernel, expected, atol=1e-6)


# -- what is refused ------------------------------------------------------------------------------------------------


class Subclassed(keras.Model):
    """A model without a graph."""


REFUSED: dict[str, Callable[[Layers], Any]] = {
    r"layer 'flat' \(Flatten\) cannot become .* Pool the tokens: x\[:, 0\]": lambda made: of_texts(
        made, K.Dense(2)(K.Flatten(name="flat")(made.mean()))
    ),
    r"\(Lambda\) .* Nobody can see what it computes\. Write x\[:, 0\]": lambda made: of_texts(
        made, K.Lambda(lambda x: x[:, 0])(made.of_text["sequence_output"])
    ),
    r"\(GlobalAveragePooling1D\) .* it averages padding, too": lambda made: of_texts(
        made, K.GlobalAveragePooling1D()(made.of_text["sequence_output"])
    ),
    r"operation '.*' \(Mean\) cannot become a part of a text archive": lambda made: of_texts(
        made, keras.ops.mean(made.of_text["sequence_output"], axis=1)
    ),
    r"\(LayerNormalization\) cannot .* Train without this layer": lambda made: of_texts(
        made, K.LayerNormalization()(pooled(made))
    ),
    r"the activation selu, which text archives do not have\. There is linear, relu": lambda made: of_texts(
        made, K.Dense(2, activation="selu")(pooled(made))
    ),
    r"'middle' ends in a softmax, and something stands behind it": lambda made: of_texts(
        made, K.Dense(2)(K.Dense(3, activation="softmax", name="middle")(pooled(made)))
    ),
    r"the activation tanh does not stand directly behind a dense layer": lambda made: of_texts(
        made, K.Activation("tanh")(pooled(made))
    ),
    r"computes in float16, .*set_dtype_policy\('float32'\)": lambda made: of_texts(
        made, K.Dense(2, dtype="mixed_float16")(pooled(made))
    ),
    r"2 outputs, a text archive one answer": lambda made: keras.Model(made.text, [pooled(made), first(made)]),
    r"Subclassed '.*' has no graph": lambda made: Subclassed(),
    r"has no zoo.KerasLayer of an encoder": lambda made: keras.Sequential([keras.Input([3]), K.Dense(2)]),
    r"the model has further inputs: 'price'": lambda made: keras.Model(
        [made.text, keras.Input([1], name="price")], K.Dense(2)(pooled(made))
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_layers_that_no_archive_has(words: str, layers: Layers) -> None:
    try:
        model = REFUSED[words](layers)
    except ValueError as error:
        assert "further inputs" in words and "connected" in str(error)
        pytest.skip(f"Keras {keras.__version__} itself refuses an input that nothing reads")
    with pytest.raises(Unsupported, match=words):
        read_model(model)


def test_what_is_no_model_of_keras_3(layers: Layers) -> None:
    with pytest.raises(BadArgument, match=r"a fitted model of Keras 3 is needed, this is a KerasLayer"):
        read_model(layers.encoder)


# -- what is decided ------------------------------------------------------------------------------------------------


def decided(
    layers: Layers, *asked: Any, outputs: int = 2, activation: Any = None, loss: Any = None, **given: Any
) -> Any:
    model = of_texts(layers, K.Dense(outputs, activation=activation, name="top")(pooled(layers)))
    if loss:
        model.compile(loss=loss)
    return decide_task(read_model(model), Asked(**given), "round_robin")


def test_what_makes_scores(layers: Layers) -> None:
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for how, scores, output in (
        ({"activation": "sigmoid"}, "sigmoid", "scores"),
        ({"loss": logits, "labels": ["a", "b"]}, "softmax", "logits"),
        ({"loss": keras.losses.BinaryCrossentropy(from_logits=True), "task": "classification"}, "sigmoid", "logits"),
        ({"loss": "mse", "labels": ["a", "b"]}, "identity", "logits"),
        ({"scores": "softmax"}, "softmax", "logits"),
    ):
        task = decided(layers, **how)
        assert (task.record.name, task.record.scores, task.output) == ("classification", scores, output)
    assert decided(layers, activation="sigmoid").record.labels == ["LABEL_0", "LABEL_1"]
    assert decided(layers, task="vector", activation="tanh").record.dense[0].activation == "tanh"


def test_one_sigmoid_becomes_two_classes(layers: Layers) -> None:
    task = decided(layers, outputs=1, activation="sigmoid", labels=["bad", "good"])
    assert (task.record.scores, task.record.labels, task.record.dense[0].outputs) == ("softmax", ["bad", "good"], 2)
    assert not task.dense[0].kernel[:, 0].any() and task.dense[0].kernel[:, 1].any()
    np.testing.assert_array_equal(task.as_answers(np.array([[0.25]])), [[0.75, 0.25]])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, r"ends in 'top', 2 numbers without softmax or sigmoid\. Say what they are: labels=\[…\]"),
        ({"labels": ["a", "b"]}, r"no loss says what makes scores .* Choose scores='softmax', 'sigmoid' or 'identity'"),
        ({"labels": ["a", "b"], "loss": "categorical_crossentropy"}, "no loss says"),
        ({"labels": ["a"], "activation": "softmax"}, "give 2 different texts, one for each number"),
        ({"labels": ["a", "a"], "activation": "softmax"}, "give 2 different texts"),
        ({"labels": "ab", "activation": "softmax"}, "give 2 different texts"),
        ({"scores": "sigmoid", "activation": "softmax"}, "scores='sigmoid': the model ends in a softmax"),
        ({"scores": "logits"}, "scores='logits': choose one of softmax, sigmoid, identity"),
        (
            {"task": "span"},
            "task='span': a fitted model has the task 'classification', 'token_classification' or 'vector'",
        ),
        ({"task": "vector", "activation": "softmax"}, "ends in a softmax, which gives classes"),
        ({"task": "vector", "labels": ["a", "b"]}, "task='vector' has none"),
        ({"task": "vector", "max_length": 20}, "max_length=20: the model itself has 12 tokens"),
    ],
)
def test_choices_that_do_not_fit(how: dict[str, Any], words: str, layers: Layers) -> None:
    with pytest.raises(BadArgument, match=words):
        decided(layers, **how)


def test_vectors_without_a_layer_are_no_classes(layers: Layers) -> None:
    fitted = read_model(of_texts(layers, layers.mean()))
    assert decide_task(fitted, Asked(), "round_robin").record.normalize
    with pytest.raises(BadArgument, match="classes need a dense layer"):
        decide_task(fitted, Asked(labels=["a"]), "round_robin")


def test_models_of_pairs(layers: Layers) -> None:
    pairs = keras.Input([2], dtype="string")
    fitted = read_model(keras.Model(pairs, layers.encoder(layers.tokenizer(pairs))["pooled_output"]))
    assert [fitted.takes(["你"]), fitted.takes(["你", "好"])] == [False, True]
