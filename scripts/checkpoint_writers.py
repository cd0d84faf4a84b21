"""Writes one BERT in every other format, from arrays under TF1's names.

Names are typed by hand from genuine files and from upstream's converters, pickles opcode by opcode; nothing here reads
the readers' tables.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from zoo.archive.card import EncoderCard, EncoderCertificate, EncoderSizes, FileDigest, Source, write_card
from zoo.archive.digests import file_digests
from zoo.archive.wordpiece_model import vocabulary_sha256

Arrays = Mapping[str, np.ndarray]

# -- torch.save, without torch ----------------------------------------------------------------------------------------

_STORAGES = {
    "float32": b"FloatStorage",
    "float16": b"HalfStorage",
    "bfloat16": b"BFloat16Storage",
    "float64": b"DoubleStorage",
    "int64": b"LongStorage",
    "complex64": b"ComplexFloatStorage",
}


def state_dict_pickle(arrays: Arrays, legacy: bool = False) -> bytes:
    """Return the pickle that torch.save makes of a state_dict; storage i is that of the i-th array."""
    items = b"".join(_text(name) + _tensor(str(i), array, legacy) for i, (name, array) in enumerate(arrays.items()))
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def training_pickle(arrays: Arrays, path: tuple[str, ...] = ("model",), **others: object) -> bytes:
    """Return the pickle of a training run's checkpoint: the state_dict under some keys, harmless values beside it."""
    inner = state_dict_pickle(arrays)[2:-1]  # without the protocol and the final dot
    beside = {name: pickle.dumps(value, 2)[2:-1] for name, value in others.items()}
    for key in reversed(path):
        inner = b"}(" + b"".join(_text(name) + value for name, value in beside.items()) + _text(key) + inner + b"u"
    return b"\x80\x02" + inner + b"."


