"""The forward pass of every family in plain numpy, float64, written from the papers and the published names alone.

This file shares no table, no config reading and no arithmetic with the exporter; only the numbers must agree. Every
token is computed, padding too, as in the original code. Weights are read one layer at a time.

Source: Devlin et al. 2018 (BERT), Lan et al. 2019 (ALBERT), Clark et al. 2020 (ELECTRA); brightmart/albert_zh for the
embeddings of `layer_shared` models; the classes of transformers for RoBERTa's positions, ERNIE's tasks, DistilBERT,
RoFormer (Su et al. 2021) and NEZHA (Wei et al. 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from export.oracle.names import AS_PUBLISHED, Read, Under, Weights


class Case(NamedTuple):
    """Inputs of one comparison, int32 [B, T] each."""

    ids: np.ndarray
    mask: np.ndarray
    types: np.ndarray


class ReferenceOutputs(NamedTuple):
    """Reference outputs of one case, float64, padding included: [B, T, H] for every layer, and pooled [B, H]."""

    layers: list[np.ndarray]
    pooled: np.ndarray


def forward(
    read: Read,
    names: Collection[str],
    config: Mapping[str, Any],
    cases: Sequence[Case],
    layers: int | None = None,
    activation: str | None = None,
    pooler: bool = True,
    family: str = "",
    source: str = "",
    under: Under = AS_PUBLISHED,
) -> list[ReferenceOutputs]:
    """Return the outputs of a checkpoint for several inputs.

        forward(checkpoint.read, checkpoint.shapes, checkpoint.config, [Case(ids, mask, types)])

    The variable names in `names` decide the architecture. `family` is needed for ELECTRA: it chooses discriminator or
    generator of a TF1 file, and tells a bare ELECTRA from a bare BERT. `layers` computes the first layers only.
    `activation` ('gelu' with erf, 'gelu_tanh', 'relu', …) overrides the config. Without `pooler` the pooled output is
    the vector of the first token. `source` is "tf2" for a checkpoint of Model Garden. `under`
    says where in the file the published names lie.
    """
    weights = Weights(read, names, str(config.get("model_type", "")), family, under)
    config = usual(config, weights)
    act = ACTIVATIONS[activation or meaning(config["hidden_act"], weights, source)]
    eps, heads = config["layer_norm_eps"], config["num_attention_heads"]
    full = config["num_hidden_layers"]
    groups = config.get("num_hidden_groups", 1)
    states = [_embed(weights, case, config, eps) for case in cases]
    history: list[list[np.ndarray]] = [[] for _ in cases]
    read_last = -1  # the block whose weights are in memory: a block that layers share is read once
    for layer in range(full if layers is None else layers):
        i = int(layer / full * groups) if weights.is_albert else layer
        if i != read_last:
            query, key, value, attended, inner, outer = (
                weights.dense(role, i) for role in ("query", "key", "value", "attended", "inner", "outer")
            )
            norm_1, norm_2 = weights.norm("attended norm", i), weights.norm("outer norm", i)
            read_last = i
        for number, x in enumerate(states):
            mixed = _attention(x, cases[number].mask, query, key, value, heads, weights, config)
            x = reference_layer_norm(x + mixed @ attended[0] + attended[1], *norm_1, eps)
            x = reference_layer_norm(x + act(x @ inner[0] + inner[1]) @ outer[0] + outer[1], *norm_2, eps)
            states[number] = x
            history[number].append(x)
    first = [x[:, 0] for x in states]
    if pooler:
        kernel, bias = weights.dense("pooler")
        first = [np.tanh(x @ kernel + bias) for x in first]
    return [ReferenceOutputs(outputs, pooled) for outputs, pooled in zip(history, first, strict=True)]


def _embed(weights: Weights, case: Case, config: Mapping[str, Any], eps: float) -> np.ndarray:
    x = weights.table("word")[case.ids].astype(np.float64)
    if weights.has("word 2"):  # brightmart factorises the word table alone
        x = x @ weights.table("word 2").astype(np.float64)
    if "position" in weights.scopes:
        x = x + weights.table("position")[_positions(weights, case.ids, config)]
    if weights.has("segment"):
        segments = weights.table("segment")
        # A model with one segment is never told of another.
        x = x + segments[case.types if len(segments) > 1 else np.zeros_like(case.types)]
    if config.get("use_task_id"):  # ERNIE 3.0: every token is of task 0 unless somebody says otherwise
        x = x + weights.table("task")[0]
    x = reference_layer_norm(x, *weights.norm("embedding norm"), eps)
    # transformers' AlbertTransformer projects to the same width, too; others leave such a matrix unused.
    in_albert = weights.has("project") and weights.scopes["project"].endswith("embedding_hidden_mapping_in")
    if "project" in weights.scopes and (in_albert or x.shape[-1] != config["hidden_size"]):
        kernel, bias = weights.dense("project")
        x = x @ kernel + bias
    return x


def _positions(weights: Weights, ids: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """Return the row of every token's position; RoBERTa counts the tokens that are not padding, from padding + 1."""
    if not weights.is_roberta:
        return np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    padding = config["pad_token_id"]
    real = (ids != padding).astype(np.int64)
    return np.cumsum(real, axis=1) * real + padding


