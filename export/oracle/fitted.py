"""Answers of a model that was fitted in Keras, in numpy: `TextOracle` with the steps that Keras has behind the encoder.

Nothing beside the archive says what these steps are, so they are given. That they are the model's is shown by the model
itself: its own answers are compared with the archive's, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.oracle.forward import ACTIVATIONS, ReferenceOutputs
from export.oracle.texts import Answers, TextOracle

_TINY = 1e-12


@dataclass(frozen=True)
class Layer:
    """y = activation(x · kernel + bias), of an x that first gets the length 1 if `unit_inputs`."""

    kernel: np.ndarray
    bias: np.ndarray | float
    activation: str
    unit_inputs: bool


@dataclass(frozen=True)
class Steps:
    """What stands behind an encoder. `scores` is the last step: "softmax", "sigmoid" or "identity"."""

    layers: Sequence[Layer]
    normalize: bool
    scores: str
    prompt: str = ""
    lower_case: bool = False


class FittedOracle(TextOracle):
    """FittedOracle(steps, tokenizer, forward_pass, …).answers([("你好",)])[0]["scores"]  # (C,)"""

    def __init__(self, steps: Steps, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.steps = steps

    def _vector(self, outputs: ReferenceOutputs) -> Answers:
        return {"vector": self._computed(outputs)}

    def _logits(self, outputs: ReferenceOutputs) -> np.ndarray:
        return self._computed(outputs)

    def _last_layer(self, x: np.ndarray) -> np.ndarray:
        """Return the logits (T, C) of all tokens of a text."""
        return self._behind(x)

    def _computed(self, outputs: ReferenceOutputs) -> np.ndarray:
        return self._behind(self._pooled(outputs))

    def _behind(self, x: np.ndarray) -> np.ndarray:
        for layer in self.steps.layers:
            x = _unit(x) if layer.unit_inputs else x
            x = ACTIVATIONS[layer.activation](x @ layer.kernel.astype(np.float64) + layer.bias)
        return _unit(x) if self.steps.normalize else x

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        if self.steps.scores == "sigmoid":
            return 1 / (1 + np.exp(-logits))
        powers = np.exp(logits - logits.max())
        return powers / powers.sum() if self.steps.scores == "softmax" else logits

    def _prompt(self) -> str:
        return self.steps.prompt

    def _lowered(self, text: str) -> str:
        return text.lower() if self.steps.lower_case else text


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.sqrt(np.sum(x * x, -1, keepdims=True)), _TINY)
