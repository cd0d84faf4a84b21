"""h5 files, checkpoints and SavedModels that Keras and TensorFlow write around a BERT."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from export.certificate import golden_arrays
from export.options import EncoderRequest
from export.planning import plan_encoder
from export.readers import open_checkpoint
from scripts import checkpoint_writers as writers
from scripts.layouts import LAYOUTS, bert as bert_shapes
from scripts.random_checkpoint import random_arrays, write_arrays, write_vocabulary
from tests.export.conftest import VOCABULARY, odd_config, write_odd
from zoo.errors import BadCheckpoint, Unsupported

Arrays = dict[str, np.ndarray]
TABLE = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return random_arrays(bert_shapes(odd_config()), seed=3, scale=0.25)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(odd_config(model_type="bert")), encoding="utf-8")
    return tmp_path


# -- h5 ---------------------------------------------------------------------------------------------------------------


def write(file: Path, **named: np.ndarray) -> None:
    writers.write_named_h5(file, named)


TWICE = (
    "bert/tf_bert_for_pre_training/bert/embeddings/word_embeddings/weight:0",
    "mlm___cls/tf_bert_for_pre_training/bert/embeddings/word_embeddings/weight:0",
)


def test_a_layer_in_two_groups_is_read_once_if_it_is_the_same(folder: Path) -> None:
    write(folder / "tf_model.h5", **dict.fromkeys(TWICE, TABLE))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.shapes == {"bert.embeddings.word_embeddings.weight": (2, 3)}
    assert checkpoint.facts == (f"stored a second time with the same numbers, and read once: {TWICE[1]}",)
    write(folder / "tf_model.h5", **{TWICE[0]: TABLE, TWICE[1]: TABLE + 1})
    with pytest.raises(BadCheckpoint, match=f"twice, and the numbers differ: as '{TWICE[0]}' and as '{TWICE[1]}'"):
        open_checkpoint(folder)


def test_a_model_of_one_s_own_keeps_the_names_around_the_encoder(folder: Path) -> None:
    write(
        folder / "best.h5",
        **{
            "bert_x/my_model/bert_x/bert/pooler/dense/kernel:0": TABLE,
            "tf_bert_model/tf_bert_model_1/bert/pooler/dense/kernel:0": TABLE,
            "dense_3/dense_3/kernel:0": TABLE,
        },
    )
    assert open_checkpoint(folder).shapes == {
        "bert.pooler.dense.weight": (3, 2),
        "dense_3.weight": (3, 2),
        "my_model.bert_x.bert.pooler.dense.weight": (3, 2),
    }


def test_a_model_of_one_s_own_exports_and_the_oracle_finds_it(arrays: Arrays, folder: Path) -> None:
    encoder = {name: array for name, array in arrays.items() if name.startswith("bert/")}
    given = writers.given_names_of_transformers(encoder, "my_model/bert_x")
    named = {f"bert_x/{whole}:0": encoder[name] for name, whole in given.items()}
    write(folder / "best.h5", **named, **{"out/my_model/out/kernel:0": TABLE})
    write_vocabulary(folder / "vocab.txt", VOCABULARY)
    request = EncoderRequest(folder, "odd", folder, leave_out=("my_model.out.*",))
    planned = plan_encoder(request)
    assert planned.plan.checked("odd").left_out == {"left out by request": ("my_model.out.weight",)}
    golden = golden_arrays(planned.checkpoint, planned.config, planned.heads, under=planned.under)
    tf1 = folder / "tf1"
    write_arrays(tf1, odd_config(), encoder)
    plain = golden_arrays(open_checkpoint(tf1), planned.config)
    for key, array in plain.items():
        np.testing.assert_allclose(golden[key], array, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", ["layers/dense/vars/0", "_layer_checkpoint_dependencies/bert/vars/1"])
def test_numbered_variables_are_refused_with_a_way_to_named_ones(name: str, folder: Path) -> None:
    write(folder / "best.weights.h5", **{name: TABLE})
    with pytest.raises(
        Unsupported, match=rf"holds {name}. Such files number their variables.*save_weights\('model.h5'\)"
    ):
        open_checkpoint(folder)
    (folder / "best.weights.h5").rename(folder / "best.keras")
    with pytest.raises(Unsupported, match="best.keras is a model of Keras 3. Such files number their variables"):
        open_checkpoint(folder)


def test_half_and_double_in_an_h5_file_and_eight_bits(folder: Path) -> None:
    for kind in (np.float16, np.float64):
        write(folder / "tf_model.h5", **{TWICE[0]: TABLE.astype(kind)})
        assert open_checkpoint(folder).read("bert.embeddings.word_embeddings.weight").dtype == kind
    write(folder / "tf_model.h5", **{TWICE[0]: TABLE.astype(np.int8)})
    with pytest.raises(Unsupported, match="stores matrices in 8 bits: bert/.*Quantised weights are not converted"):
        open_checkpoint(folder)


def test_eight_bits_in_a_tensorflow_checkpoint(folder: Path) -> None:
    tf.raw_ops.SaveV2(
        prefix=str(folder / "m"), tensor_names=["w"], shape_and_slices=[""], tensors=[tf.ones([2, 2], tf.int8)]
    )
    with pytest.raises(Unsupported, match="stores matrices in 8 bits: w"):
        open_checkpoint(folder)


@pytest.mark.parametrize("shown", [writers.bert4keras_arrays, writers.keras_bert_arrays])
def test_heads_and_facts_of_bert4keras_and_keras_bert(shown: object, arrays: Arrays, folder: Path) -> None:
    named = shown(arrays, 3)  # type: ignore[operator]
    write(folder / "best_model.h5", **named, **{"dense_40/dense_40/kernel:0": TABLE})
    checkpoint = open_checkpoint(folder)
    assert "dense_40/dense_40/kernel:0" in checkpoint.shapes, "a layer of one's own keeps its name"
    np.testing.assert_array_equal(
        checkpoint.read("cls/seq_relationship/output_weights"), arrays["cls/seq_relationship/output_weights"]
    )
    np.testing.assert_array_equal(checkpoint.read("cls/predictions/output_bias"), arrays["cls/predictions/output_bias"])
    assert any("epsilon 1e-12, as bert4keras did until March 2022" in fact for fact in checkpoint.facts)


def test_other_models_of_bert4keras_are_refused(arrays: Arrays, folder: Path) -> None:
    named = writers.bert4keras_arrays(arrays, 3)
    write(folder / "best_model.h5", **named, **{"Embedding-Mapping/Embedding-Mapping/kernel:0": TABLE})
    with pytest.raises(Unsupported, match="a model of bert4keras other than BERT: it holds Embedding-Mapping"):
        open_checkpoint(folder)


# -- names that code gave ---------------------------------------------------------------------------------------------


def test_what_training_leaves_in_a_keras_checkpoint_is_left_out_by_name(arrays: Arrays, folder: Path) -> None:
    encoder = {name: array for name, array in arrays.items() if name.startswith("bert/")}
    given = writers.given_names_of_transformers(encoder)
    slots = {f"slot of {name}": array for name, array in encoder.items()}
    given |= {f"slot of {name}": f"Adam/m/{whole}" for name, whole in given.items()}
    writers.write_given_names(folder / "best.ckpt", encoder | slots, given)
    write_vocabulary(folder / "vocab.txt", VOCABULARY)
    plan = plan_encoder(EncoderRequest(folder, "odd", folder)).plan.checked("odd")
    assert "Adam/m/tf_bert_model_1/bert/pooler/dense/kernel" in plan.left_out["optimiser slot"]
    assert len(plan.left_out["optimiser slot"]) == len(encoder)


def test_albert_of_tf_hub_has_its_names_without_numbers(tmp_path: Path) -> None:
    config = odd_config(embedding_size=20, num_hidden_groups=1)
    arrays = {name: a for name, a in random_arrays(LAYOUTS["albert"](config)).items() if name.startswith("bert/")}
    block, shared = "bert/encoder/transformer/group_0/inner_group_0", "albert_model/encoder/shared_layer"
    modules = {
        "attention_1/self": "self_attention",
        "attention_1/output/dense": "self_attention_output",
        "LayerNorm": "self_attention_layer_norm",
        "ffn_1/intermediate/dense": "intermediate",
        "ffn_1/intermediate/output/dense": "output",
        "LayerNorm_1": "output_layer_norm",
    }
    rest = {
        "bert/embeddings/word_embeddings": "word_embeddings/embeddings",
        "bert/embeddings/position_embeddings": "embedding_postprocessor/position_embeddings",
        "bert/embeddings/token_type_embeddings": "embedding_postprocessor/type_embeddings",
        "bert/embeddings/LayerNorm": "embedding_postprocessor/layer_norm",
        "bert/encoder/embedding_hidden_mapping_in": "embedding_postprocessor/embedding_hidden_mapping_in",
        "bert/pooler/dense": "pooler_transform",
    }
    scopes = {f"{block}/{ours}/": f"{shared}/{theirs}/" for ours, theirs in modules.items()}
    scopes |= {ours: f"albert_model/{theirs}" for ours, theirs in rest.items()}
    given = {
        name: theirs + name.removeprefix(ours)
        for name in arrays
        for ours, theirs in scopes.items()
        if name.startswith(ours)
    }
    heads = {
        name: array.reshape(*array.shape[:-1], 4, 8) if "/self/" in name else array for name, array in arrays.items()
    }
    (tmp_path / "assets").mkdir()
    (tmp_path / "saved_model.pb").touch()
    write_vocabulary(tmp_path / "assets/vocab.txt", VOCABULARY)
    (tmp_path / "albert_config.json").write_text(json.dumps(config))
    writers.write_given_names(tmp_path / "variables/variables", heads, given)
    planned = plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path, config=tmp_path / "albert_config.json"))
    assert (planned.family.name, planned.config.activation) == ("albert", "gelu_tanh")
    assert planned.plan.checked("odd").left_out.keys() == {"description of the objects that were saved"}
    assert planned.checkpoint.path == tmp_path / "assets"
    for name, array in arrays.items():
        np.testing.assert_array_equal(planned.checkpoint.read(name), array, err_msg=name)


def test_a_module_of_tf_hub_for_tensorflow_1_has_tf1_s_names(tmp_path: Path) -> None:
    write_odd(tmp_path / "variables")
    for file in (tmp_path / "variables").glob("bert_model.ckpt.*"):
        file.rename(file.with_name(file.name.replace("bert_model.ckpt", "variables")))
    (tmp_path / "variables/bert_config.json").rename(tmp_path / "bert_config.json")
    (tmp_path / "variables/vocab.txt").rename(tmp_path / "vocab.txt")
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "tfhub_module.pb").touch()
    assert plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path)).plan.checked("odd").variables
    assert open_checkpoint(tmp_path).format == "tf1"


def test_config_and_vocabulary_of_a_saved_model_lie_where_transformers_has_them(arrays: Arrays, folder: Path) -> None:
    encoder = {name: array for name, array in arrays.items() if name.startswith("bert/")}
    place = folder / "saved_model/1"
    given = writers.given_names_of_transformers(encoder)
    writers.write_given_names(place / "variables/variables", encoder, given)
    (place / "saved_model.pb").touch()
    write_vocabulary(folder / "vocab.txt", VOCABULARY)
    assert open_checkpoint(place).path == folder


def test_an_object_graph_that_is_none(folder: Path) -> None:
    for graph in (b"\xff" * 9, b"\0" * (5 << 20)):
        tf.raw_ops.SaveV2(
            prefix=str(folder / "m"),
            tensor_names=["_CHECKPOINTABLE_OBJECT_GRAPH"],
            shape_and_slices=[""],
            tensors=[tf.constant(graph)],
        )
        with pytest.raises(BadCheckpoint, match=r"describes its objects in a damaged message|in one text of at most"):
            open_checkpoint(folder)


def test_h5_shards_have_no_groups(arrays: Arrays, folder: Path) -> None:
    writers.write_sharded_h5(folder, arrays)
    assert open_checkpoint(folder).shapes["cls.seq_relationship.weight"] == (2, 32)
    with h5py.File(folder / "tf_model-00001-of-00002.h5", "a") as shard:
        shard.move("bert", "x")
    with pytest.raises(BadCheckpoint, match="variables that its shards do not hold: tf_bert_for_pre_training/bert"):
        open_checkpoint(folder)
