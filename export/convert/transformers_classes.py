"""The class of transformers that each family becomes. A class computes exactly what an archive of the family does.

An archive's tables are folded, so a RoBERTa is a BERT by now: its positions begin at row 0. Rows here say which names,
settings and heads the files of a class have, and how our variables become those of the class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from export.families.albert import ALBERT
from export.families.bert import BERT
from export.families.bert_generation import BERT_GENERATION
from export.families.distilbert import DISTILBERT
from export.families.electra import ELECTRA
from export.families.ernie import ERNIE
from export.families.nezha import NEZHA
from export.families.roformer import ROFORMER
from export.families.table import Family, Settings
from export.weights.config import EncoderConfig
from zoo.errors import Unsupported, VerificationFailed

Arrays: TypeAlias = dict[str, np.ndarray]  # by our names, such as "block_0/attention/query/kernel"
HeadOutputs: TypeAlias = Mapping[str, str]  # our head -> the field of a class's outputs that has the head's logits


@dataclass(frozen=True)
class TransformersClass:
    """The class that a family becomes.

    `family` has the names of its variables, which stand in files under `prefix`, the names of a bare encoder under "".
    `heads` are its classes with heads, "ForMaskedLM", those with most heads first. `settings` are the sizes in its
    config.json, by BERT's keys. `weights` turns our variables, each query, key, value, bias and norm apart, into those
    of the class; `scopes` are places of variables that only transformers stores. `pools` says that the class computes a
    pooler, `takes_types` that it takes token types, `has_tasks` that transformers has classes of its name for the tasks
    of text archives, such as "ForQuestionAnswering"; `dropout` is the key for that before a head. The report of a
    conversion states `note`.
    """

    family: Family
    model_type: str
    model: str  # the class without heads
    heads: Mapping[str, HeadOutputs]
    settings: Callable[[EncoderConfig], Settings] = lambda config: _usual(config)
    prefix: str | None = None  # None: that of the family's names
    weights: Callable[[Arrays, EncoderConfig], Arrays] = lambda arrays, config: arrays
    scopes: Mapping[str, str] = field(default_factory=dict)
    pools: bool = True
    takes_types: bool = True
    has_tasks: bool = True
    dropout: str = "classifier_dropout"
    note: str | None = None

    def named(self, suffix: str) -> str:
        """Return the name of one of the classes with heads: "BertForMaskedLM"."""
        return self.model.removesuffix("Model") + suffix


# -- config.json ------------------------------------------------------------------------------------------------------


def _usual(config: EncoderConfig) -> Settings:
    return {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.position_limit,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.layer_norm_epsilon,
        "hidden_dropout_prob": config.hidden_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
    }


def _projected(config: EncoderConfig) -> Settings:
    return {**_usual(config), "embedding_size": config.normed_size}


def _of_albert(config: EncoderConfig) -> Settings:
    """Raises Unsupported where AlbertModel, which divides twice, would take another block: 14 groups in 18 layers."""
    layers, blocks = config.layers, config.blocks
    if tuple(int(layer / (layers / blocks)) for layer in range(layers)) != config.block_of_layer:
        raise Unsupported(
            f"AlbertModel shares {blocks} blocks among {layers} layers in another order than the archive. Convert it "
            "with --to onnx, or cut it to other layers first."
        )
    return {**_projected(config), "num_hidden_groups": blocks}


def _of_roformer(config: EncoderConfig) -> Settings:
    return {**_projected(config), "rotary_value": config.positions == "rotary_values"}


def _without(*keys: str) -> Callable[[EncoderConfig], Settings]:
    """Return the usual settings without those that a class does not have."""
    return lambda config: {key: value for key, value in _usual(config).items() if key not in keys}


# -- weights ----------------------------------------------------------------------------------------------------------


def _with_projection(arrays: Arrays, config: EncoderConfig) -> Arrays:
    """AlbertModel always projects: where the archive does not, by the identity matrix, which changes no number."""
    if config.projects:
        return arrays
    h = config.hidden_size
    same = {"kernel": np.eye(h, dtype=np.float32), "bias": np.zeros(h, np.float32)}
    return arrays | {f"embeddings/projection/{leaf}": value for leaf, value in same.items()}


def _with_whole_words(arrays: Arrays, config: EncoderConfig) -> Arrays:
    """Multiply the word table by its projection: AlbertModel knows no projection before the norm."""
    word, projection = (arrays.pop(f"embeddings/{table}/table") for table in ("word", "word_projection"))
    product = (word.astype(np.float64) @ projection.astype(np.float64)).astype(np.float32)
    return _with_projection(arrays | {"embeddings/word/table": product}, config)


def _without_types(arrays: Arrays, config: EncoderConfig) -> Arrays:
    if arrays.pop("embeddings/type/table").any():
        raise VerificationFailed("the archive has token types, and its class in transformers has none.")
    return arrays


def _with_sinusoids(arrays: Arrays, config: EncoderConfig) -> Arrays:
    """RoFormerModel stores sines, in the left half, and cosines; versions of transformers do not all make them."""
    width = config.hidden_size // config.heads
    speeds = 10000.0 ** (-2 * np.arange(width // 2) / width)
    angles = np.arange(config.position_limit)[:, None] * speeds
    return arrays | {"sinusoids/table": np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)}


# -- the classes ------------------------------------------------------------------------------------------------------

_BERT_HEADS: Mapping[str, HeadOutputs] = {
    "ForPreTraining": {"mlm": "prediction_logits", "nsp": "seq_relationship_logits"},
    "ForMaskedLM": {"mlm": "logits"},
    "ForNextSentencePrediction": {"nsp": "logits"},
}
_MASKED: Mapping[str, HeadOutputs] = {"ForMaskedLM": {"mlm": "logits"}}

_BERT = TransformersClass(BERT, "bert", "BertModel", _BERT_HEADS)
_ALBERT = TransformersClass(
    ALBERT,
    "albert",
    "AlbertModel",
    {"ForPreTraining": {"mlm": "prediction_logits", "nsp": "sop_logits"}, **_MASKED},
    settings=_of_albert,
    weights=_with_projection,
    dropout="classifier_dropout_prob",
)
_ELECTRA = TransformersClass(
    ELECTRA,
    "electra",
    "ElectraModel",
    {"ForPreTraining": {"discriminator": "logits"}, **_MASKED},
    settings=_projected,
    pools=False,
)

# name of a family -> the class
CLASSES: Mapping[str, TransformersClass] = {
    "bert": _BERT,
    "albert": _ALBERT,
    "albert_brightmart": replace(
        _ALBERT,
        weights=_with_whole_words,
        note="written as AlbertModel, which cannot factorise the word table alone: the word table is multiplied by its "
        "projection, so the file is larger than the archive, and differences of rounding remain",
    ),
    "electra": _ELECTRA,
    "electra_generator": _ELECTRA,
    "ernie": TransformersClass(ERNIE, "ernie", "ErnieModel", _BERT_HEADS),
    "roberta": replace(
        _BERT,
        note="written as BertModel: the archive counts a token's position from 0, as BERT does, and RobertaModel from "
        "behind the padding id",
    ),
    "distilbert": TransformersClass(
        DISTILBERT,
        "distilbert",
        "DistilBertModel",
        _MASKED,
        settings=_without("type_vocab_size", "layer_norm_eps"),
        dropout="seq_classif_dropout",
        weights=_without_types,
        pools=False,
        takes_types=False,
    ),
    "bert_generation": TransformersClass(
        BERT_GENERATION,
        "bert-generation",
        "BertGenerationEncoder",
        {},
        settings=_without("type_vocab_size"),
        has_tasks=False,
        prefix="",
        weights=_without_types,
        pools=False,
        takes_types=False,
    ),
    "roformer": TransformersClass(
        ROFORMER,
        "roformer",
        "RoFormerModel",
        _MASKED,
        settings=_of_roformer,
        weights=_with_sinusoids,
        scopes={"sinusoids": "roformer.encoder.embed_positions"},
        pools=False,
    ),
    "nezha": TransformersClass(
        NEZHA,
        "nezha",
        "NezhaModel",
        _BERT_HEADS,
        note="NezhaModel is in transformers 4, and no longer in 5",
    ),
}
