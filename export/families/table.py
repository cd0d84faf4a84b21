"""The fields of a family's table. The tables themselves are in the other files of this folder, one family a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from export.readers.protocol import Format
from zoo.archive.card import Activation, Pooler

Projection = Literal["none", "after_norm", "word"]


@dataclass(frozen=True)
class Layout:
    """The family's names in one checkpoint format. Where its heads lie is said in export/heads/, by family and format.

    `scopes` maps our module to its scope there, `{i}` being the number of a block. The endings behind a scope, such as
    "/kernel", are in `LEAVES` in export/weights/naming.py, for all families of a format. A file of the bare model may
    lack `prefix`. "embeddings" and "block" are the scopes that all their modules share. `left_out` maps a pattern for
    whole names to the reason why such a variable is not exported.
    """

    family: str
    format: Format
    prefix: str
    scopes: Mapping[str, str]
    left_out: Mapping[str, str]


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


ERF_IN_TRANSFORMERS: Mapping[str, tuple[Activation, str]] = {
    "gelu": ("gelu", "transformers computes 'gelu' with erf"),
    "gelu_new": ("gelu_tanh", "transformers computes 'gelu_new' with tanh"),
    "gelu_pytorch_tanh": ("gelu_tanh", "the config says so"),
    "relu": ("relu", "the config says so"),
}


def dotted(scopes: Mapping[str, str]) -> dict[str, str]:
    """Return TF1 scopes as transformers writes those of BERT and ELECTRA."""
    return {module: scope.replace("layer_{i}", "layer.{i}").replace("/", ".") for module, scope in scopes.items()}
