"""The masked-language-model head: which token stands at a masked position.

B batch, T tokens, M masked positions, H hidden, E embedding, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.families.table import dotted
from export.heads.table import Arrays, Head, Tensors
from export.oracle.forward import Case
from export.oracle.heads import HeadOracle
from zoo.contract import MASKED_POSITIONS, MLM_LOGITS, SEQUENCE_OUTPUT

if TYPE_CHECKING:
    from export.encoder.encoder import Encoder

_DECODER = "mlm/decoder/rows"

_TF1 = {
    "mlm/dense": "cls/predictions/transform/dense",
    "mlm/norm": "cls/predictions/transform/LayerNorm",
    "mlm/output": "cls/predictions",
}
_GENERATOR = {
    "mlm/dense": "generator_predictions/dense",
    "mlm/norm": "generator_predictions/LayerNorm",
    "mlm/output": "generator_predictions",
}
_HUGGING_FACE = {**dotted(_TF1), "mlm/decoder": "cls.predictions.decoder"}


def _logits(encoder: Encoder, outputs: Tensors, inputs: Tensors) -> Tensors:
    """Return [B, M, V]: the logits of every token, by the word table, tied (Devlin et al. 2018, 3.1)."""
    import tensorflow as tf

    config, positions = encoder.config, inputs[MASKED_POSITIONS]
    x = outputs[SEQUENCE_OUTPUT]  # (B, T, H)
    t = tf.shape(x)[1]
    b, m = tf.unstack(tf.shape(positions))  # not of x: TensorFlow would find what contradicts it before the check does
    inside = tf.reduce_all(tf.logical_and(positions >= 0, positions < t))
    holds = tf.logical_and(inside, tf.equal(b, tf.shape(x)[0]))
    message = (
        "masked_lm_positions must lie within the row, and be given for every row. The shapes of input_word_ids and "
        "masked_lm_positions here:"
    )
    shapes = [tf.shape(x)[:2], tf.shape(positions)]
    with tf.control_dependencies([tf.debugging.Assert(holds, [message, *shapes])]):
        positions = tf.identity(positions)
    flat = tf.reshape(positions + tf.expand_dims(tf.range(b) * t, 1), [-1])
    x = tf.gather(tf.reshape(x, [-1, config.hidden_size]), flat)  # (B * M, H)
    return {MLM_LOGITS: tf.reshape(masked_logits(encoder, x), [b, m, config.vocab_size])}


def masked_logits(encoder: Encoder, x: Any) -> Any:
    """Return the logits [N, V] of the encoder's outputs [N, H]."""
    import tensorflow as tf

    config = encoder.config
    x = encoder.forms.activate(config.mlm_activation or config.activation, encoder.dense(x, "mlm/dense"))
    x = encoder.norm(x, "mlm/norm")
    if config.projection == "word":
        x = tf.matmul(x, encoder.weight("embeddings/word_projection/table"), transpose_b=True)  # (B * M, E)
    table = _DECODER if _DECODER in encoder.weights else "embeddings/word/table"
    x = tf.matmul(x, encoder.weight(table), transpose_b=True)
    return tf.nn.bias_add(x, encoder.weights["mlm/output/output_bias"])


def _golden_inputs(case: Case) -> Arrays:
    """One position a row: the logits of a position are as many as the vocabulary has tokens."""
    return {MASKED_POSITIONS: np.full((len(case.ids), 1), min(1, case.ids.shape[1] - 1), np.int32)}


MLM = Head(
    name="mlm",
    title="masked-language-model head",
    variables={
        "mlm/dense/kernel": ("hidden_size", "normed_size"),
        "mlm/dense/bias": ("normed_size",),
        "mlm/norm/gamma": ("normed_size",),
        "mlm/norm/beta": ("normed_size",),
        "mlm/output/output_bias": ("vocab_size",),
    },
    tied={_DECODER: ("vocab_size", "embedding_size")},
    scopes={
        ("bert", "tf1"): _TF1,
        ("bert", "tf2"): _TF1,
        ("bert", "huggingface"): _HUGGING_FACE,
        ("bert", "uer"): _HUGGING_FACE,
        ("albert", "tf1"): _TF1,
        ("albert", "huggingface"): {
            "mlm/dense": "predictions.dense",
            "mlm/norm": "predictions.LayerNorm",
            "mlm/output": "predictions",
            "mlm/decoder": "predictions.decoder",
        },
        ("albert_brightmart", "tf1"): _TF1,
        ("electra", "huggingface"): {  # the generator is a model of its own there
            **dotted(_GENERATOR),
            "mlm/output": "generator_lm_head",
            "mlm/decoder": "generator_lm_head",
        },
        ("electra_generator", "tf1"): _GENERATOR,
        ("ernie", "huggingface"): _HUGGING_FACE,
        ("roberta", "huggingface"): {
            "mlm/dense": "lm_head.dense",
            "mlm/norm": "lm_head.layer_norm",
            "mlm/output": "lm_head",
            "mlm/decoder": "lm_head.decoder",
        },
        ("roformer", "huggingface"): _HUGGING_FACE,
        ("nezha", "huggingface"): _HUGGING_FACE,
        ("distilbert", "huggingface"): {
            "mlm/dense": "vocab_transform",
            "mlm/norm": "vocab_layer_norm",
            "mlm/output": "vocab_projector",
            "mlm/decoder": "vocab_projector",
        },
    },
    compute=_logits,
    golden_inputs=_golden_inputs,
    oracle=HeadOracle.mlm,
)
