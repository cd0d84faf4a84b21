"""Names, shapes and configs of published checkpoints, typed by hand from genuine files.

Nothing here reads the exporter's tables: test data made from those tables would agree with any mistake in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Shapes = dict[str, tuple[int, ...]]
Config = Mapping[str, Any]


def bert_config(
    layers: int, hidden: int, heads: int, intermediate: int, vocab: int, positions: int = 512, **more: Any
) -> dict[str, Any]:
    """Return a config file as the upstream projects write it; `more` adds or replaces keys."""
    return {
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": intermediate,
        "max_position_embeddings": positions,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "type_vocab_size": 2,
        "vocab_size": vocab,
    } | more


def bert(config: Config) -> Shapes:
    """A TF1 release of BERT, pre-training heads included (google-research/bert, ymcui's BERTs)."""
    h = config["hidden_size"]
    shapes = _embeddings("bert", config, h) | _dense("bert/pooler/dense", h, h) | _bert_heads(config, h, h)
    for layer in range(config["num_hidden_layers"]):
        shapes |= _bert_layer(f"bert/encoder/layer_{layer}", h, config["intermediate_size"])
    return shapes


def albert(config: Config) -> Shapes:
    """Google's ALBERT and brightmart's `*_google` files: groups of shared layers, projected embeddings."""
    h, e, f = config["hidden_size"], config["embedding_size"], config["intermediate_size"]
    shapes = _embeddings("bert", config, e) | _dense("bert/pooler/dense", h, h) | _bert_heads(config, h, e)
    if h != e:
        shapes |= _dense("bert/encoder/embedding_hidden_mapping_in", e, h)
    for group in range(config["num_hidden_groups"]):
        scope = f"bert/encoder/transformer/group_{group}/inner_group_0"
        for part in ("self/query", "self/key", "self/value", "output/dense"):
            shapes |= _dense(f"{scope}/attention_1/{part}", h, h)
        shapes |= _norm(f"{scope}/LayerNorm", h) | _norm(f"{scope}/LayerNorm_1", h)
        shapes |= _dense(f"{scope}/ffn_1/intermediate/dense", h, f)
        shapes |= _dense(f"{scope}/ffn_1/intermediate/output/dense", f, h)
    return shapes | {"global_step": ()}


def albert_brightmart(config: Config) -> Shapes:
    """brightmart/albert_zh's own files: one block `layer_shared`; only the word table is factorised."""
    h, e, v = config["hidden_size"], config["embedding_size"], config["vocab_size"]
    shapes = _embeddings("bert", config, h) | _dense("bert/pooler/dense", h, h) | _bert_heads(config, h, h)
    shapes |= {"bert/embeddings/word_embeddings": (v, e), "bert/embeddings/word_embeddings_2": (e, h)}
    return shapes | _bert_layer("bert/encoder/layer_shared", h, config["intermediate_size"])


def electra(config: Config) -> Shapes:
    """google-research/electra and ymcui's: discriminator and generator (`generator_*` sizes) in one file, no pooler."""
    h, e, v = config["hidden_size"], config["embedding_size"], config["vocab_size"]
    gh, gi = config["generator_hidden_size"], config["generator_intermediate_size"]
    shapes = _embeddings("electra", config, e)
    shapes |= _dense("discriminator_predictions/dense", h, h) | _dense("discriminator_predictions/dense_1", h, 1)
    shapes |= _dense("generator_predictions/dense", gh, e) | _norm("generator_predictions/LayerNorm", e)
    shapes |= {"generator_predictions/output_bias": (v,), "global_step": ()}
    if h != e:
        shapes |= _dense("electra/embeddings_project", e, h)
    if gh != e:
        shapes |= _dense("generator/embeddings_project", e, gh)
    for layer in range(config["num_hidden_layers"]):
        shapes |= _bert_layer(f"electra/encoder/layer_{layer}", h, config["intermediate_size"])
        shapes |= _bert_layer(f"generator/encoder/layer_{layer}", gh, gi)
    return shapes


LAYOUTS: Mapping[str, Callable[[Config], Shapes]] = {
    "bert": bert,
    "albert": albert,
    "albert_brightmart": albert_brightmart,
    "electra": electra,
}


def transformers_arrays(
    arrays: Mapping[str, np.ndarray], bare: bool = False, old_norms: bool = False
) -> dict[str, np.ndarray]:
    """Return the same weights under transformers' names, with transposed kernels; for ELECTRA the discriminator's.

    `bare` drops prefix and heads, as in a file of a model without heads. `old_norms` names norms' weights gamma and
    beta.
    """
    converted = {}
    for name, array in arrays.items():
        if name.startswith(("generator", "global_step")):
            continue
        for pattern, replacement in _TO_TRANSFORMERS:
            name = re.sub(pattern, replacement, name)
        name = name.replace("/", ".")
        if name.endswith(".kernel"):
            name, array = name.removesuffix("kernel") + "weight", np.ascontiguousarray(array.T)
        elif name.endswith("_embeddings"):
            name += ".weight"
        elif not old_norms:
            name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
        prefix, _, rest = name.partition(".")
        if bare and prefix in ("bert", "albert", "electra"):
            converted[rest] = array
        elif not bare:
            converted[name] = array
    return converted


_TO_TRANSFORMERS = (
    (r"^bert/encoder/embedding_hidden", "albert/encoder/embedding_hidden"),
    (
        r"^bert/encoder/transformer/group_(\d+)/inner_group_0/",
        r"albert/encoder/albert_layer_groups/\1/albert_layers/0/",
    ),
    (r"/attention_1/self/", "/attention/"),
    (r"/attention_1/output/dense", "/attention/dense"),
    (r"/ffn_1/intermediate/output/dense", "/ffn_output"),
    (r"/ffn_1/intermediate/dense", "/ffn"),
    (r"/albert_layers/0/LayerNorm_1", "/albert_layers/0/full_layer_layer_norm"),
    (r"/albert_layers/0/LayerNorm/", "/albert_layers/0/attention/LayerNorm/"),
    (r"/layer_(\d+)/", r"/layer/\1/"),
    (r"^discriminator_predictions/dense_1", "discriminator_predictions/dense_prediction"),
    (r"^cls/predictions/output_bias", "cls/predictions/bias"),
    (r"output_weights$", "weight"),
    (r"output_bias$", "bias"),
)


def albert_transformers_arrays(arrays: Mapping[str, np.ndarray], **how: bool) -> dict[str, np.ndarray]:
    """Return ALBERT's weights under transformers' names: `bert/` becomes `albert.`, and the pooler has no `dense`."""
    renamed = {}
    for name, array in arrays.items():
        name = re.sub(r"^bert/(embeddings|pooler)", r"albert/\1", name).replace("albert/pooler/dense", "albert/pooler")
        name = re.sub(r"^cls/predictions/(transform/)?", "predictions/", name)
        renamed[name.replace("cls/seq_relationship", "sop_classifier/classifier")] = array
    projection = "bert/encoder/embedding_hidden_mapping_in"
    if f"{projection}/kernel" not in arrays:  # AlbertModel always has it: here it changes nothing
        width = arrays["bert/pooler/dense/kernel"].shape[0]
        renamed[f"{projection}/kernel"] = np.eye(width, dtype=np.float32)
        renamed[f"{projection}/bias"] = np.zeros(width, np.float32)
    return transformers_arrays(renamed, **how)


def _embeddings(model: str, config: Config, width: int) -> Shapes:
    scope = f"{model}/embeddings"
    return {
        f"{scope}/word_embeddings": (config["vocab_size"], width),
        f"{scope}/position_embeddings": (config["max_position_embeddings"], width),
        f"{scope}/token_type_embeddings": (config["type_vocab_size"], width),
        **_norm(f"{scope}/LayerNorm", width),
    }


def _bert_layer(scope: str, h: int, f: int) -> Shapes:
    shapes: Shapes = {}
    for part in ("attention/self/query", "attention/self/key", "attention/self/value", "attention/output/dense"):
        shapes |= _dense(f"{scope}/{part}", h, h)
    shapes |= _dense(f"{scope}/intermediate/dense", h, f) | _dense(f"{scope}/output/dense", f, h)
    return shapes | _norm(f"{scope}/attention/output/LayerNorm", h) | _norm(f"{scope}/output/LayerNorm", h)


def _bert_heads(config: Config, h: int, transformed: int) -> Shapes:
    return {
        **_dense("cls/predictions/transform/dense", h, transformed),
        **_norm("cls/predictions/transform/LayerNorm", transformed),
        "cls/predictions/output_bias": (config["vocab_size"],),
        "cls/seq_relationship/output_weights": (2, h),
        "cls/seq_relationship/output_bias": (2,),
    }


def _dense(scope: str, inputs: int, outputs: int) -> Shapes:
    return {f"{scope}/kernel": (inputs, outputs), f"{scope}/bias": (outputs,)}


def _norm(scope: str, width: int) -> Shapes:
    return {f"{scope}/gamma": (width,), f"{scope}/beta": (width,)}
