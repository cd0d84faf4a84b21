"""Positions that attention computes: exact for every mask, layout and form, and known again in archives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from export.certificate import golden_arrays
from export.convert.rebuilding import PlainRoot, config_of, plain_encoder
from export.encoder.encoder import Encoder
from export.encoder.plain import Plain
from export.encoder.positions import POSITIONS
from export.encoder.training import Training
from export.families import detect
from export.options import EncoderRequest
from export.oracle.forward import Case
from export.oracle.names import Under
from export.planning import plan_encoder
from export.readers.protocol import OpenedCheckpoint
from scripts.architectures import sinusoids
from tests.export.conftest import as_inputs, case, export_and_load
from tests.export.convert.test_rebuilding import OPERATIONS
from tests.export.families.test_siblings import Arrays, Planned, checkpoint_of, planned, write
from tests.runtimes.operations import ENCODER_OPS
from zoo.archive.card import EncoderCard, EncoderSizes, read_card
from zoo.contract import GOLDEN_FILE, INPUT_KEYS
from zoo.errors import BadConfig, Unsupported, WeightMismatch

TOLERANCE = 5e-6
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "rotary": ("roformer", {}),
    "rotary values": ("roformer", {"rotary_value": True}),
    "relative": ("nezha", {}),
}
HEADS = ("mlm", "nsp")
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
each_kind = pytest.mark.parametrize("kind", KINDS)


def found(kind: str, **config: Any) -> Planned:
    model_type, more = KINDS[kind]
    return planned(checkpoint_of(model_type, **{**more, **config}))


def mixed(length: int) -> Case:
    """Texts that share rows of attention, with holes, one without its first token and one without any."""
    inputs = case(6, length)
    inputs.mask[0, 3 : length // 2] = inputs.mask[1, 5:] = inputs.mask[2, 0] = inputs.mask[3] = 0
    inputs.mask[4, : length - 2] = inputs.mask[5, 1:-1] = 0
    return inputs


def encoded(encoder: Encoder, inputs: Case) -> dict[str, Any]:
    return encoder.encode(*map(tf.constant, inputs))


def pretrained(directory: Path) -> Path:
    """Write a NEZHA with both heads of its class of pre-training."""
    shapes = {"nezha.pooler.dense.weight": (32, 32), "nezha.pooler.dense.bias": (32,)}
    shapes |= {"cls.seq_relationship.weight": (2, 32), "cls.seq_relationship.bias": (2,)}
    generator, checkpoint = np.random.default_rng(1), checkpoint_of("nezha", "mlm")
    arrays = {name: generator.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    write(directory, "nezha", "mlm")
    save_file({name: checkpoint.read(name) for name in checkpoint.shapes} | arrays, directory / "model.safetensors")
    return directory


def with_variable(checkpoint: OpenedCheckpoint, name: str, array: np.ndarray) -> OpenedCheckpoint:
    container = Arrays({each: checkpoint.read(each) for each in checkpoint.shapes} | {name: array})
    return replace(checkpoint, container=container, stored=container)


@each_kind
def test_every_mask_agrees_with_the_published_arithmetic(kind: str) -> None:
    """Distances are those of the texts as given, whatever lies between two tokens; 100 tokens go beyond 64."""
    model = found(kind)
    inputs = mixed(min(100, model.config.position_limit))
    golden = golden_arrays(model.view, model.config, cases=[inputs], under=Under(model.prefix))
    answer = encoded(model.encoder(), inputs)
    real = inputs.mask.any(axis=1)  # the oracle lets a text without tokens see its padding
    for key in ("sequence_output", "pooled_output"):
        np.testing.assert_allclose(answer[key][real], golden[f"0/{key}"][real], rtol=0, atol=TOLERANCE)


@each_kind
def test_padding_and_neighbours_change_nothing(kind: str) -> None:
    encoder, inputs = found(kind).encoder(), mixed(20)
    longer = Case(*(np.pad(array, [(0, 0), (0, 17)]) for array in inputs))
    short, long = encoded(encoder, inputs), encoded(encoder, longer)
    np.testing.assert_allclose(long["sequence_output"][:, :20], short["sequence_output"], rtol=0, atol=TOLERANCE)
    for row in (0, 2, 4):
        alone = encoded(encoder, Case(*(array[row : row + 1] for array in inputs)))
        np.testing.assert_allclose(alone["pooled_output"][0], short["pooled_output"][row], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["rotary values", pytest.param("relative", marks=pytest.mark.slow)])
def test_both_layouts_and_all_forms_give_the_same_values_and_gradients(kind: str) -> None:
    """Training has no dropout here. What converters get has no operation that a small runtime lacks."""
    model = found(kind, **NO_DROPOUT)
    encoder, inputs = model.encoder(), mixed(min(80, model.config.position_limit))
    variables = [*encoder.weights.values()]

    def gradients(encoder: Encoder) -> list[np.ndarray]:
        @tf.function(autograph=False)  # as in archives: TensorFlow recomputes in graphs alone
        def step() -> Any:
            with tf.GradientTape() as tape:
                outputs = encoded(encoder, inputs)
                loss = tf.reduce_sum(outputs["sequence_output"] ** 3) + tf.reduce_sum(outputs["pooled_output"] ** 2)
            return [loss, *map(tf.convert_to_tensor, tape.gradient(loss, variables))]

        return [each.numpy() for each in step()]

    expected = gradients(replace(encoder, layout=Plain))
    for forms in (encoder.forms, Training(), Training(recompute=True)):
        for one, other in zip(expected, gradients(replace(encoder, forms=forms)), strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=2e-5 * max(1.0, np.abs(one).max()))


@each_kind
def test_half_precision_is_near(kind: str) -> None:
    model = found(kind)
    encoder, inputs = model.encoder(), mixed(20)
    exact, rounded = encoded(encoder, inputs), encoded(replace(encoder, compute=tf.bfloat16), inputs)
    np.testing.assert_allclose(rounded["sequence_output"], exact["sequence_output"], rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("model_type", "positions"),
    [pytest.param("roformer", "rotary", marks=pytest.mark.slow), ("nezha", "relative")],
)
def test_an_archive_is_certified_converts_and_is_a_source_again(
    model_type: str, positions: str, tmp_path: Path
) -> None:
    source, heads = (write(tmp_path, model_type), ()) if model_type == "roformer" else (pretrained(tmp_path), HEADS)
    encoder = export_and_load(source, tmp_path / "out", layers=1, recompute=True, heads=heads)
    card = read_card(tmp_path / "out/odd")
    assert isinstance(card, EncoderCard) and max(card.certificate.max_difference.values()) < TOLERANCE
    assert (card.sizes.positions, card.sizes.layers) == (positions, 1) and {*card.ops} <= ENCODER_OPS
    assert any(length > 64 for _, length in card.certificate.shapes) == (positions == "relative")
    assert not any("position" in name for name in card.variables)
    inputs = mixed(20)
    answer = encoder(as_inputs(inputs))
    plain = plain_encoder(encoder.variables, card)
    np.testing.assert_allclose(
        encoded(plain, inputs)["sequence_output"], answer["sequence_output"], rtol=0, atol=TOLERANCE
    )
    graph = PlainRoot(plain).encode.graph.as_graph_def()
    assert {node.op for node in graph.node} <= {*OPERATIONS.split(), "Greater", "Less", "Sum"}
    again = plan_encoder(EncoderRequest(tmp_path / "out/odd", "again", tmp_path))
    assert again.config.sizes() == card.sizes == config_of(card).sizes()
    variables = again.plan.checked("again").variables
    same = Encoder(
        again.config, {each.ours: tf.Variable(again.plan.read(each, again.checkpoint)) for each in variables}
    )
    np.testing.assert_allclose(
        encoded(same, inputs)["sequence_output"], answer["sequence_output"], rtol=0, atol=TOLERANCE
    )
    golden = golden_arrays(again.checkpoint, again.config, heads)
    first = dict(np.load(tmp_path / "out/odd" / GOLDEN_FILE))
    for key, array in first.items():
        np.testing.assert_allclose(golden[key], array, rtol=0, atol=TOLERANCE, err_msg=key)
    assert all(f"0/{head}_logits" in first for head in heads)
    case_0 = Case(*(golden[f"0/{key}"] for key in INPUT_KEYS))
    np.testing.assert_allclose(
        encoded(same, case_0)["sequence_output"], golden["0/sequence_output"], rtol=0, atol=TOLERANCE
    )
    with pytest.raises(Exception, match="takes 1 to"):
        encoder(tf.ones([1, card.sizes.position_limit + 1], tf.int32))


def test_cards_of_before_have_a_table_of_positions() -> None:
    fields = {name: 1 for name in EncoderSizes.model_fields if name not in ("positions", "activation")}
    assert EncoderSizes(**fields, activation="gelu").positions == "absolute"
    assert {*POSITIONS} == {"absolute", "rotary", "rotary_values", "relative"}


# -- what the files hold ----------------------------------------------------------------------------------------------


def test_sinusoids_in_files_are_left_out_by_name() -> None:
    relations = "encoder.layer.0.attention.self.relative_positions_encoding.positions_encoding"
    nezha = planned(with_variable(checkpoint_of("nezha"), relations, np.zeros((100, 100, 8), np.float32)))
    assert [*nezha.plan.left_out.values()] == [(relations,)] and not nezha.plan.problems
    roformer = planned(checkpoint_of("roformer"))
    assert [*roformer.plan.left_out.values()] == [("encoder.embed_positions.weight",)]
    np.testing.assert_allclose(
        checkpoint_of("roformer").read("encoder.embed_positions.weight")[1, ::4], [np.sin(1), np.cos(1)]
    )


def test_another_table_of_positions_than_sinusoids_is_not_exported() -> None:
    """transformers computes with the table in the file. In half precision it is the sinusoids, after training not."""
    name = "encoder.embed_positions.weight"
    half = planned(with_variable(checkpoint_of("roformer"), name, sinusoids(40, 8).astype(np.float16)))
    assert half.away_from_the_oracle() < TOLERANCE
    trained = planned(with_variable(checkpoint_of("roformer"), name, sinusoids(40, 8) + 0.1))
    assert trained.away_from_the_oracle() > 100 * TOLERANCE


def test_a_pooler_of_roformer_is_taken_if_asked_for() -> None:
    checkpoint = checkpoint_of("roformer")
    assert planned(checkpoint).config.pooler == "first_token"
    for name, shape in {"pooler.dense.weight": (32, 32), "pooler.dense.bias": (32,)}.items():
        checkpoint = with_variable(checkpoint, name, np.full(shape, 0.1, np.float32))
    assert planned(checkpoint).plan.left_out["pooler not asked for"] == ("pooler.dense.bias", "pooler.dense.weight")
    assert planned(checkpoint, pooler="dense").away_from_the_oracle() < TOLERANCE


@pytest.mark.parametrize("model_type", ["roformer", "nezha"])
def test_bare_names_without_a_config_that_tells(model_type: str) -> None:
    silent = checkpoint_of(model_type, without=("model_type", "architectures"))
    with pytest.raises(Unsupported, match="no position table.*name it with `--family nezha` or `--family roformer`"):
        detect(silent)
    assert planned(silent, family=model_type).away_from_the_oracle() < TOLERANCE  # the step that the message names
    with pytest.raises(Unsupported, match="no position table"):
        detect(silent, "bert")


def test_a_bert_is_neither() -> None:
    for family in ("roformer", "nezha"):
        with pytest.raises(WeightMismatch, match="1 unused: embeddings.position_embeddings.weight"):
            planned(checkpoint_of("bert", embedding_size=32), family=family).plan.checked("x")


def test_what_is_not_converted_is_said() -> None:
    with pytest.raises(Unsupported, match="'max_relative_position' is 127; of family nezha only 64"):
        planned(checkpoint_of("nezha", max_relative_position=127))
    with pytest.raises(BadConfig, match="'hidden_size' 32 makes 32 heads of an odd width; rotary positions need pairs"):
        planned(checkpoint_of("roformer", num_attention_heads=32))
    with pytest.raises(Unsupported, match=r"RoFormerV2 \(rotary positions, no biases\), which is not converted"):
        detect(checkpoint_of("roformer", model_type="roformer_v2"))
