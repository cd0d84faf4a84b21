"""The layer as part of a model: inputs, shapes, weights that train and those that do not, precision, devices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import zoo
from tests.conftest import ROOT
from tests.zoo.keras.conftest import changed, compiled, functional
from tests.zoo.toyzoo import ToyZoo
from zoo import KerasLayer
from zoo.contract import INPUT_KEYS, INPUT_MASK, INPUT_WORD_IDS
from zoo.errors import BadArgument

Data = dict[str, np.ndarray]
BLOCK = 5  # variables of a layer: four matrices, and all its vectors in one
TEXTS = ["你好", "好 w1"]


@pytest.fixture(scope="module")
def toy(toy_zoo: ToyZoo) -> Any:
    """The toy encoder; layers made over it share its weights, which no test changes."""
    return zoo.load_model(toy_zoo.unpacked())


@pytest.fixture(scope="module")
def layer(toy: Any) -> KerasLayer:
    return KerasLayer(toy)


@pytest.fixture(scope="module")
def trained(toy_zoo: ToyZoo) -> KerasLayer:
    """A layer of its own, whose weights tests change."""
    return KerasLayer(toy_zoo.unpacked(), trainable=True)


# -- inputs and outputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        dict,
        lambda data: list(data.values()),
        lambda data: tuple(data.values()),
        lambda data: {key: tf.constant(array, tf.int32) for key, array in data.items()},
        lambda data: {key: array.tolist() for key, array in data.items()},
        lambda data: {**data, INPUT_MASK: data[INPUT_MASK].astype(bool)},  # of several types: all become int32
        lambda data: {**data, INPUT_WORD_IDS: data[INPUT_WORD_IDS].astype(np.uint8)},
    ],
)
def test_called_with_every_form(form: Any, layer: KerasLayer, toy: Any, data: Data) -> None:
    expected = toy({key: tf.constant(array) for key, array in data.items()})
    outputs = layer(form(data))
    assert set(outputs) == set(expected) and len(outputs["encoder_outputs"]) == 3
    for name in ("sequence_output", "pooled_output", "default"):
        np.testing.assert_array_equal(outputs[name], expected[name])


def test_ids_and_tokens_alone(layer: KerasLayer, toy: Any) -> None:
    expected = toy(tf.constant([[2, 5, 6, 3, 0]]))["sequence_output"]
    for inputs in ([[2, 5, 6, 3, 0]], np.array([[2, 5, 6, 3, 0]]), [["[CLS]", "你", "好", "[SEP]", ""]]):
        np.testing.assert_array_equal(layer(inputs)["sequence_output"], expected)


@pytest.mark.parametrize("batch, length", [(None, None), (None, 7), (3, None), (3, 7)])
def test_symbolic_shapes(batch: int | None, length: int | None, layer: KerasLayer) -> None:
    ids = keras.Input([length], batch_size=batch, dtype="int32")
    for inputs in (ids, dict.fromkeys(INPUT_KEYS, ids), [ids, ids], keras.Input([length], batch, dtype="string")):
        outputs = layer(inputs)
        assert outputs["pooled_output"].shape == outputs["default"].shape == (batch, 32)
        for tensor in (outputs["sequence_output"], *outputs["encoder_outputs"]):
            assert tensor.shape == (batch, length, 32) and tensor.dtype == "float32"


def test_endpoints(toy: Any, data: Data) -> None:
    mlm = KerasLayer(toy, endpoint="mlm", output_key="mlm_logits")
    inputs = {**data, "masked_lm_positions": np.ones((6, 2), int)}
    assert mlm({key: keras.Input([9], dtype="int32") for key in inputs}).shape == (None, 9, 99)
    expected = toy.mlm({key: tf.constant(array) for key, array in inputs.items()})["mlm_logits"]
    np.testing.assert_array_equal(mlm(inputs), expected)
    assert len(mlm.weights) == 24 and {"cls.predictions.output_bias"} <= {weight.name for weight in mlm.weights}

    attention = KerasLayer(toy, endpoint="attention")
    scores = attention(keras.Input([7], dtype="int32"))["attention_scores"]
    assert [score.shape for score in scores] == [(None, 4, 7, 7)] * 3


def test_signatures(toy: Any, data: Data) -> None:
    layer = KerasLayer(toy, signature="serving_default", output_key="pooled_output")
    expected = toy({key: tf.constant(array) for key, array in data.items()})["pooled_output"]
    np.testing.assert_allclose(layer(data), expected, atol=2e-6)  # int64, where the signature has int32
    tokens = KerasLayer(toy, signature="tokens", signature_outputs_as_dict=True)
    assert set(tokens(np.array([["你", "好"]]))) == {"sequence_output", "pooled_output"}
    with pytest.raises(BadArgument, match="signature tokens cannot train"):
        tokens.trainable = True


def test_from_text_to_a_trained_model(toy_zoo: ToyZoo, trained: KerasLayer) -> None:
    archive = toy_zoo.unpacked("toy_tokenizer_preprocess")
    preprocess = KerasLayer(archive, endpoint="preprocess", arguments={"seq_length": 9})
    layer = KerasLayer(trained.resolved_object, output_key="pooled_output", trainable="last:1")
    model = keras.Sequential([keras.Input([], dtype="string"), preprocess, layer, keras.layers.Dense(1)])
    assert [part.shape for part in preprocess(keras.Input([], 2, "string")).values()] == [(2, 9)] * 3
    assert preprocess.weights == [] and model.output_shape == (None, 1)
    texts = tf.constant(TEXTS)
    compiled(model, eagerly=False)
    assert len(changed(layer, lambda: model.fit(texts, np.ones(2), verbose=0))) == BLOCK + 2


def test_tokenizers(toy_zoo: ToyZoo) -> None:
    tokenizer = zoo.load_model(toy_zoo.unpacked("toy_tokenizer"))
    tokens = KerasLayer(tokenizer, arguments={"special_tokens": True})
    assert tokens(keras.Input([], dtype="string")).shape == (None, None)
    assert tokens(TEXTS)[0].numpy().tolist() == [token.encode() for token in ("[CLS]", "你", "好", "[SEP]")]
    split = KerasLayer(tokenizer, endpoint="tokenize")
    pack = KerasLayer(tokenizer, endpoint="bert_pack_inputs", arguments={"seq_length": 5})
    assert pack([split(TEXTS)])[INPUT_WORD_IDS].numpy().tolist() == [[2, 5, 6, 3, 0], [2, 6, 9, 3, 0]]
    with pytest.raises(BadArgument, match="It takes a list or tuple of 1: ragged int32"):
        pack([split(keras.Input([], dtype="string"))])  # Keras' symbolic tensors are dense


def test_a_list_model_and_a_sequential_one(toy: Any, layer: KerasLayer, data: Data, target: np.ndarray) -> None:
    inputs = [keras.Input([None], dtype="int64") for _ in INPUT_KEYS]
    model = keras.Model(inputs, layer(inputs)["pooled_output"])
    expected = layer(data)["pooled_output"]
    np.testing.assert_allclose(model.predict(list(data.values()), verbose=0), expected, atol=2e-6)

    first = KerasLayer(toy, output_key="pooled_output")
    model = compiled(keras.Sequential([first, keras.layers.Dense(1)]))  # without Input: Keras tries floats first
    model.fit(data[INPUT_WORD_IDS], target, verbose=0)
    model = compiled(keras.Sequential([first, keras.layers.Dense(1)]))
    model.fit(data, target, verbose=0)
    assert model(data).shape == (6, 1)


# -- weights ----------------------------------------------------------------------------------------------------------


def test_weights_have_the_checkpoints_names(trained: KerasLayer, toy: Any) -> None:
    names = [variable.name.removesuffix(":0").replace("/", ".") for variable in toy.variables]
    assert [weight.name for weight in trained.weights] == names and "bert.pooler.dense.kernel" in names
    assert trained.weights[0].path == f"{trained.name}/bert.embeddings.word_embeddings"
    assert trained.weights[0].value is trained.resolved_object.variables[0]


def test_biases_and_norms_are_spared_from_weight_decay_by_the_usual_words(trained: KerasLayer) -> None:
    optimizer = keras.optimizers.AdamW(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias", "LayerNorm"])
    nothing = [(tf.zeros(weight.shape), weight) for weight in trained.trainable_weights]
    decayed = changed(trained, lambda: optimizer.apply_gradients(nothing))
    assert decayed == {weight.name for weight in trained.trainable_weights if len(weight.shape) == 2}


WORDS: dict[str | bool, int] = {True: 21, False: 0, "pooler": 2, "last:1": BLOCK + 2, "last:2": 2 * BLOCK + 2}


@pytest.mark.parametrize("word", WORDS)
def test_a_step_changes_exactly_what_trains(
    word: str | bool, trained: KerasLayer, data: Data, target: np.ndarray
) -> None:
    trained.trainable = word
    assert trained.trainable == word and len(trained.weights) == 21
    assert len(trained.trainable_weights) == WORDS[word] and len(trained.non_trainable_weights) == 21 - WORDS[word]
    model = compiled(functional(trained))
    assert len(model.trainable_weights) == WORDS[word] + 2
    moved = changed(trained, lambda: model.fit(data, target, verbose=0))
    assert moved == {weight.name for weight in trained.trainable_weights}
    parts = {"pooler": {"pooler"}, "last:1": {"layer_2", "pooler"}, "last:2": {"layer_1", "layer_2", "pooler"}}
    if word in parts:
        assert {part for name in moved for part in parts[word] if part in name} == parts[word]
        assert all(any(part in name for part in parts[word]) for name in moved)


def test_a_frozen_layer_is_frozen_from_the_start(layer: KerasLayer, toy: Any) -> None:
    assert layer.trainable is False and not any(weight.trainable for weight in layer.weights)
    assert len(KerasLayer(toy, trainable=True).trainable_weights) == 21
    assert len(KerasLayer(toy, trainable="pooler").trainable_weights) == 2


def test_toggled_in_a_compiled_model(trained: KerasLayer, data: Data, target: np.ndarray) -> None:
    trained.trainable = False
    model = functional(trained)
    for word in (True, False, "pooler"):
        trained.trainable = word
        assert len(changed(trained, lambda: compiled(model).fit(data, target, verbose=0))) == WORDS[word]
    model.trainable = False
    assert trained.trainable is False
    model.trainable = True
    assert trained.trainable is True and len(trained.trainable_weights) == 21


def test_dropout_only_in_training_and_only_where_the_layer_trains(trained: KerasLayer, data: Data) -> None:
    for word in (False, True, "pooler"):
        trained.trainable = word
        plain = trained(data)["pooled_output"]
        np.testing.assert_array_equal(trained(data, training=False)["pooled_output"], plain)
        difference = np.max(np.abs(trained(data, training=True)["pooled_output"] - plain))
        assert difference > 1e-3 if word else difference == 0


def test_regularisation_losses(tmp_path: Path) -> None:
    class Root(tf.train.Checkpoint):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.steps = tf.Variable([[3.0]], name="some/kernel"), tf.Variable(1, name="steps")
            self.variables, self.trainable_variables = [self.kernel, self.steps], [self.kernel]
            self.regularization_losses = [tf.function(lambda: 2.0 * self.kernel[0, 0], input_signature=[])]
            self.__call__ = tf.function(
                lambda inputs: inputs @ self.kernel, input_signature=[tf.TensorSpec([None, 1], tf.float32, "inputs")]
            )

    tf.saved_model.save(Root(), str(tmp_path / "root"))
    layer = KerasLayer(hub.load(str(tmp_path / "root")), trainable=True)
    assert [weight.name for weight in layer.trainable_weights] == ["some.kernel"] and len(layer.weights) == 2
    layer([[1.0]])
    assert [float(loss) for loss in layer.losses] == [6.0]
    layer.trainable = False
    layer([[1.0]])
    assert layer.losses == []

    layer.trainable = True
    model = keras.Sequential([keras.Input([1]), layer])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    assert model.evaluate(np.ones((2, 1)), np.full((2, 1), 3.0), verbose=0) == 6.0
    model.fit(np.ones((2, 1)), np.full((2, 1), 3.0), verbose=0)  # no error but the loss: 3 - 0.5 * 2
    assert float(layer.weights[0].numpy()[0, 0]) == 2.0
    with pytest.raises(BadArgument, match=f"{layer.name} was made from a loaded object"):
        model.get_config()


# -- precision, compilers, devices, other Keras -----------------------------------------------------------------------


@pytest.mark.parametrize("policy, dtype", [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_mixed_precision(policy: str, dtype: str, trained: KerasLayer, data: Data, target: np.ndarray) -> None:
    mixed = KerasLayer(trained.resolved_object, dtype=policy, trainable=True)
    outputs = mixed(data)
    for tensor in (outputs["pooled_output"], *outputs["encoder_outputs"]):
        assert tensor.dtype == dtype
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    exact = trained(data)["pooled_output"]
    np.testing.assert_array_equal(outputs["pooled_output"], tf.cast(exact, dtype))  # rounded once, at the end
    model = compiled(functional(mixed))
    model.compile("adam", "mse", run_eagerly=True)
    assert len(changed(mixed, lambda: model.fit(data, target, verbose=0))) == 21


def test_xla_comes_in_only_when_it_is_let_in(toy: Any, data: Data, target: np.ndarray) -> None:
    layer = KerasLayer(toy, output_key="pooled_output")
    model = functional(layer)
    model.compile("sgd", "mse")
    assert not model.jit_compile
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model.compile("sgd", "mse", jit_compile=True)
    model.fit(data, target, verbose=0)
    expected = model.predict(data, verbose=0)

    layer.supports_jit = True
    model.compile("sgd", "mse", jit_compile=True)
    assert model.jit_compile
    np.testing.assert_allclose(model.predict(data, verbose=0), expected, atol=1e-5)


TWO_DEVICES = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np
from zoo import KerasLayer
from tests.zoo.keras.conftest import changed, compiled, functional
from zoo.contract import INPUT_KEYS

rows = dict.fromkeys(INPUT_KEYS, np.arange(24).reshape(4, 6) % 5 % 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    built = compiled(functional(KerasLayer(sys.argv[1], trainable="last:1")), eagerly=False)
    saved = keras.models.load_model(sys.argv[2])  # neither archive nor cache are there
layer, again = (next(layer for layer in model.layers if isinstance(layer, KerasLayer)) for model in (built, saved))
assert isinstance(layer.weights[0].value, tf.distribute.DistributedValues), type(layer.weights[0].value)
assert isinstance(again.weights[0].value, tf.distribute.DistributedValues), type(again.weights[0].value)
np.testing.assert_allclose(layer(rows)["pooled_output"], again(rows)["pooled_output"], atol=1e-6)
moved = changed(layer, lambda: built.fit(rows, np.ones(4), batch_size=4, verbose=0))
assert moved == {weight.name for weight in layer.trainable_weights} and len(moved) == 7, moved
"""


