"""The fields of a family's table. The tables themselves are in the other files of this folder, one family a file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from export.readers.protocol import Format, Shape
from zoo.archive.activation import Activation
from zoo.archive.card import Pooler, Positions

Projection = Literal["none", "after_norm", "word"]
Settings: TypeAlias = Mapping[str, Any]  # of a config file
Words: TypeAlias = Mapping[str, tuple[Activation, str]]  # the config's word -> what it means, why


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
    # A masked-LM head keeps its bias twice. Where the two differ, transformers 5 wrote them and adds the decoder's.
    "output_bias": Leaf((".decoder.bias", ".bias")),
}


def joined(scope: str, ending: str) -> str:
    """Return a scope and an ending as one name. At the root, or directly behind a prefix, no separator is added.

    joined("bert/pooler/dense", "/kernel")  # "bert/pooler/dense/kernel"
    joined("", "/output_weights")  # "output_weights"
    """
    return scope + (ending if scope and scope[-1] not in "/." else ending[1:])


@dataclass(frozen=True)
class Layout:
    """The family's names in one checkpoint format. The tables of its heads are in export/heads/.

    `scopes` maps our module to its scope there, `{i}` being the number of a block; `leaves` are the endings behind a
    scope. "embeddings" and "block" are the scopes that all their modules share. `prefix` is the part of the scopes that
    a person's own model may replace: "bert." becomes "module.bert." or nothing, see export/families/scope.py. Scopes
    without the prefix lie beside the encoder, under one of `beside`. `left_out` maps a pattern for whole names to the
    reason why such a variable is not exported. `own_decoder` says that a stored decoder of the masked-LM head is used,
    not tied to the word table. `is_archive` says that the names are those of this project's archives, whose tables are
    folded already.
    """

    family: str
    format: Format
    prefix: str
    scopes: Mapping[str, str]
    leaves: Leaves
    left_out: Mapping[str, str]
    beside: tuple[str, ...] = ("",)
    own_decoder: bool = False
    is_archive: bool = False

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
class Fold:
    """An embedding table that archives hold in another form than checkpoints do, so that BERT's arithmetic is enough.

        Fold("embeddings/position", rows=lambda n, raw: n - 2, values=lambda read, shape, raw: read("…")[2:], note="…")

    `rows(n, raw)` is the number of rows in the archive, if the checkpoint's table has n (0 if there is no such table)
    and its config is `raw`. `values(read, shape, raw)` is the table, from those of the checkpoint: `read` takes our
    names of modules, which the layout has to have in its scopes. `needs` are modules without which there is no table.
    The card states the note. `applies(raw)` tells whether a checkpoint is folded at all. `raw` has the defaults of the
    family for keys that the config leaves out.
    """

    module: str
    rows: Callable[[int, Settings], int]
    values: Callable[[Callable[[str], np.ndarray], Shape, Settings], np.ndarray]
    note: str
    needs: tuple[str, ...] = ()
    applies: Callable[[Settings], bool] = lambda raw: True


@dataclass(frozen=True)
class Family:
    """One architecture: its names in each format, and the facts that neither names nor shapes tell."""

    name: str
    layouts: tuple[Layout, ...]
    model_types: tuple[str, ...]  # "model_type" in the configs of transformers
    activations: Mapping[Format, Words]
    poolers: tuple[Pooler, ...] = ("dense", "first_token")  # the first is the default
    projection: Projection = "none"  # "after_norm": embeddings at their own width; "word": only the word part
    positions: Callable[[Settings], Positions] = lambda raw: "absolute"  # any other kind has no table of positions
    always_projects: tuple[Format, ...] = ()  # projects after the norm even to the same width
    blocks: Callable[[Mapping[str, Any]], int] = lambda raw: int(raw["num_hidden_layers"])
    refused: Mapping[str, tuple[Any, ...]] | None = None  # config key -> the values that are converted
    on_request: bool = False  # never detected, only named
    later_positions: bool = False  # whether positions begin behind the padding id, at 2 if it is 1
    by_type: bool = False  # has names of another family: detected by prefix, "model_type" or "architectures" alone
    config_words: Mapping[str, str] = field(default_factory=dict)  # the usual key of a config -> this family's key
    defaults: Mapping[Format, Settings] = field(default_factory=dict)  # beside DEFAULTS, for keys a config leaves out
    folds: tuple[Fold, ...] = ()
    mlm_activation: Mapping[Format, Activation] = field(default_factory=dict)  # where it is not the config's
    names: Layout | None = None  # of the variables of archives; None: those of the first layout

    def __post_init__(self) -> None:
        if wrong := [layout.format for layout in self.layouts if layout.family != self.name]:
            raise ValueError(f"layouts of family {self.name!r} are of another family: {', '.join(wrong)}")

    @property
    def canonical(self) -> Layout:
        """The layout that names the variables of archives, whatever they were read from."""
        return self.names or self.layouts[0]

    def settings(self, format: Format, raw: Settings) -> Settings:
        """Return a config with the defaults of the family's class for the keys that it leaves out or sets to None."""
        return {**self.defaults.get(format, {}), **{key: value for key, value in raw.items() if value is not None}}

    def folds_of(self, format: Format, raw: Settings) -> list[Fold]:
        """Return the folds that a checkpoint of a format and a config needs; none where its tables are folded."""
        is_archive = any(layout.is_archive for layout in self.layouts if layout.format == format)
        return [] if is_archive else [fold for fold in self.folds if fold.applies(self.settings(format, raw))]