def _tensor(key: str, array: np.ndarray, legacy: bool) -> bytes:
    kind = b"ctorch\n" + _STORAGES[array.dtype.name] + b"\n"
    storage = b"(" + _text("storage") + kind + _text(key) + _text("cpu") + _number(array.size) + b"N" * legacy + b"tQ"
    strides = [stride // array.itemsize for stride in array.strides]
    sizes = b"(" + b"".join(map(_number, array.shape)) + b"t(" + b"".join(map(_number, strides)) + b"t"
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(0) + sizes + hooks + b"tR"


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _memory(array: np.ndarray) -> bytes:
    """The numbers in the order they lie in memory; a transposed array keeps that of its base."""
    return array.tobytes(order="A")


def write_torch_zip(file: Path, arrays: Arrays, pickle: bytes | None = None, **records: bytes) -> None:
    """Write the format of torch 1.6 and later."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", state_dict_pickle(arrays) if pickle is None else pickle)
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
        for i, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{i}", _memory(array))
        archive.writestr("archive/version", b"3\n")


def write_torch_legacy(file: Path, arrays: Arrays, pickle: bytes | None = None) -> None:
    """Write the format of torch before 1.6."""
    file.parent.mkdir(parents=True, exist_ok=True)
    system = b"\x80\x02}(" + _text("protocol_version") + b"M\xe9\x03" + _text("little_endian") + b"\x88u."
    keys = b"\x80\x02](" + b"".join(_text(str(i)) for i in range(len(arrays))) + b"e."
    content = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + system
    content += (state_dict_pickle(arrays, legacy=True) if pickle is None else pickle) + keys
    content += b"".join(struct.pack("<q", array.size) + _memory(array) for array in arrays.values())
    file.write_bytes(content)


def write_sharded(directory: Path, shards: Mapping[str, Arrays], index: str, write: Any) -> None:
    """Write shards with `write(file, arrays)` and the index that names them."""
    for name, arrays in shards.items():
        write(directory / name, arrays)
    weight_map = {name: file for file, arrays in shards.items() for name in arrays}
    (directory / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


# -- transformers' tf_model.h5 ----------------------------------------------------------------------------------------


def write_h5(file: Path, arrays: Arrays, model: str = "tf_bert_for_pre_training") -> None:
    """Write what TFBertForPreTraining.save_pretrained does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as opened:
        for name, array in arrays.items():
            name = name.replace("/layer_", "/layer_._")
            if name.endswith("word_embeddings"):
                name += "/weight"
            elif name.endswith("_embeddings"):
                name += "/embeddings"
            if name == "cls/seq_relationship/output_weights":
                name, array = "cls/seq_relationship/kernel", array.T
            name = name.replace("output_bias", "bias")
            name = name.replace("cls/predictions", "mlm___cls/predictions").replace("cls/seq_", "nsp___cls/seq_")
            opened[f"{name.split('/')[0]}/{model}/{name}:0"] = array


def write_sharded_h5(directory: Path, arrays: Arrays) -> None:
    """Write what save_pretrained does where one file would be too large: shards name neither group nor model."""
    write_h5(directory / "whole.h5", arrays)
    with h5py.File(directory / "whole.h5") as whole:
        names: list[str] = []
        whole.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        weight_map = {}
        for i, name in enumerate(names):
            shard, (_, model, own) = f"tf_model-0000{i % 2 + 1}-of-00002.h5", name.split("/", 2)
            weight_map[f"{model}/{own}"] = shard
            with h5py.File(directory / shard, "a") as opened:
                opened[own] = whole[name][()]
    (directory / "whole.h5").unlink()
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (directory / "tf_model.h5.index.json").write_text(json.dumps(index))


def given_names_of_transformers(arrays: Arrays, model: str = "tf_bert_model_1") -> dict[str, str]:
    """Return our name of each array -> the name that transformers' Keras class gives the variable."""
    return {name: f"{model}/{_in_keras(name)}" for name in arrays}


def _in_keras(name: str) -> str:
    name = name.replace("/layer_", "/layer_._").replace("output_weights", "kernel").replace("output_bias", "bias")
    if name.endswith("word_embeddings"):
        name += "/weight"
    elif name.endswith("_embeddings"):
        name += "/embeddings"
    return name.replace("cls/predictions", "mlm___cls/predictions").replace("cls/seq_", "nsp___cls/seq_")


# -- bert4keras and keras-bert ----------------------------------------------------------------------------------------


def bert4keras_arrays(arrays: Arrays, layers: int, first: int = 8) -> dict[str, np.ndarray]:
    """Return the same weights as bert4keras' save_weights names them; Keras numbers dense layers, from `first` on."""
    a, made = dict(arrays), iter(range(first, 1000))
    named = {
        "Embedding-Token/Embedding-Token/embeddings:0": a["bert/embeddings/word_embeddings"],
        "Embedding-Segment/Embedding-Segment/embeddings:0": a["bert/embeddings/token_type_embeddings"],
        "Embedding-Position/Embedding-Position/embeddings:0": a["bert/embeddings/position_embeddings"],
    }

    def within(layer: str, *scopes: str) -> None:
        for scope in scopes:
            number = next(made)
            for leaf in ("kernel", "bias"):
                named[f"{layer}/{layer}/dense_{number}/{leaf}:0"] = a[f"{scope}/{leaf}"]

    def alone(layer: str, scope: str, *leaves: str) -> None:
        for leaf in leaves:
            named[f"{layer}/{layer}/{leaf}:0"] = a[f"{scope}/{leaf}"]

    alone("Embedding-Norm", "bert/embeddings/LayerNorm", "gamma", "beta")
    for i in range(layers):
        there, here = f"Transformer-{i}", f"bert/encoder/layer_{i}"
        attention = [f"{here}/attention/self/{part}" for part in ("query", "key", "value")]
        within(f"{there}-MultiHeadSelfAttention", *attention, f"{here}/attention/output/dense")
        alone(f"{there}-MultiHeadSelfAttention-Norm", f"{here}/attention/output/LayerNorm", "gamma", "beta")
        within(f"{there}-FeedForward", f"{here}/intermediate/dense", f"{here}/output/dense")
        alone(f"{there}-FeedForward-Norm", f"{here}/output/LayerNorm", "gamma", "beta")
    alone("Pooler-Dense", "bert/pooler/dense", "kernel", "bias")
    named["NSP-Proba/NSP-Proba/kernel:0"] = a["cls/seq_relationship/output_weights"].T
    named["NSP-Proba/NSP-Proba/bias:0"] = a["cls/seq_relationship/output_bias"]
    alone("MLM-Dense", "cls/predictions/transform/dense", "kernel", "bias")
    alone("MLM-Norm", "cls/predictions/transform/LayerNorm", "gamma", "beta")
    named["MLM-Bias/MLM-Bias/beta:0"] = a["cls/predictions/output_bias"]
    return named


def keras_bert_arrays(arrays: Arrays, layers: int) -> dict[str, np.ndarray]:
    """Return the same weights as keras-bert's save_weights names them."""
    renamed: dict[str, np.ndarray] = {}
    marks = {8: "Wq bq", 9: "Wk bk", 10: "Wv bv", 11: "Wo bo", 12: "W1 b1", 13: "W2 b2"}
    for name, array in bert4keras_arrays(arrays, layers).items():
        layer, _, *rest = name.split("/")
        if layer.startswith("Transformer-"):
            layer = f"Encoder-{int(layer.split('-')[1]) + 1}-{layer.split('-', 2)[2]}"
        if rest[0].startswith("dense_"):
            kernel, bias = marks[8 + (int(rest[0][6:]) - 8) % 6].split()
            rest = [f"{layer}_{kernel if rest[1].startswith('kernel') else bias}:0"]
        layer = {"Pooler-Dense": "NSP-Dense", "NSP-Proba": "NSP", "MLM-Bias": "MLM-Sim"}.get(layer, layer)
        leaf = rest[-1].replace("beta", "bias") if layer == "MLM-Sim" else rest[-1]
        renamed[f"{layer}/{layer}/{leaf}"] = array
    return renamed


def write_named_h5(file: Path, arrays: Arrays) -> None:
    """Write arrays under the paths that they are given with."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as opened:
        for name, array in arrays.items():
            opened[name] = array


# -- UER --------------------------------------------------------------------------------------------------------------


def uer_arrays(arrays: Arrays, layers: int, newer: bool = False) -> dict[str, np.ndarray]:
    """Return the same weights under UER's names, kernels transposed, a row of padding before the two segments."""
    a = dict(arrays)
    segments = a["bert/embeddings/token_type_embeddings"]
    padded = np.concatenate([np.full_like(segments[:1], 9), segments])
    word, position, segment = ("word.", "pos.", "seg.") if newer else ("word_", "position_", "segment_")
    mlm, nsp = ("mlm.", "sp.") if newer else ("mlm_", "nsp_")
    uer = {
        f"embedding.{word}embedding.weight": a["bert/embeddings/word_embeddings"],
        f"embedding.{position}embedding.weight": a["bert/embeddings/position_embeddings"],
        f"embedding.{segment}embedding.weight": padded,
        "embedding.layer_norm.gamma": a["bert/embeddings/LayerNorm/gamma"],
        "embedding.layer_norm.beta": a["bert/embeddings/LayerNorm/beta"],
    }

    def dense(theirs: str, scope: str) -> None:
        uer[f"{theirs}.weight"], uer[f"{theirs}.bias"] = a[f"{scope}/kernel"].T, a[f"{scope}/bias"]

    def norm(theirs: str, scope: str) -> None:
        uer[f"{theirs}.gamma"], uer[f"{theirs}.beta"] = a[f"{scope}/gamma"], a[f"{scope}/beta"]

    for i in range(layers):
        there, here = f"encoder.transformer.{i}", f"bert/encoder/layer_{i}"
        dense(f"{there}.self_attn.linear_layers.0", f"{here}/attention/self/query")
        dense(f"{there}.self_attn.linear_layers.1", f"{here}/attention/self/key")
        dense(f"{there}.self_attn.linear_layers.2", f"{here}/attention/self/value")
        dense(f"{there}.self_attn.final_linear", f"{here}/attention/output/dense")
        norm(f"{there}.layer_norm_1", f"{here}/attention/output/LayerNorm")
        dense(f"{there}.feed_forward.linear_1", f"{here}/intermediate/dense")
        dense(f"{there}.feed_forward.linear_2", f"{here}/output/dense")
        norm(f"{there}.layer_norm_2", f"{here}/output/LayerNorm")
    dense(f"target.{nsp}linear_1", "bert/pooler/dense")
    uer[f"target.{nsp}linear_2.weight"] = a["cls/seq_relationship/output_weights"]
    uer[f"target.{nsp}linear_2.bias"] = a["cls/seq_relationship/output_bias"]
    dense(f"target.{mlm}linear_1", "cls/predictions/transform/dense")
    norm("target.mlm.layer_norm" if newer else "target.layer_norm", "cls/predictions/transform/LayerNorm")
    uer[f"target.{mlm}linear_2.weight"] = a["bert/embeddings/word_embeddings"]
    uer[f"target.{mlm}linear_2.bias"] = a["cls/predictions/output_bias"]
    return uer


UER_CONFIG = {
    "emb_size": 32,
    "feedforward_size": 56,
    "hidden_size": 32,
    "hidden_act": "gelu",
    "heads_num": 4,
    "layers_num": 3,
    "max_seq_length": 40,
    "dropout": 0.1,
    "data_processor": "bert",
    "embedding": "word_pos_seg",
    "encoder": "transformer",
    "mask": "fully_visible",
    "target": ["mlm", "sp"],
}

# -- TF2 Model Garden -------------------------------------------------------------------------------------------------


def model_garden_arrays(
    arrays: Arrays, layers: int, heads: int, root: str = "encoder/", older: bool = False
) -> dict[str, np.ndarray]:
    """Return the encoder's weights under the names and in the shapes of TF2 Model Garden's BertEncoder."""
    hidden = arrays["bert/pooler/dense/bias"].size
    size = hidden // heads
    out = "_attention_output_dense" if older else "_attention_layer/_output_dense"
    shown = {
        "layer_with_weights-0/embeddings": arrays["bert/embeddings/word_embeddings"],
        "layer_with_weights-1/embeddings": arrays["bert/embeddings/position_embeddings"],
        "layer_with_weights-2/embeddings": arrays["bert/embeddings/token_type_embeddings"],
        "layer_with_weights-3/gamma": arrays["bert/embeddings/LayerNorm/gamma"],
        "layer_with_weights-3/beta": arrays["bert/embeddings/LayerNorm/beta"],
        f"layer_with_weights-{layers + 4}/kernel": arrays["bert/pooler/dense/kernel"],
        f"layer_with_weights-{layers + 4}/bias": arrays["bert/pooler/dense/bias"],
    }
    for i in range(layers):
        there, here = f"layer_with_weights-{i + 4}", f"bert/encoder/layer_{i}"
        for part in ("query", "key", "value"):
            kernel = arrays[f"{here}/attention/self/{part}/kernel"].reshape(hidden, heads, size)
            shown[f"{there}/_attention_layer/_{part}_dense/kernel"] = kernel
            bias = arrays[f"{here}/attention/self/{part}/bias"].reshape(heads, size)
            shown[f"{there}/_attention_layer/_{part}_dense/bias"] = bias
        kernel = arrays[f"{here}/attention/output/dense/kernel"].reshape(heads, size, hidden)
        shown |= {f"{there}/{out}/kernel": kernel, f"{there}/{out}/bias": arrays[f"{here}/attention/output/dense/bias"]}
        for leaf in ("gamma", "beta"):
            shown[f"{there}/_attention_layer_norm/{leaf}"] = arrays[f"{here}/attention/output/LayerNorm/{leaf}"]
            shown[f"{there}/_output_layer_norm/{leaf}"] = arrays[f"{here}/output/LayerNorm/{leaf}"]
        for leaf in ("kernel", "bias"):
            shown[f"{there}/_intermediate_dense/{leaf}"] = arrays[f"{here}/intermediate/dense/{leaf}"]
            shown[f"{there}/_output_dense/{leaf}"] = arrays[f"{here}/output/dense/{leaf}"]
    return {f"{root}{name}/.ATTRIBUTES/VARIABLE_VALUE": array for name, array in shown.items()}


def masked_lm_arrays(arrays: Arrays) -> dict[str, np.ndarray]:
    """Return what BertPretrainerV2 keeps beside its encoder."""
    head = "cls/predictions"
    shown = {
        "dense/kernel": arrays[f"{head}/transform/dense/kernel"],
        "dense/bias": arrays[f"{head}/transform/dense/bias"],
        "layer_norm/gamma": arrays[f"{head}/transform/LayerNorm/gamma"],
        "layer_norm/beta": arrays[f"{head}/transform/LayerNorm/beta"],
        "bias": arrays[f"{head}/output_bias"],
    }
    return {f"masked_lm/{name}/.ATTRIBUTES/VARIABLE_VALUE": array for name, array in shown.items()}


def given_names_of_model_garden(arrays: Arrays, older: bool = False) -> dict[str, str]:
    """Return TF1's name of each array -> the name that Model Garden's code gives the variable."""
    found = {}
    for name in arrays:
        for theirs, ours in (_OLDER if older else _NEWER).items():
            if match := re.fullmatch(ours, name):
                found[name] = theirs.format(*match.groups())
    return found


_COMMON = {
    "layer_{0}/self_attention/{1}/{2}": r"bert/encoder/layer_(\d+)/attention/self/(query|key|value)/(\w+)",
    "layer_{0}/self_attention_layer_norm/{1}": r"bert/encoder/layer_(\d+)/attention/output/LayerNorm/(\w+)",
    "layer_{0}/intermediate/{1}": r"bert/encoder/layer_(\d+)/intermediate/dense/(\w+)",
    "layer_{0}/output/{1}": r"bert/encoder/layer_(\d+)/output/dense/(\w+)",
    "layer_{0}/output_layer_norm/{1}": r"bert/encoder/layer_(\d+)/output/LayerNorm/(\w+)",
}
_OUTPUT = r"bert/encoder/layer_(\d+)/attention/output/dense/(\w+)"
_NEWER = {f"transformer/{theirs}": ours for theirs, ours in _COMMON.items()} | {
    "transformer/layer_{0}/self_attention/attention_output/{1}": _OUTPUT,
    "word_embeddings/embeddings": "bert/embeddings/word_embeddings",
    "position_embedding/embeddings": "bert/embeddings/position_embeddings",
    "type_embeddings/embeddings": "bert/embeddings/token_type_embeddings",
    "embeddings/layer_norm/{0}": r"bert/embeddings/LayerNorm/(\w+)",
    "pooler_transform/{0}": r"bert/pooler/dense/(\w+)",
}
_OLDER = {f"bert_model/encoder/{theirs}": ours for theirs, ours in _COMMON.items()} | {
    "bert_model/encoder/layer_{0}/self_attention_output/{1}": _OUTPUT,
    "bert_model/word_embeddings/embeddings": "bert/embeddings/word_embeddings",
    "bert_model/embedding_postprocessor/position_embeddings": "bert/embeddings/position_embeddings",
    "bert_model/embedding_postprocessor/type_embeddings": "bert/embeddings/token_type_embeddings",
    "bert_model/embedding_postprocessor/layer_norm/{0}": r"bert/embeddings/LayerNorm/(\w+)",
    "bert_model/pooler_transform/{0}": r"bert/pooler/dense/(\w+)",
}


def per_head(arrays: Arrays, heads: int) -> dict[str, np.ndarray]:
    """Return the arrays, attention's split into heads: kernels [H, N, D] and [N, D, H], biases [N, D]."""
    split = {}
    for name, array in arrays.items():
        if "/attention/self/" in name:
            array = array.reshape(*array.shape[:-1], heads, -1)
        elif name.endswith("/attention/output/dense/kernel"):
            array = array.reshape(heads, -1, array.shape[-1])
        split[name] = array
    return split


def write_given_names(prefix: Path, arrays: Arrays, names: Mapping[str, str]) -> None:
    """Write arrays as a SavedModel does: under variables/0, /1, …, and in the object graph the name of each."""
    graph, saved = TrackableObjectGraph(), {}
    for i, (name, given) in enumerate(names.items()):
        key = f"variables/{i}/.ATTRIBUTES/VARIABLE_VALUE"
        saved[key] = arrays[name]
        graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name=given, checkpoint_key=key)
    saved["_CHECKPOINTABLE_OBJECT_GRAPH"] = np.array(graph.SerializeToString(), object)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    _save(prefix, saved)


