"""The fields of a family's table. The tables themselves are in the other files of this folder, one family a file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, get_args

from export.readers.protocol import Format
from zoo.archive.card import Activation, Pooler

Projection = Literal["none", "after_norm", "word"]


class Leaf(NamedTuple):
    """The endings that a kernel, bias, … may have behind its module's scope, and whether it is stored transposed."""

    endings: tuple[str, ...]
    transposed: bool = False


Leaves = Mapping[str, Leaf]  # our leaf -> the checkpoint's

TENSORFLOW: Leaves = {
    "table": Leaf(("",)),
    "kernel": Leaf(("/kernel",)),
    "bias": Leaf(("/bias",)),
    "gamma": Leaf(("/gamma",)),
    "beta": Leaf(("/beta",)),
    "rows": Leaf(("/output_weights",)),  # [out, in] everywhere
    "output_bias": Leaf(("/output_bias",)),
}
PYTORCH: Leaves = {
    "table": Leaf((".weight",)),
    "kernel": Leaf((".weight",), transposed=True),
    "bias": Leaf((".bias",)),
    "gamma": Leaf((".weight", ".gamma")),  # files converted before 2019-11 say gamma and beta
    "beta": Leaf((".bias", ".beta")),
    "rows": Leaf((".weight",)),
    "output_bias": Leaf((".bias",)),
}


def joined(scope: str, ending: str) -> str:
    """Return a scope and an ending as one name. At the root, or directly behind a prefix, no separator is added.

    joined("bert/pooler/dense", "/kernel")  # "bert/pooler/dense/kernel"
    joined("", "/output_weights")  # "output_weights"
    """
    return scope + (ending if scope and scope[-1] not in "/." else ending[1:])


@dataclass(frozen=True)
class Layout:
    """The family's names in one checkpoint format. Where its heads lie is said in export/heads/, by family and format.

    `scopes` maps our module to its scope there, `{i}` being the number of a block; `leaves` are the endings behind a
    scope. "embeddings" and "block" are the scopes that all their modules share. `prefix` is the part of the scopes that
    a person's own model may replace: "bert." becomes "module.bert." or nothing, see export/families/scope.py. Scopes
    without the prefix lie beside the encoder, under one of `beside`. `left_out` maps a pattern for whole names to the
    reason why such a variable is not exported.
    """

    family: str
    format: Format
    prefix: str
    scopes: Mapping[str, str]
    leaves: Leaves
    left_out: Mapping[str, str]
    beside: tuple[str, ...] = ("",)

    @property
    def separator(self) -> str:
        """The character between the parts of a name: "/" or "."."""
        return self.leaves["bias"].endings[0][0]

    def has(self, module: str, names: Collection[str]) -> bool:
        """Return whether a module, or that of block 0, is among a checkpoint's names."""
        return self.holds(self.scopes[module].replace("{i}", "0"), names)

    def holds(self, scope: str, names: Collection[str]) -> bool:
        """Return whether any leaf lies directly in a scope."""
        return any(joined(scope, ending) in names for leaf in self.leaves.values() for ending in leaf.endings)


@dataclass(frozen=True)
class Family:
    """One architecture: its names per format and the facts that no name or shape tells.

    The first layout names the variables of archives, whatever they were read from.
    """

    name: str
    layouts: tuple[Layout, ...]
    model_types: tuple[str, ...]  # "model_type" in the configs of transformers
    activations: Mapping[Format, Mapping[str, tuple[Activation, str]]]  # the config's word -> what it means, why
    poolers: tuple[Pooler, ...] = ("dense", "first_token")  # the first is the default
    projection: Projection = "none"  # "after_norm": embeddings at their own width; "word": only the word part
    blocks: Callable[[Mapping[str, Any]], int] = lambda raw: int(raw["num_hidden_layers"])
    refused: Mapping[str, tuple[Any, ...]] | None = None  # config key -> the values that are converted
    on_request: bool = False  # never detected, only named

    def __post_init__(self) -> None:
        if wrong := [layout.format for layout in self.layouts if layout.family != self.name]:
            raise ValueError(f"layouts of family {self.name!r} are of another family: {', '.join(wrong)}")


def read_from_archives(family: Family) -> Family:
    """Return the family with a layout for its own archives: the names of the first, query, key and value joined.

    An archive states the activation that it computes, so its words mean themselves.
    """
    first = family.layouts[0]
    joined = first.scopes["block/attention/query"].rpartition("/")[0] + "/query_key_value"
    scopes = {**first.scopes, "block/attention/query": joined, "block/attention/query_key_value": joined}
    # Biases and norms are joined too, and a head that has no TF1 name has ours.
    leaves = {**TENSORFLOW, "vectors": Leaf(("/bias_and_LayerNorm",)), "rows": Leaf(("/output_weights", "/rows"))}
    said: Mapping[str, tuple[Activation, str]] = {word: (word, "the archive says so") for word in get_args(Activation)}
    return replace(
        family,
        layouts=(*family.layouts, replace(first, format="archive", scopes=scopes, leaves=leaves, left_out={})),
        activations={**family.activations, "archive": said},
    )


ERF_IN_TRANSFORMERS: Mapping[str, tuple[Activation, str]] = {
    "gelu": ("gelu", "transformers computes 'gelu' with erf"),
    "gelu_new": ("gelu_tanh", "transformers computes 'gelu_new' with tanh"),
    "gelu_pytorch_tanh": ("gelu_tanh", "the config says so"),
    "relu": ("relu", "the config says so"),
}


def dotted(scopes: Mapping[str, str]) -> dict[str, str]:
    """Return TF1 scopes as transformers writes those of BERT and ELECTRA."""
    return {module: scope.replace("layer_{i}", "layer.{i}").replace("/", ".") for module, scope in scopes.items()}
