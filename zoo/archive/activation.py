"""The activations that cards name."""

from typing import Literal

# "gelu" is the exact one, with erf. transformers' other words for one of these are in export/families/table.py.
Activation = Literal[
    "gelu",
    "gelu_tanh",
    "gelu_10",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "leaky_relu",
    "silu",
    "mish",
    "tanh",
    "sigmoid",
    "laplace",
    "linear",
]
