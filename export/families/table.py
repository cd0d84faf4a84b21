"""What a family's table may say. The tables are in the files beside this one, a family each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from export.readers.protocol import Format
from zoo.card import Activation


@dataclass(frozen=True)
class Layout:
    """The family's names in one checkpoint format.

    `scopes` maps our module to its scope there, `{i}` being the number of a block; a file of the bare model may lack
    `prefix`. `left_out` maps a pattern for whole names to the reason why such a variable is not exported.
    """

    format: Format
    prefix: str
    scopes: Mapping[str, str]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """One architecture: its names per format and the facts that no name or shape tells."""

    name: str
    layouts: tuple[Layout, ...]
    activations: Mapping[Format, Mapping[str, tuple[Activation, str]]]  # the config's word -> what it means, why
    pooler: Literal["dense", "first_token"]
    heads: Mapping[str, str]  # head -> pattern of the reasons in `left_out` that speak of it
    blocks: Callable[[Mapping[str, Any]], int] = lambda raw: int(raw["num_hidden_layers"])
    embedding_size: Callable[[Mapping[str, Any]], int] = lambda raw: int(raw["hidden_size"])
