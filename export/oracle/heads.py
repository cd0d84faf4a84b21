"""The outputs of pre-training heads in plain numpy, float64, from the published names; shares nothing with export/."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from export.oracle.forward import ACTIVATIONS, ReferenceOutputs, meaning, reference_layer_norm
from export.oracle.names import Read, Weights

# head -> the kernels', norms' and biases' scopes, as TensorFlow files and transformers' files have them
_MLM = (
    ("cls/predictions/transform/dense", "cls/predictions/transform/LayerNorm", "cls/predictions/output_bias"),
    ("generator_predictions/dense", "generator_predictions/LayerNorm", "generator_predictions/output_bias"),
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    ("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
    ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
)
_DECODERS = ("cls.predictions.decoder.weight", "predictions.decoder.weight", "generator_lm_head.weight")
_NSP = (
    ("cls/seq_relationship/output_weights", "cls/seq_relationship/output_bias"),
    ("cls.seq_relationship.weight", "cls.seq_relationship.bias"),
    ("sop_classifier.classifier.weight", "sop_classifier.classifier.bias"),
)
_DISCRIMINATOR = (
    ("discriminator_predictions/dense", "discriminator_predictions/dense_1"),
    ("discriminator_predictions.dense", "discriminator_predictions.dense_prediction"),
)


class HeadOracle:
    """Logits of the heads of one checkpoint, from the encoder outputs that `forward` gives."""

    def __init__(
        self,
        read: Read,
        names: Collection[str],
        config: Mapping[str, Any],
        activation: str | None = None,
        family: str = "",
        source: str = "",
    ) -> None:
        self._read, self._names, self._config = read, set(names), config
        self._weights = Weights(read, names, str(config.get("model_type", "")), family)
        self._act: Callable[[np.ndarray], np.ndarray]
        self._act = ACTIVATIONS[activation or meaning(config["hidden_act"], self._weights, source)]

    def mlm(self, answer: ReferenceOutputs, positions: np.ndarray) -> np.ndarray:
        """Return (B, M, V) at `positions` (B, M); by the decoder's own weights where a file stores them."""
        dense, norm, bias = next(names for names in _MLM if names[2] in self._names)
        x = np.take_along_axis(answer.layers[-1], positions[..., None], axis=1)  # (B, M, H)
        x = self._act(self._dense(x, dense))
        eps = self._config.get("layer_norm_eps", 1e-12)
        gamma = self._either(f"{norm}/gamma", f"{norm}.weight", f"{norm}.gamma")
        beta = self._either(f"{norm}/beta", f"{norm}.bias", f"{norm}.beta")
        x = reference_layer_norm(x, gamma, beta, eps)
        if self._weights.has("word 2"):
            x = x @ self._weights.table("word 2").T.astype(np.float64)
        stored = next((name for name in _DECODERS if name in self._names), None)
        table = self._read(stored) if stored else self._weights.table("word")
        return x @ table.T.astype(np.float64) + self._read(bias)

    def nsp(self, answer: ReferenceOutputs) -> np.ndarray:
        """Return (B, 2)."""
        rows, bias = next(names for names in _NSP if names[0] in self._names)
        return answer.pooled @ self._read(rows).T.astype(np.float64) + self._read(bias)

    def discriminator(self, answer: ReferenceOutputs) -> np.ndarray:
        """Return (B, T)."""
        for dense, output in _DISCRIMINATOR:
            if {f"{dense}/kernel", f"{dense}.weight"} & self._names:
                return self._dense(self._act(self._dense(answer.layers[-1], dense)), output)[..., 0]
        raise KeyError("discriminator_predictions")

    def _dense(self, x: np.ndarray, scope: str) -> np.ndarray:
        if f"{scope}/kernel" in self._names:
            return x @ self._read(f"{scope}/kernel").astype(np.float64) + self._read(f"{scope}/bias")
        return x @ self._read(f"{scope}.weight").T.astype(np.float64) + self._read(f"{scope}.bias")

    def _either(self, *names: str) -> np.ndarray:
        return self._read(next(name for name in names if name in self._names)).astype(np.float64)
