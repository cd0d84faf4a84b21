"""Shows the .h5 files of bert4keras and keras-bert under google-research/bert's names.

Both give names to the layers of a Keras model: Embedding-Token, Transformer-0-FeedForward-Norm. Within a layer,
bert4keras has no names: Keras numbers the matrices in the order in which they are made, which is query, key, value and
output, or the two of the feed-forward part. keras-bert has names for them: Encoder-1-MultiHeadSelfAttention_Wq.

Source: bert4keras/models.py and layers.py; keras_bert/loader.py; keras-multi-head; keras-position-wise-feed-forward.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from export.readers.protocol import Container, OpenedCheckpoint
from export.readers.renamed import RenamedVariable, RenamedVariables, as_stored, transposed
from zoo.errors import Unsupported

_WORD = re.compile(r"(model_weights/)?Embedding-Token/.*embeddings(_\d+)?:0")
_BLOCK = re.compile(r"(?:Transformer|Encoder)-(\d+)-")
_SELF = r"bert/encoder/layer_\1/attention/self"

# layer -> the scopes of its dense layers, in the order in which they are made
_DENSE: Mapping[str, Sequence[str]] = {
    r"Block-(\d+)-MultiHeadSelfAttention": (
        *(f"{_SELF}/{part}" for part in ("query", "key", "value")),
        r"bert/encoder/layer_\1/attention/output/dense",
    ),
    r"Block-(\d+)-FeedForward": (r"bert/encoder/layer_\1/intermediate/dense", r"bert/encoder/layer_\1/output/dense"),
    r"Pooler-Dense|NSP-Dense": ("bert/pooler/dense",),
    r"MLM-Dense": ("cls/predictions/transform/dense",),
}
# layer and leaf -> the name
_ALONE: Mapping[str, Sequence[str]] = {
    r"Embedding-Token embeddings": ("bert/embeddings/word_embeddings",),
    r"Embedding-Position embeddings": ("bert/embeddings/position_embeddings",),
    r"Embedding-Segment embeddings": ("bert/embeddings/token_type_embeddings",),
    r"Embedding-Norm (gamma|beta)": (r"bert/embeddings/LayerNorm/\1",),
    r"Block-(\d+)-MultiHeadSelfAttention-Norm (gamma|beta)": (r"bert/encoder/layer_\1/attention/output/LayerNorm/\2",),
    r"Block-(\d+)-FeedForward-Norm (gamma|beta)": (r"bert/encoder/layer_\1/output/LayerNorm/\2",),
    r"MLM-Norm (gamma|beta)": (r"cls/predictions/transform/LayerNorm/\1",),
    r"MLM-Bias (?:beta|bias)|MLM-Sim bias": ("cls/predictions/output_bias",),
    r"(?:NSP|NSP-Proba) kernel": ("cls/seq_relationship/output_weights",),
    r"(?:NSP|NSP-Proba) bias": ("cls/seq_relationship/output_bias",),
}
# keras-bert's ending of a matrix or bias -> which dense layer of its layer it belongs to, and the leaf
_MARKS: Mapping[str, tuple[int, str]] = {
    letter + mark: (number, leaf)
    for letter, leaf in (("W", "kernel"), ("b", "bias"))
    for number, marks in enumerate(("q1", "k2", "v", "o"))
    for mark in marks
}
_LEAF = re.compile(r"(?:.*/)?([^/]+?)(?:_\d+)?:0")
_OTHER_MODELS = re.compile(
    r"(model_weights/)?(Embedding-Mapping|Transformer-MultiHead\w+|Embedding-Rotary-Position)/.*"
)
_FACTS = (
    "the layers of a Keras model (bert4keras or keras-bert) are shown under google-research/bert's names",
    "layer norms are computed with epsilon 1e-12, as bert4keras did until March 2022; later versions take 1e-7, which "
    "'layer_norm_eps' in the config states",
)


def understood_as_bert4keras(checkpoint: OpenedCheckpoint) -> OpenedCheckpoint:
    """Return a checkpoint of bert4keras or keras-bert under TF1's names. Any other is returned unchanged.

    Raises Unsupported for their ALBERT, ELECTRA and RoFormer.
    """
    h5 = checkpoint.stored
    if not any(_WORD.fullmatch(name) for name in h5.shapes):
        return checkpoint
    if others := [name for name in h5.shapes if _OTHER_MODELS.fullmatch(name)]:
        raise Unsupported(
            f"{checkpoint.path} is a model of bert4keras other than BERT: it holds {others[0]}. Not converted; use the "
            "checkpoint that it was trained from."
        )
    container = RenamedVariables(h5, _renamed(h5))
    return replace(checkpoint, format="tf1", container=container, facts=(*checkpoint.facts, *_FACTS))


def _renamed(h5: Container) -> Iterator[RenamedVariable]:
    layers: dict[str, list[str]] = {}
    for stored in h5.shapes:
        layers.setdefault(stored.removeprefix("model_weights/").partition("/")[0], []).append(stored)
    numbers = [int(match[1]) for layer in layers if (match := _BLOCK.match(layer))]
    for layer, names in layers.items():
        # keras-bert counts blocks from 1
        scoped = _BLOCK.sub(lambda match: f"Block-{int(match[1]) - min(numbers)}-", layer)
        shown = _in_layer(layer, scoped, names)
        for stored in names:
            name = shown.get(stored, stored)
            turned = transposed if name.endswith("/output_weights") else as_stored  # [out, in] in TF1
            yield turned(name, stored, h5.shapes[stored])


def _in_layer(layer: str, scoped: str, names: Sequence[str]) -> dict[str, str]:
    """Return stored name -> TF1's name for the variables of one layer that are known.

    `scoped` is the layer's name in the tables: Block-0-FeedForward for Transformer-0-FeedForward.
    """
    leaves = {name: match[1] for name in names if (match := _LEAF.fullmatch(name))}
    if scopes := _found(_DENSE, scoped):
        dense = sorted({name.split("/")[-2] for name in names}, key=_number)
        places = {
            name: _MARKS.get(leaf.removeprefix(f"{layer}_"), (dense.index(name.split("/")[-2]), leaf))
            for name, leaf in leaves.items()
        }
        return {
            name: f"{scopes[number]}/{leaf}"
            for name, (number, leaf) in places.items()
            if number < len(scopes) and leaf in ("kernel", "bias")
        }
    found = {name: _found(_ALONE, f"{scoped} {leaf}") for name, leaf in leaves.items()}
    return {name: scopes[0] for name, scopes in found.items() if scopes}


def _found(table: Mapping[str, Sequence[str]], key: str) -> list[str]:
    """Return the names that a table has for a key, with the number of the block filled in."""
    for pattern, scopes in table.items():
        if match := re.fullmatch(pattern, key):
            return [match.expand(scope) for scope in scopes]
    return []


def _number(dense: str) -> int:
    """Return the number that Keras gave a dense layer: 0 for "dense", 10 for "dense_10"."""
    match = re.search(r"_(\d+)$", dense)
    return int(match[1]) if match else 0
