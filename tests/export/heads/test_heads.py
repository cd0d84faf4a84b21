"""Pre-training heads and attention scores, against the oracle, for every family that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from export.options import EncoderRequest
from export.oracle.forward import Case, forward
from export.oracle.heads import HeadOracle
from export.planning import plan_encoder
from export.readers import open_checkpoint
from tests.export.conftest import as_inputs, case, computed, differences, write_odd, write_transformers
from zoo.errors import BadConfig

TOLERANCE = 5e-5  # of logits, which are sums over the hidden size and not normed


def oracle(directory: Path, inputs: Case, **how: Any) -> tuple[HeadOracle, Any]:
    checkpoint = open_checkpoint(directory)
    source = (checkpoint.read, checkpoint.shapes, checkpoint.config)
    has_pooler = any("pooler" in name for name in checkpoint.shapes)
    return HeadOracle(*source, **how), forward(*source, [inputs], pooler=has_pooler, **how)[0]


def padded_case() -> Case:
    inputs = case(3, 8)
    mask = np.ones_like(inputs.mask)
    mask[1, 5:] = 0
    return inputs._replace(mask=mask)


@pytest.mark.parametrize(
    ("family", "naming", "heads"),
    [
        pytest.param("bert", "tf1", {"mlm", "nsp"}, marks=pytest.mark.slow),
        ("albert", "huggingface", {"mlm", "nsp"}),
        pytest.param("albert_brightmart", "tf1", {"mlm", "nsp"}, marks=pytest.mark.slow),
        ("electra", "tf1", {"discriminator"}),
        pytest.param("electra", "huggingface", {"discriminator"}, marks=pytest.mark.slow),
    ],
)
def test_logits_agree_with_the_checkpoint(family: str, naming: str, heads: set[str], tmp_path: Path) -> None:
    directory = tmp_path / naming
    arrays = write_odd(tmp_path / "tf1", family=family, num_hidden_layers=1)
    if naming == "huggingface":
        write_transformers(directory, arrays, family=family, num_hidden_layers=1)
    assert {*plan_encoder(EncoderRequest(directory, "odd", tmp_path)).heads} == heads
    encoder = computed(directory)
    inputs = padded_case()
    reference, answer = oracle(directory, inputs)
    given = {name: tf.constant(array) for name, array in as_inputs(inputs).items()}
    if "mlm" in heads:
        positions = np.array([[1, 7], [0, 4], [3, 3]], np.int32)
        logits = encoder.mlm({**given, "masked_lm_positions": tf.constant(positions)})["mlm_logits"]
        assert logits.shape == (3, 2, 99)
        expected = reference.mlm(answer, {"masked_lm_positions": positions})["mlm_logits"]
        np.testing.assert_allclose(logits, expected, atol=TOLERANCE)
    if "nsp" in heads:
        expected = reference.nsp(answer, {})["nsp_logits"]
        np.testing.assert_allclose(encoder.nsp(given)["nsp_logits"], expected, atol=TOLERANCE)
    if "discriminator" in heads:
        logits = encoder.discriminator(given)["discriminator_logits"]
        expected = reference.discriminator(answer, {"input_mask": inputs.mask})["discriminator_logits"]
        np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


def test_electra_s_generator_and_its_head(tmp_path: Path) -> None:
    import json

    write_odd(tmp_path / "odd", family="electra")
    file = tmp_path / "odd/bert_config.json"
    sizes = {"hidden_size": 24, "intermediate_size": 28, "num_attention_heads": 3}
    file.write_text(json.dumps(json.loads(file.read_text()) | sizes))
    encoder = computed(tmp_path / "odd", family="electra_generator")
    inputs = case(2, 6)
    reference, answer = oracle(tmp_path / "odd", inputs, family="electra_generator")
    assert differences(encoder, inputs, answer) < TOLERANCE
    positions = np.array([[2], [5]], np.int32)
    logits = encoder.mlm({**as_inputs(inputs), "masked_lm_positions": positions})["mlm_logits"]
    expected = reference.mlm(answer, {"masked_lm_positions": positions})["mlm_logits"]
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


def test_attention_scores(encoder: Any) -> None:
    inputs = padded_case()
    longer = Case(*(np.pad(array, [(0, 0), (0, 3)]) for array in inputs))
    scores = encoder.attention(as_inputs(longer))["attention_scores"]
    assert len(scores) == 3 and scores[0].shape == (3, 4, 11, 11)
    real = longer.mask.astype(np.float32)
    for layer in scores:
        np.testing.assert_allclose(tf.reduce_sum(layer, -1), np.repeat(real[:, None], 4, axis=1), atol=1e-6)
        assert not np.any(layer * (1 - real[:, None, None, :]))
    np.testing.assert_allclose(encoder.attention(tf.constant(inputs.ids))["attention_scores"][2].shape, (3, 4, 8, 8))


def test_attention_scores_are_those_of_the_checkpoint(encoder: Any, odd: Path) -> None:
    """Layer 0 alone, by hand: softmax of the scaled products of queries and keys of the embeddings."""
    checkpoint = open_checkpoint(odd)
    inputs = case(1, 5)
    read = {
        name: checkpoint.read(f"bert/{name}").astype(np.float64)
        for name in (
            "embeddings/word_embeddings",
            "embeddings/position_embeddings",
            "embeddings/token_type_embeddings",
            "embeddings/LayerNorm/gamma",
            "embeddings/LayerNorm/beta",
            "encoder/layer_0/attention/self/query/kernel",
            "encoder/layer_0/attention/self/query/bias",
            "encoder/layer_0/attention/self/key/kernel",
            "encoder/layer_0/attention/self/key/bias",
        )
    }
    x = read["embeddings/word_embeddings"][inputs.ids[0]] + read["embeddings/position_embeddings"][:5]
    x = x + read["embeddings/token_type_embeddings"][inputs.types[0]]
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-12)
    x = x * read["embeddings/LayerNorm/gamma"] + read["embeddings/LayerNorm/beta"]
    scope = "encoder/layer_0/attention/self"
    query, key = (x @ read[f"{scope}/{part}/kernel"] + read[f"{scope}/{part}/bias"] for part in ("query", "key"))
    scores = encoder.attention(as_inputs(inputs))["attention_scores"][0]
    for head in range(4):
        part = slice(8 * head, 8 * head + 8)
        products = np.exp(query[:, part] @ key[:, part].T / np.sqrt(8))
        np.testing.assert_allclose(scores[0, head], products / products.sum(1, keepdims=True), atol=1e-5)


def test_hub_keras_layer_trains_a_head(out: Path) -> None:
    encoder = hub.load(str(out / "odd"))
    layer = hub.KerasLayer(encoder.mlm, trainable=True)
    names = [variable.name for variable in layer.trainable_variables]
    assert any("transform" in name for name in names) and not any("pooler" in name for name in names)
    inputs = {**as_inputs(case(2, 6)), "masked_lm_positions": np.array([[1], [2]], np.int32)}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer({name: tf.constant(array) for name, array in inputs.items()})["mlm_logits"] ** 2)
    assert all(gradient is not None for gradient in tape.gradient(loss, layer.trainable_variables))


def test_a_position_outside_the_row_is_an_error(encoder: Any) -> None:
    inputs = {**as_inputs(case(2, 6)), "masked_lm_positions": np.array([[1], [6]], np.int32)}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must lie within the row.*\[2 6\] \[2 1\]"):
        encoder.mlm(inputs)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("rows", [1, 3])
def test_positions_for_another_number_of_rows(rows: int, dtype: Any, encoder: Any) -> None:
    """Positions of one row were taken for every row, without a word."""
    inputs = {key: array.astype(dtype) for key, array in as_inputs(case(2, 6)).items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"for every row.*here:\] \[2 6\] \[{rows} 1\]"):
        encoder.mlm({**inputs, "masked_lm_positions": np.ones([rows, 1], dtype)})


def test_a_position_of_int64_beyond_int32(encoder: Any) -> None:
    inputs = {key: tf.cast(array, tf.int64) for key, array in as_inputs(case(2, 6)).items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match="must lie within the row"):
        encoder.mlm({**inputs, "masked_lm_positions": tf.constant([[1], [2**32 + 1]], tf.int64)})


def test_the_root_trains_no_head(out: Path) -> None:
    encoder = hub.load(str(out / "odd"))
    assert not [variable.name for variable in encoder.variables if variable.name.startswith("cls/")]


# -- which are exported -----------------------------------------------------------------------------------------------


def fresh(directory: Path) -> None:
    """A checkpoint whose heads were initialised and never trained, as those of ymcui's releases."""
    from scripts.layouts import bert
    from scripts.random_checkpoint import write_arrays, write_vocabulary
    from tests.export.conftest import VOCABULARY, odd_config

    arrays = write_odd(directory / "whole")
    generator = np.random.default_rng(5)
    for name, shape in bert(odd_config()).items():
        if name.startswith("cls/"):
            values = generator.standard_normal((*shape, 20)) * 0.02
            kept = np.where(np.abs(values) <= 0.04, values, np.nan)
            first = np.argmax(~np.isnan(kept), axis=-1)
            arrays[name] = np.take_along_axis(kept, first[..., None], -1)[..., 0].astype(np.float32)
            if name.endswith(("bias", "beta")):
                arrays[name] = np.zeros(shape, np.float32)
            if name.endswith("gamma"):
                arrays[name] = np.ones(shape, np.float32)
    write_arrays(directory, odd_config(), arrays)
    write_vocabulary(directory / "vocab.txt", VOCABULARY)