def usual(config: Mapping[str, Any], weights: Weights) -> Mapping[str, Any]:
    """Return the config with the keys of BERT's, and what the code means by a key that is left out."""
    defaults = {"layer_norm_eps": 1e-12, "hidden_act": "gelu"}
    if weights.is_albert and not weights.is_tensorflow:
        defaults["hidden_act"] = "gelu_new"
    if weights.is_roberta:
        defaults["pad_token_id"] = 1
    of_distilbert = {
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "activation": "hidden_act",
    }
    said = {key: value for key, value in config.items() if not (key in defaults and value is None)}
    return {**defaults, **said, **{ours: said[theirs] for theirs, ours in of_distilbert.items() if theirs in said}}


def _attention(
    x: np.ndarray,
    mask: np.ndarray,
    query: Any,
    key: Any,
    value: Any,
    heads: int,
    weights: Weights,
    config: Mapping[str, Any],
) -> np.ndarray:
    size = x.shape[-1] // heads
    points = _points(x.shape[1], size, weights) if weights.is_roformer else None
    relations = _relations(x.shape[1], size) if weights.is_nezha else None
    context = np.zeros_like(x)
    hidden = np.where(mask[:, None, :] != 0, 0.0, -10000.0)  # (B, 1, T)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        q, k, v = (x @ kernel[:, part] + bias[part] for kernel, bias in (query, key, value))
        if points is not None:
            q, k = _rotated(q, points), _rotated(k, points)
            v = _rotated(v, points) if config.get("rotary_value") else v
        scores = q @ k.transpose(0, 2, 1)  # (B, T, T)
        if relations is not None:
            scores = scores + np.einsum("bid,ijd->bij", q, relations)
        scores = scores / math.sqrt(size) + hidden
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares = shares / shares.sum(-1, keepdims=True)
        context[..., part] = shares @ v
        if relations is not None:
            context[..., part] += np.einsum("bij,ijd->bid", shares, relations)
    return context


def _points(length: int, size: int, weights: Weights) -> np.ndarray:
    """Return RoFormer's factors (T, size / 2), complex numbers of length one: e to the power of i * position * speed.

    transformers stores them, sines in the left half and cosines in the right one, and computes with what is stored.
    Where that differs from the formula by the rounding of half precision alone, the formula counts.
    """
    speeds = 1 / 10000 ** (np.arange(size // 2) * 2 / size)
    points = np.exp(1j * np.arange(length)[:, None] * speeds)
    if weights.has("sinusoids"):
        sines, cosines = np.split(weights.table("sinusoids")[:length].astype(np.float64), 2, axis=1)
        if np.abs(cosines + 1j * sines - points).max() > 2.0**-7:
            return cosines + 1j * sines
    return points


def _rotated(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return (B, T, size) with neighbours taken for real and imaginary part, and multiplied by their position's."""
    turned = (x[..., ::2] + 1j * x[..., 1::2]) * points
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape)


def _relations(length: int, size: int) -> np.ndarray:
    """Return NEZHA's vectors (T, T, size) of the distance from a query's token to a key's, 64 at most either way."""
    table = np.zeros((129, size))
    for row in range(129):
        for i in range(size):
            angle = row / 10000 ** (i // 2 * 2 / size)
            table[row, i] = math.cos(angle) if i % 2 else math.sin(angle)
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    return table[np.clip(distance, -64, 64) + 64]


def reference_layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * gamma + beta


def meaning(word: str, weights: Weights, source: str) -> str:
    """Return the activation that a config's word means: "gelu" is computed with tanh or with erf.

    ALBERT's TF1 code and Model Garden use tanh; BERT's code of 2018, ELECTRA's and transformers use erf.
    """
    if source == "archive":
        return word
    if word == "gelu" and (source == "tf2" or (weights.is_tensorflow and weights.is_albert)):
        return "gelu_tanh"
    others = {
        "gelu_new": "gelu_tanh",
        "gelu_pytorch_tanh": "gelu_tanh",
        "gelu_python_tanh": "gelu_tanh",
        "gelu_accurate": "gelu_tanh",
        "gelu_python": "gelu",
        "swish": "silu",
    }
    return others.get(word, word)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


_erf = np.vectorize(math.erf, otypes=[np.float64])

ACTIVATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda x: x / 2 * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_fast": lambda x: 0.5 * x * (1 + np.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x))),
    "gelu_10": lambda x: np.clip(x / 2 * (1 + _erf(x / math.sqrt(2))), -10, 10),
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "laplace": lambda x: (1 + _erf((x - 0.707107) / (0.282095 * math.sqrt(2)))) / 2,
    "linear": lambda x: x,
}