@pytest.mark.slow
def test_on_two_devices(toy_zoo: ToyZoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, saved = tmp_path / "toy.tar.gz", tmp_path / "model.keras"
    archive.write_bytes(toy_zoo.archive().read_bytes())
    functional(KerasLayer(archive)).save(saved)
    archive.unlink()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    command = [sys.executable, "-c", TWO_DEVICES, str(toy_zoo.unpacked()), str(saved)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_in_a_model_of_tf_keras(layer: KerasLayer) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    with pytest.raises(BadArgument, match=r"tensor of tf_keras.*use hub\.KerasLayer"):
        layer(tf_keras.Input([None], dtype=tf.int32))


def test_keras_of_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(BadArgument, match="Keras in jax: set KERAS_BACKEND=tensorflow"):
        KerasLayer("toy")


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"endpoint": "mlx"}, r"toy has no endpoint 'mlx' to call. There is 'attention', 'mlm', 'nsp'\."),
        ({"signature": "serve", "output_key": "x"}, r"no signature 'serve'. There is .*'serving_default', 'tokens'\."),
        ({"signature": "tokens", "endpoint": "mlm", "output_key": "x"}, "exclude each other"),
        ({"signature": "tokens"}, "needs one of output_key and signature_outputs_as_dict"),
        ({"signature": "tokens", "output_key": "x", "signature_outputs_as_dict": True}, "needs one of"),
        ({"signature_outputs_as_dict": True}, "needs a signature"),
        ({"signature": "tokens", "output_key": "x", "trainable": True}, "cannot train: leave signature= away"),
        (
            {"trainable": "last:9"},
            r"trainable='last:9' .* There is True, False, 'pooler', 'last:1', 'last:2', 'last:3'",
        ),
        ({"trainable": "embeddings"}, "There is True, False, 'pooler'"),
    ],
)
def test_arguments_that_have_no_meaning(arguments: dict[str, Any], words: str, toy: Any) -> None:
    with pytest.raises(BadArgument, match=words):
        KerasLayer(toy, **arguments)