def write_object_based(directory: Path, arrays: Arrays, config: Mapping[str, Any], slots: bool = True) -> None:
    """Write variables as tf.train.Checkpoint does, with Adam's slots and the counters of a training run."""
    directory.mkdir(parents=True, exist_ok=True)
    saved: dict[str, Any] = dict(arrays)
    if slots:
        for name, array in arrays.items():
            scope = name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
            for slot in "mv":
                saved[f"{scope}/.OPTIMIZER_SLOT/optimizer/{slot}/.ATTRIBUTES/VARIABLE_VALUE"] = np.zeros_like(array)
        saved["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] = np.array(1, np.int64)
        saved["optimizer/learning_rate/.ATTRIBUTES/VARIABLE_VALUE"] = np.array(0.1, np.float32)
    saved["_CHECKPOINTABLE_OBJECT_GRAPH"] = np.array(b"\n\x00", object)
    _save(directory / "bert_model.ckpt", saved)
    (directory / "bert_config.json").write_text(json.dumps(config), encoding="utf-8")


def _save(prefix: Path, saved: Mapping[str, Any]) -> None:
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(saved),
        shape_and_slices=[""] * len(saved),
        tensors=[tf.constant(array) for array in saved.values()],
    )


# -- an archive of this project ---------------------------------------------------------------------------------------


