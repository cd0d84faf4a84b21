"""For files whose names are neither TF1's nor transformers': the stored name of every published name.

Typed by hand from upstream's code and genuine files. The readers (export/readers) translate in the other direction,
from stored to published names. If one of the two confuses two variables, the outputs differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from export.oracle.names import Read

Turn = Callable[[np.ndarray], np.ndarray]
Spelling = tuple[str, str, Turn]  # published name, stored name, function from the stored to the published array


def as_published(read: Read, names: Collection[str]) -> tuple[Read, Collection[str]]:
    """Return a function that reads variables by their published names, and those names.

    Published names are TF1's for Model Garden's files, and transformers' for tf_model.h5 and UER's files. For any other
    file both arguments are returned unchanged.
    """
    if any(name.endswith(_VALUE) for name in names):
        spellings = _model_garden(names)
    elif any(name.endswith(":0") for name in names):
        spellings = _keras(names)
    elif any(name.startswith("embedding.word") for name in names):
        spellings = _uer(names)
    else:
        return read, names
    found = {published: (stored, turn) for published, stored, turn in spellings if stored in set(names)}

    def read_published(name: str) -> np.ndarray:
        stored, turn = found[name]
        return turn(read(stored))

    return read_published, found.keys()


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _numbers(names: Collection[str], before: str) -> range:
    """Return range(n) if names hold `before` followed by the numbers 0 to n - 1: "encoder.transformer.0."."""
    count = 0
    while any(f"{before}{count}{end}" in name for name in names for end in "./"):
        count += 1
    return range(count)


# -- UER: torch's names, [out, in] kernels ----------------------------------------------------------------------------


def _uer(names: Collection[str]) -> Iterator[Spelling]:
    def segments(table: np.ndarray) -> np.ndarray:
        return table[1:] if len(table) == 3 else table  # row 0 belongs to padding

    for old, new, published in (
        ("word_embedding", "word.embedding", "word_embeddings"),
        ("position_embedding", "pos.embedding", "position_embeddings"),
        ("segment_embedding", "seg.embedding", "token_type_embeddings"),
    ):
        for theirs in (old, new):
            turn = segments if published == "token_type_embeddings" else _same
            yield f"bert.embeddings.{published}.weight", f"embedding.{theirs}.weight", turn
    modules: dict[str, tuple[str, ...]] = {"bert.embeddings.LayerNorm": ("embedding.layer_norm",)}
    for i in _numbers(names, "encoder.transformer."):
        ours, theirs = f"bert.encoder.layer.{i}", f"encoder.transformer.{i}"
        modules |= {
            f"{ours}.attention.self.query": (f"{theirs}.self_attn.linear_layers.0",),
            f"{ours}.attention.self.key": (f"{theirs}.self_attn.linear_layers.1",),
            f"{ours}.attention.self.value": (f"{theirs}.self_attn.linear_layers.2",),
            f"{ours}.attention.output.dense": (f"{theirs}.self_attn.final_linear",),
            f"{ours}.attention.output.LayerNorm": (f"{theirs}.layer_norm_1",),
            f"{ours}.intermediate.dense": (f"{theirs}.feed_forward.linear_1",),
            f"{ours}.output.dense": (f"{theirs}.feed_forward.linear_2",),
            f"{ours}.output.LayerNorm": (f"{theirs}.layer_norm_2",),
        }
    modules |= {
        "bert.pooler.dense": ("target.nsp_linear_1", "target.sp_linear_1", "target.sp.linear_1"),
        "cls.seq_relationship": ("target.nsp_linear_2", "target.sp_linear_2", "target.sp.linear_2"),
        "cls.predictions.transform.dense": ("target.mlm_linear_1", "target.mlm.linear_1"),
        "cls.predictions.transform.LayerNorm": ("target.layer_norm", "target.mlm.layer_norm"),
        "cls.predictions.decoder": ("target.mlm_linear_2", "target.mlm.linear_2"),
    }
    for published, candidates in modules.items():
        for stored in candidates:
            bias = "cls.predictions.bias" if published == "cls.predictions.decoder" else f"{published}.bias"
            yield f"{published}.weight", f"{stored}.weight", _same
            yield bias, f"{stored}.bias", _same
            yield f"{published}.weight", f"{stored}.gamma", _same
            yield f"{published}.bias", f"{stored}.beta", _same


# -- transformers' tf_model.h5: group/model/layer_._0/dense/kernel:0, [in, out] kernels -------------------------------


def _keras(names: Collection[str]) -> Iterator[Spelling]:
    for stored in names:
        parts = stored.removesuffix(":0").split("/")
        start = 2 if parts[1].startswith("tf_") else 1
        scope = [part.split("___")[-1].replace("_._", ".") for part in parts[start:-1]]
        leaf = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}.get(parts[-1], parts[-1])
        yield ".".join([*scope, leaf]), stored, np.transpose if parts[-1] == "kernel" else _same


# -- TF2 Model Garden: numbered layers, kernels per head --------------------------------------------------------------

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def _model_garden(names: Collection[str]) -> Iterator[Spelling]:
    word = next(name for name in names if name.endswith(f"layer_with_weights-0/embeddings{_VALUE}"))
    root = word[: word.index("layer_with_weights-0")]

    def at(number: int, path: str) -> str:
        return f"{root}layer_with_weights-{number}/{path}{_VALUE}"

    def columns(kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(len(kernel), -1)  # [hidden, heads, size]

    def rows(kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(-1, kernel.shape[-1])  # [heads, size, hidden], or a matrix already

    for number, table in enumerate(("word_embeddings", "position_embeddings", "token_type_embeddings")):
        yield f"bert/embeddings/{table}", at(number, "embeddings"), _same
    for leaf in ("gamma", "beta"):
        yield f"bert/embeddings/LayerNorm/{leaf}", at(3, leaf), _same
    blocks = sum(name.startswith(root) and name.endswith(f"_intermediate_dense/bias{_VALUE}") for name in names)
    for i in range(blocks):
        ours = f"bert/encoder/layer_{i}"
        for part in ("query", "key", "value"):
            theirs = f"_attention_layer/_{part}_dense"
            yield f"{ours}/attention/self/{part}/kernel", at(4 + i, f"{theirs}/kernel"), columns
            yield f"{ours}/attention/self/{part}/bias", at(4 + i, f"{theirs}/bias"), np.ravel
        for theirs in ("_attention_layer/_output_dense", "_attention_output_dense"):
            yield f"{ours}/attention/output/dense/kernel", at(4 + i, f"{theirs}/kernel"), rows
            yield f"{ours}/attention/output/dense/bias", at(4 + i, f"{theirs}/bias"), _same
        for leaf in ("kernel", "bias"):
            yield f"{ours}/intermediate/dense/{leaf}", at(4 + i, f"_intermediate_dense/{leaf}"), _same
            yield f"{ours}/output/dense/{leaf}", at(4 + i, f"_output_dense/{leaf}"), _same
        for leaf in ("gamma", "beta"):
            yield f"{ours}/attention/output/LayerNorm/{leaf}", at(4 + i, f"_attention_layer_norm/{leaf}"), _same
            yield f"{ours}/output/LayerNorm/{leaf}", at(4 + i, f"_output_layer_norm/{leaf}"), _same
    for leaf in ("kernel", "bias"):
        yield f"bert/pooler/dense/{leaf}", at(4 + blocks, leaf), _same
    for leaf in ("kernel", "bias"):
        yield f"cls/predictions/transform/dense/{leaf}", f"masked_lm/dense/{leaf}{_VALUE}", _same
    for leaf in ("gamma", "beta"):
        yield f"cls/predictions/transform/LayerNorm/{leaf}", f"masked_lm/layer_norm/{leaf}{_VALUE}", _same
    yield "cls/predictions/output_bias", f"masked_lm/bias{_VALUE}", _same
