"""What the SavedModel offers besides numbers: input forms, signatures, lists, layers, and nothing of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import zoo
from export.options import EncoderRequest
from export.pipeline import export_encoder
from tests.conftest import ROOT
from tests.export.conftest import VOCABULARY, as_inputs, case, save_and_load, write_odd
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.digests import sha256_of
from zoo.contract import INPUT_KEYS

IDS = np.array([[2, 5, 6, 3, 0], [2, 9, 3, 0, 0]])
MASK = (IDS != 0).astype(int)
TYPES = np.array([[0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])


def call(encoder: Any, inputs: Any) -> Any:
    return encoder(inputs)["sequence_output"]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("kind", [tf.constant, np.asarray])
def test_every_input_form(dtype: Any, kind: Any, encoder: Any) -> None:
    ids, mask, types = (kind(array.astype(dtype)) for array in (IDS, MASK, TYPES))
    whole = call(encoder, {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types})
    for form in ([ids, mask, types], (ids, mask, types)):
        np.testing.assert_array_equal(call(encoder, form), whole)
    plain = call(encoder, ids)  # mask = id is not 0, types = 0
    assert np.max(np.abs(plain - whole)) > 0.01
    for form in ({"input_word_ids": ids}, {"input_word_ids": ids, "input_mask": mask}, [ids, mask], (ids, mask)):
        np.testing.assert_array_equal(call(encoder, form), plain)


def test_tensors_one_above_the_other(encoder: Any) -> None:
    stacked = tf.stack([IDS, MASK, TYPES])
    np.testing.assert_array_equal(call(encoder, stacked), call(encoder, [IDS, MASK, TYPES]))
    np.testing.assert_array_equal(call(encoder, stacked[:2]), call(encoder, [IDS, MASK]))
    for shape in ([1, 2, 5], [4, 2, 5], [5], [1, 2, 2, 5], [2, 2, 2, 5]):
        given = " ".join(map(str, shape[:3]))
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=rf"ids and mask, or ids, mask and types.*\[{given}[\].]"
        ):
            encoder(tf.ones(shape, tf.int32))


def test_nested_lists_of_numbers(encoder: Any) -> None:
    np.testing.assert_array_equal(call(encoder, IDS.tolist()), call(encoder, tf.constant(IDS)))
    np.testing.assert_array_equal(call(encoder, IDS[:1].tolist()), call(encoder, tf.constant(IDS[:1])))


def test_string_tokens(encoder: Any) -> None:
    tokens = tf.constant([["[CLS]", "你", "[SEP]", "好", "[SEP]", ""], ["[CLS]", "##好", "unheard", "[SEP]", "", ""]])
    ids = [[2, 5, 3, 6, 3, 0], [2, 7, 1, 3, 0, 0]]
    types = [[0, 0, 0, 1, 1, 0], [0] * 6]
    expected = call(encoder, [tf.constant(array, tf.int32) for array in (ids, np.sign(ids), types)])
    np.testing.assert_array_equal(call(encoder, tokens), expected)
    assert VOCABULARY[7] == "##好"


def test_a_batch_of_empty_texts(encoder: Any) -> None:
    outputs = encoder(tf.zeros([2, 0], tf.string))
    assert outputs["sequence_output"].shape == (2, 1, 32) and not np.any(outputs["sequence_output"])


def test_output_names_and_shapes(encoder: Any) -> None:
    outputs = encoder(tf.constant(IDS))
    assert set(outputs) == {"sequence_output", "pooled_output", "default", "encoder_outputs"}
    assert outputs["sequence_output"].shape == (2, 5, 32) and outputs["pooled_output"].shape == (2, 32)
    assert isinstance(outputs["encoder_outputs"], list) and len(outputs["encoder_outputs"]) == 3


def test_signatures(encoder: Any) -> None:
    serving = encoder.signatures["serving_default"]
    assert set(serving.structured_input_signature[1]) == {"input_word_ids", "input_mask", "input_type_ids"}
    assert set(serving.structured_outputs) == {"sequence_output", "pooled_output"}
    inputs = {name: tf.constant(array) for name, array in as_inputs(case(2, 5)).items()}
    np.testing.assert_allclose(serving(**inputs)["sequence_output"], call(encoder, inputs), atol=2e-6)
    tokens = encoder.signatures["tokens"](args_0=tf.constant([["你", "好"]]))
    np.testing.assert_allclose(
        tokens["pooled_output"], encoder(tf.constant([["你", "好"]]))["pooled_output"], atol=2e-6
    )


@pytest.mark.parametrize("length", [41, 600])
def test_too_many_positions_is_an_error_that_names_the_limit(length: int, encoder: Any) -> None:
    call(encoder, tf.ones([1, 40], tf.int32))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"1 to 40 tokens a row.*\[1 {length}\]"):
        encoder(tf.ones([1, length], tf.int32))


def serve(encoder: Any, inputs: Any) -> Any:
    return encoder.signatures["serving_default"](**inputs)["sequence_output"]


def logits(encoder: Any, inputs: Any) -> Any:
    positions = tf.ones([2, 1], inputs["input_word_ids"].dtype)
    return encoder.mlm({**inputs, "masked_lm_positions": positions})["mlm_logits"]


def attention(encoder: Any, inputs: Any) -> Any:
    return encoder.attention(inputs)["attention_scores"][-1]


def in_training(encoder: Any, inputs: Any) -> Any:
    return encoder(inputs, training=True)["sequence_output"]


WAYS = [call, serve, logits, attention, in_training]


def with_number(key: str, number: int, dtype: tf.DType) -> dict[str, tf.Tensor]:
    """Inputs of two rows with a number at the fourth place of the second."""
    inputs = {name: tf.cast(array, dtype) for name, array in as_inputs(case(2, 5)).items()}
    inputs[key] = tf.tensor_scatter_nd_update(inputs[key], [[1, 3]], [tf.constant(number, dtype)])
    return inputs


@pytest.mark.parametrize(("key", "shape"), [("input_mask", (1, 5)), ("input_mask", (2, 4)), ("input_type_ids", (1, 5))])
@pytest.mark.parametrize("way", WAYS)
def test_a_mask_or_types_of_another_shape_than_the_ids(
    way: Any, key: str, shape: tuple[int, int], encoder: Any
) -> None:
    """Without the check a mask of one row hid every other row, and a shorter one the last token, without a word."""
    inputs = {name: tf.constant(array) for name, array in as_inputs(case(2, 5)).items()}
    shapes = [shape if name == key else (2, 5) for name in INPUT_KEYS]
    words = " ".join(rf"\[{rows} {length}\]" for rows, length in shapes)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"input_mask and input_type_ids here.*{words}"):
        way(encoder, {**inputs, key: tf.ones(shape, tf.int32)})


@pytest.mark.parametrize("shape", [(2, 6), (2, 1), (3, 5), (1, 1)])
def test_shapes_that_tensorflow_would_broadcast_or_cut(shape: tuple[int, int], encoder: Any) -> None:
    ids = tf.ones([2, 5], tf.int64)
    words = rf"\[2 5\] \[{shape[0]} {shape[1]}\] \[2 5\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        call(encoder, {"input_word_ids": ids, "input_mask": tf.ones(shape, tf.int64)})


@pytest.mark.parametrize(
    ("key", "dtype", "number", "shown"),
    [
        ("input_word_ids", tf.int32, 99, 99),
        ("input_word_ids", tf.int32, -(2**31), -(2**31)),
        ("input_type_ids", tf.int32, 2, 2),
        ("input_word_ids", tf.int64, 2**32 + 5, 2**31 - 1),  # the id 5, as a cast would have it
        ("input_type_ids", tf.int64, -(2**32), -(2**31)),
    ],
)
def test_an_id_that_no_table_has_is_an_error(key: str, dtype: tf.DType, number: int, shown: int, encoder: Any) -> None:
    inputs = with_number(key, number, dtype)
    words = rf"input_word_ids of this model are 0 to 98, input_type_ids 0 to 1;.*\[{shown}\]"
    for way in WAYS:
        if way is not serve or dtype == tf.int32:
            with pytest.raises(tf.errors.InvalidArgumentError, match=words):
                way(encoder, inputs)
    mask = tf.tensor_scatter_nd_update(inputs["input_mask"], [[1, 3]], [tf.constant(0, dtype)])
    call(encoder, {**inputs, "input_mask": mask})  # nobody looks at what the mask hides


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_an_id_alone_that_no_table_has_is_an_error(dtype: tf.DType, encoder: Any) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0 to 98.*here:\] \[99\]"):
        encoder(tf.constant([[2, 99]], dtype))


def test_int64_beyond_int32_is_an_error_alone_and_no_padding(encoder: Any) -> None:
    for number in (2**32, 2**32 + 5, 2**40, -(2**40)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="0 to 98"):
            encoder(tf.constant([[2, number, 3]], tf.int64))
    ids = tf.constant(IDS, tf.int64)
    mask = tf.constant(MASK, tf.int64)
    np.testing.assert_array_equal(call(encoder, [ids, mask * 2**32]), call(encoder, [ids, mask]))


def test_variables_are_real_lists_with_the_checkpoint_s_names(encoder: Any, out: Path) -> None:
    names = [variable.name for variable in encoder.variables]
    card = read_card(out / "odd")
    assert isinstance(card, EncoderCard)
    assert sorted(names) == sorted(f"{name}:0" for name in card.variables if not name.startswith("cls/"))
    assert names[0] == "bert/embeddings/word_embeddings:0" and names[-1] == "bert/pooler/dense/bias:0"
    assert names == [variable.name for variable in encoder.trainable_variables]
    assert list(encoder.regularization_losses) == []
    heads = [variable for head in (encoder.mlm, encoder.nsp) for variable in head.variables if "cls/" in variable.name]
    assert sum(int(tf.size(variable)) for variable in [*encoder.variables, *heads]) == card.parameters


def test_the_checkpoint_s_variables_come_back_by_their_names(odd: Path, out: Path) -> None:
    model, checkpoint = zoo.load_model(out / "odd"), tf.train.load_checkpoint(str(odd / "bert_model.ckpt"))
    found = model.checkpoint_variables()
    left_out = {name for names in model.card.left_out.values() for name in names}
    assert (
        found.keys() == checkpoint.get_variable_to_shape_map().keys() - left_out
        and "cls/seq_relationship/output_weights" in found
    )
    for name, array in found.items():
        np.testing.assert_array_equal(array, checkpoint.get_tensor(name), err_msg=name)
    vectors = next(each for each in model.variables if each.name == "bert/encoder/layer_1/bias_and_LayerNorm:0")
    vectors.assign_add(tf.ones_like(vectors))  # as training would
    name = "bert/encoder/layer_1/intermediate/dense/bias"
    np.testing.assert_array_equal(model.checkpoint_variables()[name], found[name] + 1)


def test_nothing_of_the_build_machine_is_inside(out: Path, odd: Path) -> None:
    here = [str(path).encode() for path in (ROOT, odd, out, Path(tf.__file__).parent.parent, Path.home())]
    for file in (out / "odd").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not [path for path in here if len(path) > 4 and path in content], file
            assert not re.search(rb"\.py\b", content), file
    assert not list((out / "odd").rglob("fingerprint.pb"))
    assert b"DisableCopyOnRead" not in (out / "odd/saved_model.pb").read_bytes()


def test_card_says_what_was_done(out: Path) -> None:
    card = read_card(out / "odd")
    assert isinstance(card, EncoderCard)
    assert (card.sizes.layers, card.sizes.blocks, card.sizes.hidden_size, card.sizes.heads) == (3, 3, 32, 4)
    assert card.sizes.activation == "gelu" and "erf" in card.activation_reason
    assert card.heads == {"mlm": "trained", "nsp": "trained"} and "first token" in card.pooler
    assert card.source.format == "tf1" and "bert_config.json" in card.source.files
    assert len(card.left_out["optimiser slot"]) > 100 and card.truncated_from is None
    assert card.certificate.shapes == [(2, 9), (3, 17)]
    assert card.certificate.max_difference and max(card.certificate.max_difference.values()) < 2e-5
    assert not [op for op in card.ops if "Text" in op or "Wordpiece" in op or "Utf8" in op.title()]


# -- hub.KerasLayer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_hub_keras_layer_trains_what_it_should(trainable: bool, out: Path) -> None:
    import tf_keras

    layer = hub.KerasLayer(str(out / "odd"), trainable=trainable)
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in names}
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1)(layer(inputs)["pooled_output"]))
    assert len(layer.variables) == 21 and len(layer.trainable_variables) == (21 if trainable else 0)

    data, target = as_inputs(case(6, 7)), np.arange(6.0)
    before = [variable.numpy() for variable in layer.variables]
    model.compile("adam", "mse")
    model.fit(data, target, batch_size=3, epochs=2, verbose=0)
    changed = [np.any(variable.numpy() != old) for variable, old in zip(layer.variables, before, strict=True)]
    assert any(changed) == trainable
    if trainable:
        still = {variable.name for variable, moved in zip(layer.variables, changed, strict=True) if not moved}
        assert not still, "every variable takes part in the loss"

    again = model.predict(data, verbose=0)
    np.testing.assert_array_equal(model.predict(data, verbose=0), again)  # no dropout in inference
    layer.trainable = not trainable
    assert len(layer.trainable_variables) == (0 if trainable else 21)


def test_hub_keras_layer_drops_out_only_in_training(out: Path) -> None:
    layer = hub.KerasLayer(str(out / "odd"), trainable=True)
    plain = layer(tf.constant(IDS))["pooled_output"]
    np.testing.assert_array_equal(layer(tf.constant(IDS), training=False)["pooled_output"], plain)
    assert np.max(np.abs(layer(tf.constant(IDS), training=True)["pooled_output"] - plain)) > 1e-3


def test_gradients_are_those_of_the_numbers(encoder: Any, out: Path) -> None:
    """A small step along the gradient changes the loss by what the gradient says."""
    encoder = hub.load(str(out / "odd"))
    inputs = tf.constant(IDS)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder(inputs)["sequence_output"][:, :, :5])
    gradients = tape.gradient(loss, list(encoder.trainable_variables)[:-2], unconnected_gradients="zero")
    norm = sum(float(tf.reduce_sum(tf.square(tf.convert_to_tensor(gradient)))) for gradient in gradients)
    step = 1e-3 / np.sqrt(norm)
    for variable, gradient in zip(list(encoder.trainable_variables)[:-2], gradients, strict=True):
        variable.assign_add(step * tf.convert_to_tensor(gradient))
    moved = tf.reduce_sum(encoder(inputs)["sequence_output"][:, :, :5])
    assert float(moved - loss) == pytest.approx(step * norm, rel=0.1)


# -- the same bytes every time ----------------------------------------------------------------------------------------


# Two processes that import TensorFlow once, and compute each for itself.
TWICE = """
import os, sys, tensorflow as tf, tensorflow_hub as hub