def joined_arrays(arrays: Arrays) -> dict[str, np.ndarray]:
    """Return TF1's arrays as archives store them: query, key and value joined, biases and norms joined."""
    left = {name: array for name, array in arrays.items() if not name.startswith("cls/seq_relationship")}

    def taken(*names: str) -> list[np.ndarray]:
        return [left.pop(name) for name in names]

    for query in [name for name in arrays if name.endswith("/self/query/kernel")]:
        attention = query.removesuffix("/self/query/kernel")
        block, albert = attention.rpartition("/")[0], attention.endswith("_1")
        parts = [f"{attention}/self/{part}" for part in ("query", "key", "value")]
        norms = [f"{block}/LayerNorm" if albert else f"{attention}/output/LayerNorm"]
        norms += [f"{block}/LayerNorm_1" if albert else f"{block}/output/LayerNorm"]
        inner = f"{block}/ffn_1/intermediate/dense" if albert else f"{block}/intermediate/dense"
        outer = f"{block}/ffn_1/intermediate/output/dense" if albert else f"{block}/output/dense"
        kernel = np.concatenate(taken(*(f"{part}/kernel" for part in parts)), axis=-1)
        vectors = taken(
            *(f"{part}/bias" for part in parts),
            f"{attention}/output/dense/bias",
            *(f"{norms[0]}/{leaf}" for leaf in ("gamma", "beta")),
            f"{inner}/bias",
            f"{outer}/bias",
            *(f"{norms[1]}/{leaf}" for leaf in ("gamma", "beta")),
        )
        left[f"{attention}/self/query_key_value/kernel"] = kernel
        left[f"{block}/bias_and_LayerNorm"] = np.concatenate(vectors)
    norm = taken(*(f"bert/embeddings/LayerNorm/{leaf}" for leaf in ("gamma", "beta")))
    left["bert/embeddings/bias_and_LayerNorm"] = np.concatenate(norm)
    return left


