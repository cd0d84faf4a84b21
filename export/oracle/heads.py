"""The outputs of pre-training heads in plain numpy, float64, from the published names; shares nothing with export/."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from export.oracle.forward import ACTIVATIONS, ReferenceOutputs, meaning, reference_layer_norm, usual
from export.oracle.names import AS_PUBLISHED, Read, Under, Weights

Inputs = Mapping[str, np.ndarray]
Outputs = dict[str, np.ndarray]

# head -> the kernels', norms' and biases' scopes, as TensorFlow files and transformers' files have them
_MLM = (
    ("cls/predictions/transform/dense", "cls/predictions/transform/LayerNorm", "cls/predictions/output_bias"),
    ("generator_predictions/dense", "generator_predictions/LayerNorm", "generator_predictions/output_bias"),
    # The decoder's own bias comes first: where a file has both, transformers 5 adds that one, and transformers 4 wrote
    # the same numbers twice.
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder.bias"),
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    ("predictions.dense", "predictions.LayerNorm", "predictions.decoder.bias"),
    ("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
    ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder.bias"),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    ("mlm/dense", "mlm/norm", "mlm/output/output_bias"),  # in archives, of a head that the TF1 layout does not have
)
_ALWAYS_ERF = ("generator_predictions.dense", "lm_head.dense")  # transformers' code has gelu there, whatever the config
_DECODERS = (
    "cls.predictions.decoder.weight",
    "predictions.decoder.weight",
    "generator_lm_head.weight",
    "lm_head.decoder.weight",
    "vocab_projector.weight",
    "mlm/decoder/rows",
)
_NSP = (
    ("cls/seq_relationship/output_weights", "cls/seq_relationship/output_bias"),
    ("cls.seq_relationship.weight", "cls.seq_relationship.bias"),
    ("sop_classifier.classifier.weight", "sop_classifier.classifier.bias"),
    ("nsp/rows", "nsp/output_bias"),  # in archives, of a head that the TF1 layout does not have
)
_DISCRIMINATOR = (
    ("discriminator_predictions/dense", "discriminator_predictions/dense_1"),
    ("discriminator_predictions.dense", "discriminator_predictions.dense_prediction"),
)


class HeadOracle:
    """Outputs of the heads of one checkpoint, a method a head, from the encoder outputs that `forward` gives.

    `inputs` are those of the archive, by name: `input_mask` (B, T), `masked_lm_positions` (B, M).
    """

    def __init__(
        self,
        read: Read,
        names: Collection[str],
        config: Mapping[str, Any],
        activation: str | None = None,
        family: str = "",
        source: str = "",
        under: Under = AS_PUBLISHED,
    ) -> None:
        self._chosen = activation
        self._ties = source == "huggingface" and config.get("tie_word_embeddings", True)  # as transformers loads them
        self._weights = Weights(read, names, str(config.get("model_type", "")), family, under)
        self._config = usual(config, self._weights)
        self.read, self.names = self._weights.read, self._weights.names
        self._act: Callable[[np.ndarray], np.ndarray]
        self._act = ACTIVATIONS[activation or meaning(self._config["hidden_act"], self._weights, source)]

    def mlm(self, answer: ReferenceOutputs, inputs: Inputs) -> Outputs:
        """Return (B, M, V); by the decoder's own weights where a file stores some that loading does not tie again."""
        positions = inputs["masked_lm_positions"]
        dense, norm, bias = self._found(_MLM, 2)
        x = np.take_along_axis(answer.layers[-1], positions[..., None], axis=1)  # (B, M, H)
        in_archive = dense == "mlm/dense" and any(name.startswith(("electra/", "roberta/")) for name in self.names)
        always = (dense in _ALWAYS_ERF and self._chosen is None) or in_archive
        act = ACTIVATIONS["gelu"] if always else self._act
        if self._chosen is None and "mlm_activation" in self._config:  # archives state it
            act = ACTIVATIONS[self._config["mlm_activation"]]
        x = act(self._dense(x, dense))
        eps = self._config["layer_norm_eps"]
        gamma = self._either(f"{norm}/gamma", f"{norm}.weight", f"{norm}.gamma")
        beta = self._either(f"{norm}/beta", f"{norm}.bias", f"{norm}.beta")
        x = reference_layer_norm(x, gamma, beta, eps)
        if self._weights.has("word 2"):
            x = x @ self._weights.table("word 2").T.astype(np.float64)
        stored = next((name for name in _DECODERS if name in self.names and not self._ties), None)
        table = self.read(stored) if stored else self._weights.table("word")
        return {"mlm_logits": x @ table.T.astype(np.float64) + self.read(bias)}

    def nsp(self, answer: ReferenceOutputs, inputs: Inputs) -> Outputs:
        """Return (B, 2)."""
        rows, bias = self._found(_NSP, 0)
        return {"nsp_logits": answer.pooled @ self.read(rows).T.astype(np.float64) + self.read(bias)}

    def discriminator(self, answer: ReferenceOutputs, inputs: Inputs) -> Outputs:
        """Return (B, T), zero where the mask is 0."""
        for dense, output in _DISCRIMINATOR:
            if {f"{dense}/kernel", f"{dense}.weight"} & self.names:
                logits = self._dense(self._act(self._dense(answer.layers[-1], dense)), output)[..., 0]
                return {"discriminator_logits": logits * (inputs["input_mask"] != 0)}
        raise KeyError("discriminator_predictions")

    def _dense(self, x: np.ndarray, scope: str) -> np.ndarray:
        if f"{scope}/kernel" in self.names:
            return x @ self.read(f"{scope}/kernel").astype(np.float64) + self.read(f"{scope}/bias")
        return x @ self.read(f"{scope}.weight").T.astype(np.float64) + self.read(f"{scope}.bias")

    def _either(self, *names: str) -> np.ndarray:
        return self.read(self._found([(name,) for name in names], 0)[0]).astype(np.float64)

    def _found(self, spellings: Sequence[tuple[str, ...]], which: int) -> tuple[str, ...]:
        """Return the spelling whose name number `which` is one of the checkpoint's. KeyError lists them all."""
        found = next((names for names in spellings if names[which] in self.names), None)
        if found is None:
            raise KeyError(f"no variable {' or '.join(names[which] for names in spellings)}")
        return found