@pytest.mark.parametrize(
    "inputs, words",
    [
        (keras.Input([None], dtype="float32"), r"takes integers or strings.*float32 of rank 2.*dtype='int32'"),
        (np.ones((2, 3)), "takes integers or strings, these inputs are float64"),
        ([[2, 5], [2]], "all rows need the same length"),
        ({"ids": np.ones((2, 3), int)}, r"no form for \{ids\}.*It takes a tensor: int32/int64/string of rank 2;"),
        (np.ones((2, 3, 4), int), "int64 of rank 3"),
        ("text", "string of rank 0"),
    ],
)
def test_inputs_without_a_form(inputs: Any, words: str, layer: KerasLayer) -> None:
    with pytest.raises(BadArgument, match=words):
        layer(inputs)


def test_an_output_that_is_not_there(toy: Any) -> None:
    with pytest.raises(
        BadArgument, match=r"no output 'logits'. There is 'default', 'encoder_outputs', 'pooled_output'"
    ):
        KerasLayer(toy, output_key="logits")([[2, 5]])


def test_rates_by_layer(trained: KerasLayer) -> None:
    """The example of docs/use.md, on gradients of 1."""
    trained.trainable = True
    groups = trained.weights_by_layer()
    assert [*groups] == ["embeddings", "layer_0", "layer_1", "layer_2", "pooler"]
    weights = trained.trainable_weights
    assert sorted(id(each) for group in groups.values() for each in group) == sorted(map(id, weights))
    rates = {id(weight.value): 0.5**depth for depth, group in enumerate(reversed(groups.values())) for weight in group}

    class ByLayer(keras.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * rates.get(id(variable), 1.0))

    before = [weight.numpy() for weight in weights]
    ByLayer(0.1).apply([tf.ones_like(weight.value) for weight in weights], weights)
    for weight, was in zip(weights, before, strict=True):
        wanted = was - np.float32(0.1 * rates[id(weight.value)])
        np.testing.assert_allclose(weight.numpy(), wanted, rtol=1e-6, atol=1e-7, err_msg=weight.name)
        weight.assign(was)
