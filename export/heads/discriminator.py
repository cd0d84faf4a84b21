"""ELECTRA's discriminator: which tokens look replaced (Clark et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.heads.table import Head, Tensors
from export.oracle.heads import HeadOracle
from zoo.contract import DISCRIMINATOR_LOGITS, INPUT_MASK, SEQUENCE_OUTPUT

if TYPE_CHECKING:
    from export.encoder.encoder import Encoder


def _logits(encoder: Encoder, outputs: Tensors, inputs: Tensors) -> Tensors:
    """Return [B, T], batch and tokens: above zero where the token looks replaced; zero where the mask is 0."""
    import tensorflow as tf

    from export.encoder.activations import activate

    x = outputs[SEQUENCE_OUTPUT]
    b, t = tf.shape(x)[0], tf.shape(x)[1]
    x = tf.reshape(x, [-1, encoder.config.hidden_size])
    x = activate(encoder.config.activation, encoder.dense(x, "discriminator/dense"))
    x = tf.reshape(encoder.dense(x, "discriminator/output"), [b, t])
    return {DISCRIMINATOR_LOGITS: x * tf.cast(tf.not_equal(inputs[INPUT_MASK], 0), x.dtype)}


DISCRIMINATOR = Head(
    name="discriminator",
    title="discriminator head",
    variables={
        "discriminator/dense/kernel": ("hidden_size", "hidden_size"),
        "discriminator/dense/bias": ("hidden_size",),
        "discriminator/output/kernel": ("hidden_size", 1),
        "discriminator/output/bias": (1,),
    },
    scopes={
        ("electra", "tf1"): {
            "discriminator/dense": "discriminator_predictions/dense",
            "discriminator/output": "discriminator_predictions/dense_1",
        },
        ("electra", "huggingface"): {
            "discriminator/dense": "discriminator_predictions.dense",
            "discriminator/output": "discriminator_predictions.dense_prediction",
        },
    },
    compute=_logits,
    oracle=HeadOracle.discriminator,
)