if os.fork():
    os.wait()
tf.random.set_seed(1)
tf.config.experimental.enable_op_determinism()
outputs = hub.load(sys.argv[1])(tf.constant([[2, 5, 6, 3]]), training=True)
print(outputs["pooled_output"].numpy().tobytes().hex(), "tensorflow_text" in sys.modules, flush=True)
os._exit(0)
"""


def test_dropout_repeats_under_op_determinism_and_nothing_needs_tensorflow_text(out: Path) -> None:
    command = [sys.executable, "-c", TWICE, str(out / "odd")]
    runs = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(runs) == 2 and runs[0] == runs[1] and len(runs[0]) > 100
    assert runs[0].endswith("False")


EXPORT = """
import sys
from tests.once import packed_only
from zoo.command import main
with packed_only():
    sys.exit(main(sys.argv[1:]))
"""


def test_another_process_directory_hash_seed_and_time_zone_give_the_same_archive(
    out: Path, odd: Path, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "77", "TZ": "Asia/Kathmandu"}
    command = [sys.executable, "-c", EXPORT, "export", str(odd), "--name", "odd", "--out", str(tmp_path / "elsewhere")]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)
    assert sha256_of(tmp_path / "elsewhere/odd.tar.gz") == sha256_of(out / "odd.tar.gz")


@pytest.mark.slow  # the archive of the other process, above, is compared with one of a process that has traced others
def test_what_was_traced_before_does_not_show(out: Path, tmp_path: Path) -> None:
    write_odd(tmp_path / "odd", slots=True)
    tf.random.set_seed(7)
    save_and_load(tmp_path / "odd", tmp_path / "saved")  # this process has traced a lot by now
    for file in ("saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"):
        assert (tmp_path / "saved/odd" / file).read_bytes() == (out / "odd" / file).read_bytes()


@pytest.mark.slow
def test_another_seed_gives_another_archive(out: Path, tmp_path: Path) -> None:
    write_odd(tmp_path / "odd", slots=True, seed=2)
    export_encoder(EncoderRequest(tmp_path / "odd", "odd", tmp_path))
    assert sha256_of(tmp_path / "odd.tar.gz") != sha256_of(out / "odd.tar.gz")
