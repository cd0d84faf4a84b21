"""BERT's forward pass in plain numpy, float64, written from the paper and the published names alone.

It shares no table, no config reading and no arithmetic with the exporter, and keeps every token, padded or not, as the
original does: what it must agree with is only the numbers. Weights are read one layer at a time.

Source: Devlin et al. 2018; google-research/bert modeling.py; names of transformers' BertModel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Read = Callable[[str], np.ndarray]


class Case(NamedTuple):
    """Inputs of one comparison, int32 [B, T] each."""

    ids: np.ndarray
    mask: np.ndarray
    types: np.ndarray


class Answer(NamedTuple):
    """Reference outputs of one case: layers [L] of [B, T, H], pooled [B, H], float64, padded positions too."""

    layers: list[np.ndarray]
    pooled: np.ndarray


def bert_forward(
    read: Read,
    names: Collection[str],
    config: Mapping[str, Any],
    cases: Sequence[Case],
    layers: int | None = None,
    activation: str | None = None,
    pool: bool = True,
) -> list[Answer]:
    """Return the outputs of a BERT checkpoint for several inputs.

        bert_forward(checkpoint.read, checkpoint.shapes, checkpoint.config, [Case(ids, mask, types)])

    `names` decides between TensorFlow's and transformers' names; `layers` keeps the first ones only; `activation`
    replaces the config's 'gelu' (erf), 'gelu_new' (tanh) or 'relu'; without `pool` the first token's vector is given.
    """
    weights = _TensorFlowNames(read) if any("/" in name for name in names) else _TransformersNames(read, names)
    act = _ACTIVATIONS[activation or config["hidden_act"]]
    heads, eps = config["num_attention_heads"], config.get("layer_norm_eps", 1e-12)
    layers = config["num_hidden_layers"] if layers is None else layers

    word, position, segment = weights.tables()
    gamma, beta = weights.norm("embeddings")
    states = []
    for case in cases:
        x = word[case.ids].astype(np.float64) + segment[case.types] + position[: case.ids.shape[1]]
        states.append(_layer_norm(x, gamma, beta, eps))
    del word
    history: list[list[np.ndarray]] = [[] for _ in cases]
    for i in range(layers):
        query, key, value = (weights.dense(f"layer {i} {part}") for part in ("query", "key", "value"))
        attended, inner, outer = (weights.dense(f"layer {i} {part}") for part in ("attended", "inner", "outer"))
        norm_1, norm_2 = weights.norm(f"layer {i} attended"), weights.norm(f"layer {i} outer")
        for number, x in enumerate(states):
            mixed = _attention(x, cases[number].mask, query, key, value, heads)
            x = _layer_norm(x + mixed @ attended[0] + attended[1], *norm_1, eps)
            x = _layer_norm(x + act(x @ inner[0] + inner[1]) @ outer[0] + outer[1], *norm_2, eps)
            states[number] = x
            history[number].append(x)
    first = [x[:, 0] for x in states]
    if pool:
        kernel, bias = weights.dense("pooler")
        first = [np.tanh(x @ kernel + bias) for x in first]
    return [Answer(outputs, pooled) for outputs, pooled in zip(history, first, strict=True)]


def _attention(x: np.ndarray, mask: np.ndarray, query: Any, key: Any, value: Any, heads: int) -> np.ndarray:
    size = x.shape[-1] // heads
    context = np.zeros_like(x)
    hidden = np.where(mask[:, None, :] != 0, 0.0, -10000.0)  # (B, 1, T)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        q, k, v = (x @ kernel[:, part] + bias[part] for kernel, bias in (query, key, value))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(size) + hidden  # (B, T, T)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        context[..., part] = weights / weights.sum(-1, keepdims=True) @ v
    return context


def _layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * gamma + beta


_erf = np.vectorize(math.erf, otypes=[np.float64])

_ACTIVATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda x: x / 2 * (1 + _erf(x / math.sqrt(2))),
    "gelu_new": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_tanh": lambda x: _ACTIVATIONS["gelu_new"](x),
    "gelu_pytorch_tanh": lambda x: _ACTIVATIONS["gelu_new"](x),
    "relu": lambda x: np.maximum(x, 0),
}


class _TensorFlowNames:
    def __init__(self, read: Read) -> None:
        self._read = read

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (
            self._read("bert/embeddings/word_embeddings"),
            self._read("bert/embeddings/position_embeddings"),
            self._read("bert/embeddings/token_type_embeddings"),
        )

    def norm(self, where: str) -> tuple[np.ndarray, np.ndarray]:
        if where == "embeddings":
            scope = "bert/embeddings/LayerNorm"
        else:
            _, i, part = where.split()
            scope = f"bert/encoder/layer_{i}/{'attention/output' if part == 'attended' else 'output'}/LayerNorm"
        return self._double(f"{scope}/gamma"), self._double(f"{scope}/beta")

    def dense(self, where: str) -> tuple[np.ndarray, np.ndarray]:
        if where == "pooler":
            scope = "bert/pooler/dense"
        else:
            _, i, part = where.split()
            scope = (
                f"bert/encoder/layer_{i}/"
                + {
                    "query": "attention/self/query",
                    "key": "attention/self/key",
                    "value": "attention/self/value",
                    "attended": "attention/output/dense",
                    "inner": "intermediate/dense",
                    "outer": "output/dense",
                }[part]
            )
        return self._double(f"{scope}/kernel"), self._double(f"{scope}/bias")

    def _double(self, name: str) -> np.ndarray:
        return self._read(name).astype(np.float64)


class _TransformersNames:
    def __init__(self, read: Read, names: Collection[str]) -> None:
        self._read, self._names = read, names
        self._bare = "embeddings.word_embeddings.weight" in names

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kinds = ("word_embeddings", "position_embeddings", "token_type_embeddings")
        word, position, segment = (self._get(f"bert.embeddings.{kind}.weight") for kind in kinds)
        return word, position, segment

    def norm(self, where: str) -> tuple[np.ndarray, np.ndarray]:
        if where == "embeddings":
            module = "bert.embeddings.LayerNorm"
        else:
            _, i, part = where.split()
            module = f"bert.encoder.layer.{i}.{'attention.output' if part == 'attended' else 'output'}.LayerNorm"
        return self._get(f"{module}.weight", f"{module}.gamma"), self._get(f"{module}.bias", f"{module}.beta")

    def dense(self, where: str) -> tuple[np.ndarray, np.ndarray]:
        if where == "pooler":
            module = "bert.pooler.dense"
        else:
            _, i, part = where.split()
            module = (
                f"bert.encoder.layer.{i}."
                + {
                    "query": "attention.self.query",
                    "key": "attention.self.key",
                    "value": "attention.self.value",
                    "attended": "attention.output.dense",
                    "inner": "intermediate.dense",
                    "outer": "output.dense",
                }[part]
            )
        return self._get(f"{module}.weight").T, self._get(f"{module}.bias")

    def _get(self, *spellings: str) -> np.ndarray:
        for name in spellings:
            name = name.removeprefix("bert.") if self._bare else name
            if name in self._names:
                return self._read(name).astype(np.float64)
        raise KeyError(spellings[0])
