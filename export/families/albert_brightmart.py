"""ALBERT as brightmart/albert_zh first wrote it: one block `layer_shared`; only the word table is factorised.

The norm comes after the factorised words, positions and types have been added.
"""

from dataclasses import replace

from export.families.albert import ALBERT, TANH_IN_TF1
from export.families.bert import TF1 as BERT_TF1

TF1 = replace(
    BERT_TF1,
    family="albert_brightmart",
    scopes={
        **{module: scope.replace("layer_{i}", "layer_shared") for module, scope in BERT_TF1.scopes.items()},
        "embeddings/word_projection": "bert/embeddings/word_embeddings_2",  # a matrix without bias
    },
)

ALBERT_BRIGHTMART = replace(
    ALBERT,
    name="albert_brightmart",
    layouts=(TF1,),
    model_types=(),
    activations={"tf1": TANH_IN_TF1},
    projection="word",
    blocks=lambda raw: 1,
    refused={"ln_type": ("postln",)},  # pre-LN models have the same names and shapes
)