def write_own_archive(
    directory: Path, arrays: Arrays, config: Mapping[str, Any], vocabulary: Sequence[str], **card: Any
) -> None:
    """Write what a reader of an encoder archive looks at: variables with names, the token table, and the card."""
    joined = joined_arrays(arrays)
    write_given_names(directory / "variables/variables", joined, {name: name for name in joined})
    model = SavedModel()
    table = model.meta_graphs.add().graph_def.node.add(op="Const", name="tokens")
    table.attr["value"].tensor.string_val.extend(entry.encode() for entry in [*vocabulary, ""])
    (directory / "saved_model.pb").write_bytes(model.SerializeToString())
    sizes = EncoderSizes(
        layers=config["num_hidden_layers"],
        blocks=config.get("num_hidden_groups", config["num_hidden_layers"]),
        hidden_size=config["hidden_size"],
        embedding_size=config.get("embedding_size", config["hidden_size"]),
        heads=config["num_attention_heads"],
        intermediate_size=config["intermediate_size"],
        vocab_size=config["vocab_size"],
        position_limit=config["max_position_embeddings"],
        type_vocab_size=config["type_vocab_size"],
        activation="gelu",
        layer_norm_epsilon=1e-12,
        hidden_dropout=0.1,
        attention_dropout=0.1,
    )
    stated: dict[str, Any] = {
        "name": "small",
        "family": "bert",
        "sizes": sizes,
        "activation_reason": "the checkpoint's",
        "pooler": "dense and tanh over the first token, of the checkpoint",
        "heads": {},
        "parameters": 1,
        "left_out": {},
        "variables": {name: [(name, array.shape[-1])] for name, array in joined.items()},
        "vocabulary_sha256": vocabulary_sha256(vocabulary),
        "source": Source(format="tf1", files={"bert_model.ckpt.index": FileDigest(sha256="a" * 64, size=7)}),
        "ops": [],
        "versions": {},
        "files": file_digests(directory),
        "certificate": EncoderCertificate(shapes=[], tolerance=2e-5, max_difference={}),
    }
    write_card(EncoderCard(**{**stated, **card}), directory)
