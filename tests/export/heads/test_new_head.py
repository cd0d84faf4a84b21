"""A head that is not ours: its rows in the two tables, and its oracle, are all that is given."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

import zoo
from export.cards import encoder_card
from export.certificate import golden_arrays
from export.encoder.encoder import Encoder
from export.families import FAMILIES
from export.heads import HEADS
from export.heads.table import Arrays, Head, Tensors
from export.inspect import inspect_checkpoint
from export.options import EncoderOptions, EncoderRequest
from export.oracle.forward import Case, ReferenceOutputs
from export.oracle.heads import HeadOracle
from export.pipeline import export_encoder
from export.planning import plan_encoder
from scripts.layouts import bert
from scripts.random_checkpoint import write_tf1, write_vocabulary
from tests.export.conftest import SCALE, VOCABULARY, as_inputs, case, odd_config
from tests.once import packed_only
from zoo import contract
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.unpack import unpack
from zoo.contract import HeadCall
from zoo.errors import BadArchive, BadArgument, BadConfig, VerificationFailed
from zoo.loading.verify import verify
from zoo.registry.entry import Recipe

OURS = [*contract.HEADS]  # before the tagger is added

# A tagger: three logits for each token that is asked about, and of all of them the largest.
CALL = HeadCall({"tagger_logits": "BK.", "tagger_largest": "B"}, {"tagged_positions": "BK"})
SHAPES = {
    "tags/LayerNorm/gamma": (32,),
    "tags/LayerNorm/beta": (32,),
    "tags/output_weights": (3, 32),
    "tags/output_bias": (3,),
}


def compute(encoder: Encoder, outputs: Tensors, inputs: Tensors) -> Tensors:
    x = tf.gather(outputs["sequence_output"], inputs["tagged_positions"], batch_dims=1)  # (B, K, H)
    rows = tf.shape(x)[0]
    x = encoder.norm(tf.reshape(x, [-1, encoder.config.hidden_size]), "tagger/norm")
    x = tf.matmul(x, encoder.weight("tagger/rows"), transpose_b=True) + encoder.weight("tagger/output_bias")
    logits = tf.reshape(x, [rows, -1, 3])  # of any number of tokens, as far as TensorFlow knows
    return {"tagger_logits": logits, "tagger_largest": tf.reduce_max(logits, [1, 2])}


def oracle(source: HeadOracle, answer: ReferenceOutputs, inputs: Arrays) -> Arrays:
    x = np.take_along_axis(answer.layers[-1], inputs["tagged_positions"][..., None], axis=1)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    x = x * source.read("tags/LayerNorm/gamma") + source.read("tags/LayerNorm/beta")
    logits = x @ source.read("tags/output_weights").T.astype(np.float64) + source.read("tags/output_bias")
    return {"tagger_logits": logits, "tagger_largest": logits.max((1, 2))}


def two_positions(of: Case) -> Arrays:
    return {"tagged_positions": np.array([[0, 1]] * len(of.ids), np.int32)}


TAGGER = Head(
    name="tagger",
    title="tagging head",
    variables={
        "tagger/norm/gamma": ("hidden_size",),
        "tagger/norm/beta": ("hidden_size",),
        "tagger/rows": (3, "hidden_size"),
        "tagger/output_bias": (3,),
    },
    scopes={("bert", "tf1"): {"tagger/norm": "tags/LayerNorm", "tagger": "tags"}},
    compute=compute,
    oracle=oracle,
    golden_inputs=two_positions,
)


@pytest.fixture(scope="module", autouse=True)
def tables() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(contract.HEADS, "tagger", CALL)
        patch.setitem(HEADS, "tagger", TAGGER)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tagged")
    config = odd_config(num_hidden_layers=2)
    write_tf1(directory, config, bert(config) | SHAPES, scale=SCALE)
    write_vocabulary(directory / "vocab.txt", VOCABULARY)
    return directory


@pytest.fixture(scope="module")
def archive(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    with packed_only():
        export_encoder(EncoderRequest(checkpoint, "tagged", out, heads=("tagger", "nsp")))
    return out / "tagged.tar.gz"


@pytest.fixture(scope="module")
def unpacked(archive: Path) -> Path:
    unpack(archive, archive.parent / "tagged")
    return archive.parent / "tagged"


def asked(rows: int = 3) -> dict[str, tf.Tensor]:
    inputs = as_inputs(case(rows, 6)) | {"tagged_positions": np.array([[0, 4], [1, 2], [5, 5]][:rows], np.int32)}
    return {name: tf.constant(array) for name, array in inputs.items()}


def test_plan_and_sheet(checkpoint: Path, tmp_path: Path) -> None:
    planned = plan_encoder(EncoderRequest(checkpoint, "tagged", tmp_path))
    assert planned.heads == ("mlm", "nsp", "tagger") and planned.head_states["tagger"] == "trained"
    without = plan_encoder(EncoderRequest(checkpoint, "tagged", tmp_path, heads=())).plan.checked("tagged")
    assert without.left_out["tagging head"] == tuple(sorted(SHAPES))
    assert "tagger head" in str(inspect_checkpoint(checkpoint))


def test_a_head_that_reads_the_pooler_cannot_go_without_one(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HEADS, "tagger", replace(TAGGER, reads="pooled_output"))
    request = EncoderRequest(checkpoint, "tagged", tmp_path, pooler="first_token")
    assert plan_encoder(request).heads == ("mlm",)
    with pytest.raises(BadConfig, match="head 'tagger' reads the pooler's output; it cannot go with"):
        plan_encoder(replace(request, heads=("tagger",)))


def test_the_certificate_compares_the_head_with_its_oracle(
    checkpoint: Path, unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = read_card(unpacked)
    assert isinstance(card, EncoderCard) and card.exported_heads == ["tagger", "nsp"]
    assert card.certificate.max_difference.keys() >= {"tagger_logits", "tagger_largest", "nsp_logits"}
    assert verify(unpacked).differences["tagger_largest"] < card.certificate.tolerance

    def wrong(*given: Any) -> Arrays:
        return {name: array + np.float64(0.1) for name, array in oracle(*given).items()}

    monkeypatch.setitem(HEADS, "tagger", replace(TAGGER, oracle=wrong))
    planned = plan_encoder(EncoderRequest(checkpoint, "tagged", tmp_path, heads=("tagger",)))
    golden = golden_arrays(planned.checkpoint, planned.config, planned.heads, under=planned.under)
    with pytest.raises(VerificationFailed, match="Different: tagger_logits by .*, tagger_largest by"):
        encoder_card(planned, unpacked, golden)  # as an export does


def test_an_archive_with_a_head_that_is_not_known_here(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(contract.HEADS, "tagger")
    with pytest.raises(BadArchive, match="tagged exports tagger, which is not known here: update bert-zoo"):
        verify(unpacked)


def test_called_as_our_heads_are(unpacked: Path) -> None:
    ours, theirs = zoo.load(str(unpacked)), hub.load(str(unpacked))
    logits = theirs.tagger(asked())["tagger_logits"]
    assert logits.shape == (3, 2, 3)
    np.testing.assert_allclose(ours.tagger(asked())["tagger_logits"], logits, atol=1e-6)
    np.testing.assert_allclose(ours.tagger(asked())["tagger_largest"], tf.reduce_max(logits, [1, 2]), atol=1e-6)
    with pytest.raises(BadArgument, match="tagged_positions is"):
        ours.tagger(asked() | {"tagged_positions": np.zeros([2, 1], np.int32)})
    model = zoo.load_model(unpacked)
    assert model.checkpoint_variables()["tags/output_weights"].shape == (3, 32)
    names = {variable.name.partition(":")[0] for variable in theirs.tagger.variables}
    assert names >= SHAPES.keys() and not any("pooler" in name or "seq_relationship" in name for name in names)


def test_in_a_keras_model(archive: Path) -> None:
    layer = zoo.KerasLayer(str(archive), endpoint="tagger", output_key="tagger_logits", trainable="pooler")
    assert {weight.name for weight in layer.trainable_weights} == {name.replace("/", ".") for name in SHAPES}
    inputs = {name: keras.Input([length], dtype="int32", name=name) for name, length in LENGTHS.items()}
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 2, 3), "the axes in the table say that there are two"
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    before = layer.trainable_weights[0].numpy()
    model.fit(asked(), np.ones((3, 2, 3)), verbose=0)
    assert np.any(layer.trainable_weights[0].numpy() != before)


LENGTHS = {"input_word_ids": None, "input_mask": None, "input_type_ids": None, "tagged_positions": 2}


def test_our_own_rows() -> None:
    families = {(layout.family, layout.format) for family in FAMILIES for layout in family.layouts}
    assert HEADS.keys() == contract.HEADS.keys()
    assert Recipe.model_json_schema()["properties"]["heads"]["anyOf"][0]["items"]["enum"] == OURS
    assert {each.name: each for each in fields(EncoderOptions)}["heads"].metadata["help"].startswith(",".join(OURS))
    for head in HEADS.values():
        assert head.scopes.keys() <= families
        modules = {name.rpartition("/")[0] for name in head.variables}
        assert all(modules <= scopes.keys() for scopes in head.scopes.values())
        assert {name.partition("/")[0] for name in head.variables} == {head.name}
