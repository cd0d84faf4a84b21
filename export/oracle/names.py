"""Published variable names of every family, typed by hand from the papers' code and genuine files, for the oracle.

Nothing here may be generated from, or compared with, the exporter's tables, so that a mistake in those tables shows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

Read = Callable[[str], np.ndarray]
Dense = tuple[np.ndarray, np.ndarray]

# role -> scope; {i} is the number of a block
_TF_BERT = {
    "word": "bert/embeddings/word_embeddings",
    "position": "bert/embeddings/position_embeddings",
    "segment": "bert/embeddings/token_type_embeddings",
    "embedding norm": "bert/embeddings/LayerNorm",
    "query": "bert/encoder/layer_{i}/attention/self/query",
    "key": "bert/encoder/layer_{i}/attention/self/key",
    "value": "bert/encoder/layer_{i}/attention/self/value",
    "attended": "bert/encoder/layer_{i}/attention/output/dense",
    "attended norm": "bert/encoder/layer_{i}/attention/output/LayerNorm",
    "inner": "bert/encoder/layer_{i}/intermediate/dense",
    "outer": "bert/encoder/layer_{i}/output/dense",
    "outer norm": "bert/encoder/layer_{i}/output/LayerNorm",
    "pooler": "bert/pooler/dense",
}
_TF_ALBERT_GOOGLE = {
    "word": "bert/embeddings/word_embeddings",
    "position": "bert/embeddings/position_embeddings",
    "segment": "bert/embeddings/token_type_embeddings",
    "embedding norm": "bert/embeddings/LayerNorm",
    "project": "bert/encoder/embedding_hidden_mapping_in",
    "query": "bert/encoder/transformer/group_{i}/inner_group_0/attention_1/self/query",
    "key": "bert/encoder/transformer/group_{i}/inner_group_0/attention_1/self/key",
    "value": "bert/encoder/transformer/group_{i}/inner_group_0/attention_1/self/value",
    "attended": "bert/encoder/transformer/group_{i}/inner_group_0/attention_1/output/dense",
    "attended norm": "bert/encoder/transformer/group_{i}/inner_group_0/LayerNorm",
    "inner": "bert/encoder/transformer/group_{i}/inner_group_0/ffn_1/intermediate/dense",
    "outer": "bert/encoder/transformer/group_{i}/inner_group_0/ffn_1/intermediate/output/dense",
    "outer norm": "bert/encoder/transformer/group_{i}/inner_group_0/LayerNorm_1",
    "pooler": "bert/pooler/dense",
}
_TF_ALBERT_BRIGHTMART = {role: scope.replace("layer_{i}", "layer_shared") for role, scope in _TF_BERT.items()} | {
    "word 2": "bert/embeddings/word_embeddings_2"
}
_TF_ELECTRA = {role: scope.replace("bert/", "electra/") for role, scope in _TF_BERT.items() if role != "pooler"} | {
    "project": "electra/embeddings_project",
    "pooler": "discriminator_predictions/dense",
}
_TF_GENERATOR = {
    role: scope.replace("electra/encoder", "generator/encoder")
    for role, scope in _TF_ELECTRA.items()
    if role != "pooler"
} | {"project": "generator/embeddings_project"}

_HF_BERT = {
    "word": "bert.embeddings.word_embeddings",
    "position": "bert.embeddings.position_embeddings",
    "segment": "bert.embeddings.token_type_embeddings",
    "embedding norm": "bert.embeddings.LayerNorm",
    "query": "bert.encoder.layer.{i}.attention.self.query",
    "key": "bert.encoder.layer.{i}.attention.self.key",
    "value": "bert.encoder.layer.{i}.attention.self.value",
    "attended": "bert.encoder.layer.{i}.attention.output.dense",
    "attended norm": "bert.encoder.layer.{i}.attention.output.LayerNorm",
    "inner": "bert.encoder.layer.{i}.intermediate.dense",
    "outer": "bert.encoder.layer.{i}.output.dense",
    "outer norm": "bert.encoder.layer.{i}.output.LayerNorm",
    "pooler": "bert.pooler.dense",
}
_HF_ALBERT = {
    "word": "albert.embeddings.word_embeddings",
    "position": "albert.embeddings.position_embeddings",
    "segment": "albert.embeddings.token_type_embeddings",
    "embedding norm": "albert.embeddings.LayerNorm",
    "project": "albert.encoder.embedding_hidden_mapping_in",
    "query": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.attention.query",
    "key": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.attention.key",
    "value": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.attention.value",
    "attended": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.attention.dense",
    "attended norm": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.attention.LayerNorm",
    "inner": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.ffn",
    "outer": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.ffn_output",
    "outer norm": "albert.encoder.albert_layer_groups.{i}.albert_layers.0.full_layer_layer_norm",
    "pooler": "albert.pooler",
}
_HF_ELECTRA = {role: scope.replace("bert.", "electra.") for role, scope in _HF_BERT.items() if role != "pooler"} | {
    "project": "electra.embeddings_project",
    "pooler": "discriminator_predictions.dense",
}
_HF_ERNIE = {role: scope.replace("bert.", "ernie.") for role, scope in _HF_BERT.items()} | {
    "task": "ernie.embeddings.task_type_embeddings"
}
_HF_ROBERTA = {role: scope.replace("bert.", "roberta.") for role, scope in _HF_BERT.items()}
_HF_DISTILBERT = {
    "word": "distilbert.embeddings.word_embeddings",
    "position": "distilbert.embeddings.position_embeddings",
    "embedding norm": "distilbert.embeddings.LayerNorm",
    "query": "distilbert.transformer.layer.{i}.attention.q_lin",
    "key": "distilbert.transformer.layer.{i}.attention.k_lin",
    "value": "distilbert.transformer.layer.{i}.attention.v_lin",
    "attended": "distilbert.transformer.layer.{i}.attention.out_lin",
    "attended norm": "distilbert.transformer.layer.{i}.sa_layer_norm",
    "inner": "distilbert.transformer.layer.{i}.ffn.lin1",
    "outer": "distilbert.transformer.layer.{i}.ffn.lin2",
    "outer norm": "distilbert.transformer.layer.{i}.output_layer_norm",
}
_HF_ROFORMER = {role: scope.replace("bert.", "roformer.") for role, scope in _HF_BERT.items() if role != "position"} | {
    "project": "roformer.embeddings_project",
    "sinusoids": "roformer.encoder.embed_positions",
}
_HF_NEZHA = {role: scope.replace("bert.", "nezha.") for role, scope in _HF_BERT.items() if role != "position"}
# Nothing but our archives has these.
_TF_ROFORMER = {role: scope.replace("bert/", "roformer/") for role, scope in _TF_BERT.items() if role != "position"} | {
    "project": "roformer/embeddings_project"
}
_TF_NEZHA = {role: scope.replace("bert/", "nezha/") for role, scope in _TF_BERT.items() if role != "position"}
_HF_BERT_GENERATION = {role: scope for role, scope in _HF_BERT.items() if role not in ("segment", "pooler")}

# The family that a person or the exporter chose -> the names in transformers' files, for bare files too.
_BY_FAMILY = {
    "ernie": _HF_ERNIE,
    "roberta": _HF_ROBERTA,
    "distilbert": _HF_DISTILBERT,
    "bert_generation": _HF_BERT_GENERATION,
    "electra": _HF_ELECTRA,
    "roformer": _HF_ROFORMER,
    "nezha": _HF_NEZHA,
}


class Under(NamedTuple):
    """Where published names lie in a file: "bert.pooler" is "module.bert.pooler" under the prefix "module.bert.".

    Without a prefix, the file is taken for a published one: names begin with one of `_ENCODERS`, or are
    those of the bare encoder. `averages`: the averages that training kept of the variables count instead of them.
    """

    prefix: str | None = None
    averages: bool = False


AS_PUBLISHED = Under()
_ENCODERS = (
    "bert",
    "albert",
    "electra",
    "ernie",
    "roberta",
    "distilbert",
    "roformer",
    "nezha",
)  # the first part of an encoder's published names


class Weights:
    """The weights of a checkpoint by role: "query" of block 3. Kernels have the shape [in, out].

    `names` are the published ones, but the encoder's have nothing in front: "encoder/layer_0/…", "cls/predictions/…".
    """

    def __init__(
        self, read: Read, names: Collection[str], model_type: str = "", family: str = "", under: Under = AS_PUBLISHED
    ) -> None:
        self.is_tensorflow = any("/" in name for name in names)
        mark = "/" if self.is_tensorflow else "."
        prefix = under.prefix
        if prefix is None:
            prefix = next((f"{one}{mark}" for one in _ENCODERS if any(n.startswith(f"{one}{mark}") for n in names)), "")
        stored = {name: name for name in names}
        if under.averages:
            stored = {name: f"{name}/ExponentialMovingAverage" for name in names}
            stored = {name: average for name, average in stored.items() if average in set(names)}
        self._stored: dict[str, str] = {}
        parts = prefix.split(mark)
        for count in range(len(parts)):  # what lies deeper belongs to this encoder, and not to another one
            start = "".join(part + mark for part in parts[:count])
            self._stored |= {name[len(start) :]: other for name, other in stored.items() if name.startswith(start)}
        self._read, self.names = read, set(self._stored)
        electra = family.startswith("electra") if family else model_type == "electra" or parts[-2:-1] == ["electra"]
        self.scopes = self._recognise(electra, family)

    def _recognise(self, electra: bool, family: str) -> dict[str, str]:
        if not self.is_tensorflow:
            if any(name.startswith("encoder.albert_layer_groups.") for name in self.names):
                return _HF_ALBERT
            return _BY_FAMILY.get(family, _HF_ELECTRA if electra else _HF_BERT)
        if family in ("roformer", "nezha"):
            return _TF_ROFORMER if family == "roformer" else _TF_NEZHA
        if electra:
            return _TF_GENERATOR if family == "electra_generator" else _TF_ELECTRA
        if any(name.startswith("encoder/layer_shared/") for name in self.names):
            return _TF_ALBERT_BRIGHTMART
        return (
            _TF_ALBERT_GOOGLE if "encoder/transformer/group_0/inner_group_0/LayerNorm/beta" in self.names else _TF_BERT
        )

    @property
    def is_roberta(self) -> bool:
        return self.scopes is _HF_ROBERTA

    @property
    def is_roformer(self) -> bool:
        return self.scopes in (_HF_ROFORMER, _TF_ROFORMER)

    @property
    def is_nezha(self) -> bool:
        return self.scopes in (_HF_NEZHA, _TF_NEZHA)

    @property
    def is_albert(self) -> bool:
        return self.scopes in (_TF_ALBERT_GOOGLE, _TF_ALBERT_BRIGHTMART, _HF_ALBERT)

    def read(self, name: str) -> np.ndarray:
        return self._read(self._stored[name])

    def has(self, role: str) -> bool:
        return role in self.scopes and any(self._find(role, 0, leaf) for leaf in ("kernel", "table"))

    def table(self, role: str) -> np.ndarray:
        return self._get(role, 0, "table")

    def dense(self, role: str, i: int = 0) -> Dense:
        kernel, bias = self._get(role, i, "kernel"), self._get(role, i, "bias").astype(np.float64)
        # The kernel stays float32, which takes half the memory; numpy multiplies it with float64 values in float64.
        return (kernel if self.is_tensorflow else kernel.T), bias

    def norm(self, role: str, i: int = 0) -> Dense:
        return self._get(role, i, "gamma").astype(np.float64), self._get(role, i, "beta").astype(np.float64)

    def _get(self, role: str, i: int, leaf: str) -> np.ndarray:
        name = self._find(role, i, leaf)
        if name is None:
            raise KeyError(f"{self.scopes[role]} {leaf}")
        return self.read(name)

    def _find(self, role: str, i: int, leaf: str) -> str | None:
        scope = self.scopes[role].format(i=i)
        first, _, rest = scope.partition("/" if self.is_tensorflow else ".")
        scope = rest if first in _ENCODERS else scope
        if self.is_tensorflow:
            name = scope if leaf == "table" else f"{scope}/{leaf}"
            spellings = [name, name.replace("LayerNorm", "layer_norm")]
        else:
            ending = {"table": "weight", "kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}[leaf]
            spellings = [f"{scope}.{ending}", f"{scope}.{leaf}"]
        return next((name for name in spellings if name in self.names), None)