def test_random_heads_are_left_out_and_named(tmp_path: Path) -> None:
    fresh(tmp_path / "fresh")
    planned = plan_encoder(EncoderRequest(tmp_path / "fresh", "odd", tmp_path))
    assert planned.head_states == {"mlm": "random", "nsp": "random"} and planned.heads == ()
    assert "masked-language-model head" in planned.plan.left_out
    insisted = plan_encoder(EncoderRequest(tmp_path / "fresh", "odd", tmp_path, heads=("mlm",)))
    assert insisted.heads == ("mlm",) and "masked-language-model head" not in insisted.plan.left_out


def test_none_on_request_and_none_of_a_truncated_model(odd: Path, tmp_path: Path) -> None:
    assert plan_encoder(EncoderRequest(odd, "odd", tmp_path)).heads == ("mlm", "nsp")
    assert plan_encoder(EncoderRequest(odd, "odd", tmp_path, heads=())).heads == ()
    truncated = plan_encoder(EncoderRequest(odd, "odd", tmp_path, layers=2))
    assert truncated.heads == () and truncated.head_states["mlm"] == "trained"


def test_a_part_of_a_head_is_no_head(odd: Path, tmp_path: Path) -> None:
    from scripts.layouts import bert
    from scripts.random_checkpoint import write_arrays, write_vocabulary
    from tests.export.conftest import VOCABULARY, odd_config

    arrays = write_odd(tmp_path / "whole")
    part = {name: arrays[name] for name in bert(odd_config()) if "transform" not in name}
    write_arrays(tmp_path / "part", odd_config(), part)
    write_vocabulary(tmp_path / "part/vocab.txt", VOCABULARY)
    planned = plan_encoder(EncoderRequest(tmp_path / "part", "odd", tmp_path))
    assert planned.head_states == {"mlm": "unknown", "nsp": "trained"} and planned.heads == ("nsp",)
    planned.plan.checked("odd")


def test_asking_for_what_is_not_there(odd: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no head 'discriminator'; it has: mlm, nsp"):
        plan_encoder(EncoderRequest(odd, "odd", tmp_path, heads=("discriminator",)))
    with pytest.raises(BadConfig, match="'nsp' reads the pooler's output"):
        plan_encoder(EncoderRequest(odd, "odd", tmp_path, heads=("nsp",), pooler="first_token"))
