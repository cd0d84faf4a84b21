"""Writes one BERT in every other format, from arrays under TF1's names.

Names are typed by hand from genuine files and from upstream's converters, pickles opcode by opcode; nothing here reads
the readers' tables.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf

Arrays = Mapping[str, np.ndarray]

# -- torch.save, without torch ----------------------------------------------------------------------------------------

_STORAGES = {
    "float32": b"FloatStorage",
    "float16": b"HalfStorage",
    "bfloat16": b"BFloat16Storage",
    "float64": b"DoubleStorage",
    "int64": b"LongStorage",
}


def state_dict_pickle(arrays: Arrays, legacy: bool = False) -> bytes:
    """Return the pickle that torch.save makes of a state_dict; storage i is that of the i-th array."""
    items = b"".join(_text(name) + _tensor(str(i), array, legacy) for i, (name, array) in enumerate(arrays.items()))
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


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
    tf.raw_ops.SaveV2(
        prefix=str(directory / "bert_model.ckpt"),
        tensor_names=list(saved),
        shape_and_slices=[""] * len(saved),
        tensors=[tf.constant(array) for array in saved.values()],
    )
    (directory / "bert_config.json").write_text(json.dumps(config), encoding="utf-8")