def read_from_archives(family: Family) -> Family:
    """Return the family with a layout for its own archives: its canonical names, query, key and value joined.

    An archive states the activation that it computes: "gelu_tanh" means gelu_tanh. Its tables are folded already.
    """
    first = family.canonical
    joined = first.scopes["block/attention/query"].rpartition("/")[0] + "/query_key_value"
    scopes = {**first.scopes, "block/attention/query": joined, "block/attention/query_key_value": joined}
    # Biases and norms are joined too, and a head that has no TF1 name has ours.
    leaves = {**TENSORFLOW, "vectors": Leaf(("/bias_and_LayerNorm",)), "rows": Leaf(("/output_weights", "/rows"))}
    archive = replace(first, format="archive", scopes=scopes, leaves=leaves, left_out={})
    archive = replace(archive, own_decoder=True, is_archive=True)
    heads = {family.mlm_activation[each.format] for each in family.layouts if each.format in family.mlm_activation}
    said: Words = {word: (word, "the archive says so") for word in get_args(Activation)}
    return replace(
        family,
        layouts=(*family.layouts, archive),
        activations={**family.activations, "archive": said},
        mlm_activation={**family.mlm_activation, **({"archive": heads.pop()} if heads else {})},
    )


# The value of a key that a config leaves out: the default of the family's class in its code base.
DEFAULTS: Settings = {"hidden_act": "gelu", "layer_norm_eps": 1e-12}

_SAID = "the config says so"
_TANH = "transformers computes {!r} with tanh"
# The words of transformers' ACT2FN that mean the same in every code base that knows them. "gelu" alone does not.
_ONE_MEANING: Words = {
    "gelu_new": ("gelu_tanh", _TANH.format("gelu_new")),
    "gelu_pytorch_tanh": ("gelu_tanh", _SAID),
    "gelu_python_tanh": ("gelu_tanh", _SAID),
    "gelu_fast": ("gelu_tanh", _TANH.format("gelu_fast")),  # its constants are the same numbers in float32
    "gelu_accurate": ("gelu_tanh", _TANH.format("gelu_accurate")),
    "gelu_python": ("gelu", "transformers computes 'gelu_python' with erf"),
    "gelu_10": ("gelu_10", "transformers computes 'gelu_10' with erf and clips it to [-10, 10]"),
    "quick_gelu": ("quick_gelu", _SAID),
    "relu": ("relu", _SAID),
    "relu2": ("relu2", _SAID),
    "relu6": ("relu6", _SAID),
    "leaky_relu": ("leaky_relu", "the config says so; its slope below zero is 0.01"),
    "silu": ("silu", _SAID),
    "swish": ("silu", _SAID),
    "mish": ("mish", _SAID),
    "tanh": ("tanh", _SAID),
    "sigmoid": ("sigmoid", _SAID),
    "laplace": ("laplace", _SAID),
    "linear": ("linear", _SAID),
}


def with_gelu(means: Activation, why: str) -> Words:
    """Return the activations that a family knows, where "gelu" means this one."""
    return {"gelu": (means, why), **_ONE_MEANING}


ERF_IN_TRANSFORMERS = with_gelu("gelu", "transformers computes 'gelu' with erf")


def dotted(scopes: Mapping[str, str]) -> dict[str, str]:
    """Return TF1 scopes as transformers writes those of BERT and ELECTRA."""
    return {module: scope.replace("layer_{i}", "layer.{i}").replace("/", ".") for module, scope in scopes.items()}
