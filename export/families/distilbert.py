"""DistilBERT: BERT with names of its own, without token types and without a pooler."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from export.families.bert import HUGGING_FACE as BERT_HUGGING_FACE, SCOPES as BERT_SCOPES, TF1 as BERT_TF1
from export.families.table import ERF_IN_TRANSFORMERS, Family, Fold, Settings
from export.readers.protocol import Shape

_BLOCK = "distilbert.transformer.layer.{i}"

HUGGING_FACE = replace(
    BERT_HUGGING_FACE,
    family="distilbert",
    prefix="distilbert.",
    scopes={
        "embeddings": "distilbert.embeddings",
        "embeddings/word": "distilbert.embeddings.word_embeddings",
        "embeddings/position": "distilbert.embeddings.position_embeddings",
        "embeddings/type": "distilbert.embeddings.token_type_embeddings",  # shown, and not stored
        "embeddings/norm": "distilbert.embeddings.LayerNorm",
        "block": _BLOCK,
        "block/attention/query": f"{_BLOCK}.attention.q_lin",
        "block/attention/key": f"{_BLOCK}.attention.k_lin",
        "block/attention/value": f"{_BLOCK}.attention.v_lin",
        "block/attention/output": f"{_BLOCK}.attention.out_lin",
        "block/attention/norm": f"{_BLOCK}.sa_layer_norm",
        "block/ffn/expand": f"{_BLOCK}.ffn.lin1",
        "block/ffn/contract": f"{_BLOCK}.ffn.lin2",
        "block/ffn/norm": f"{_BLOCK}.output_layer_norm",
    },
    left_out={r"(pre_classifier|classifier|qa_outputs)\..*": "head of a fine-tuned task"},
)


def _zeros(read: Callable[[str], np.ndarray], shape: Shape, raw: Settings) -> np.ndarray:
    return np.zeros(shape, np.float32)


NO_TYPES = Fold(
    "embeddings/type",
    rows=lambda n, raw: 2,
    values=_zeros,
    note="the model has no token types: the table of two types is zero, and type ids change nothing",
)

DISTILBERT = Family(
    name="distilbert",
    layouts=(HUGGING_FACE,),
    names=replace(
        BERT_TF1,
        family="distilbert",
        prefix="distilbert/",
        scopes={
            module: scope.replace("bert/", "distilbert/") for module, scope in BERT_SCOPES.items() if module != "pooler"
        },
    ),
    model_types=("distilbert",),
    activations={"huggingface": ERF_IN_TRANSFORMERS},
    poolers=("first_token",),
    refused={"layer_norm_eps": (1e-12,)},  # written into the class; a config cannot change it
    config_words={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
    },
    folds=(NO_TYPES,),
)
