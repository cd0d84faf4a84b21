"""Pre-training heads: which a checkpoint has, and what each computes from an encoder's outputs.

B batch, T tokens, M masked positions, H hidden, E embedding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from export.encoder.activations import activate
from export.encoder.encoder import Encoder
from export.families.table import Family, Layout
from export.readers.protocol import Checkpoint, Shape
from export.weights.config import EncoderConfig
from export.weights.head_state import read_head_state
from export.weights.naming import DECODER, head_decoder, head_names
from export.weights.plan import WeightPlan, make_plan
from zoo.archive.card import HeadState
from zoo.contract import POOLED_OUTPUT, SEQUENCE_OUTPUT
from zoo.errors import BadConfig

_VARIABLES = {"mlm": 5, "nsp": 2, "discriminator": 4}  # that a whole head has


def head_states(checkpoint: Checkpoint, layout: Layout) -> dict[str, HeadState]:
    """Return for every head of a family whether the checkpoint has it and whether its weights look trained.

    head_states(checkpoint, layout)  # {"mlm": "trained", "nsp": "absent"}
    """
    states: dict[str, HeadState] = {}
    for head, names in head_names(checkpoint.shapes, layout).items():
        state = read_head_state(names, checkpoint)
        states[head] = "unknown" if names and len(names) < _VARIABLES[head] else state  # a part of a head says nothing
    return states


def chosen_heads(
    states: Mapping[str, HeadState], asked: Sequence[str] | None, config: EncoderConfig
) -> tuple[str, ...]:
    """Return the heads to export: those asked for, else every one that is trained and still fits the encoder.

    Heads read the last layer of the whole model, so a truncated one gets none unless they are asked for. Raises
    BadConfig when a head is asked for that the checkpoint does not have or the encoder cannot feed.
    """
    without_pooler = config.pooler == "first_token" and "nsp" in states
    if asked is None:
        if config.truncated_from is not None:
            return ()
        return tuple(
            head for head, state in states.items() if state == "trained" and not (head == "nsp" and without_pooler)
        )
    for head in asked:
        if states.get(head, "absent") == "absent":
            present = ", ".join(head for head, state in states.items() if state != "absent") or "none"
            raise BadConfig(f"this checkpoint has no head {head!r}; it has: {present}.")
        if head == "nsp" and without_pooler:
            raise BadConfig("head 'nsp' reads the pooler's output; it cannot go with --pooler first_token.")
    return tuple(dict.fromkeys(asked))


def plan_with_heads(
    checkpoint: Checkpoint, config: EncoderConfig, family: Family, layout: Layout, heads: Sequence[str]
) -> WeightPlan:
    """Return the weight plan of an encoder and these heads."""
    shapes = {name: shape for head in heads for name, shape in head_shapes(head, config).items()}
    if "mlm" in heads and has_own_decoder(checkpoint, layout):
        shapes[f"{DECODER}/rows"] = (config.vocab_size, config.embedding_size)
    return make_plan(checkpoint.shapes, config, family, layout, shapes)


def has_own_decoder(checkpoint: Checkpoint, layout: Layout) -> bool:
    """Return whether the masked-language-model head's decoder is another matrix than the word table.

    Files of transformers hold a copy of the table, which it ties again when it loads them, unless the config says
    'tie_word_embeddings': false. UER computes with the decoder that it stored.
    """
    stored = head_decoder(checkpoint.shapes, layout)
    if stored is None or (layout.format != "uer" and checkpoint.config.get("tie_word_embeddings", True)):
        return False
    decoder, word = stored
    return not np.array_equal(checkpoint.read(decoder), checkpoint.read(word))


def head_shapes(head: str, config: EncoderConfig) -> dict[str, Shape]:
    """Return the variables of a head and their shapes, in our orientation."""
    h, v = config.hidden_size, config.vocab_size
    width = config.embedding_size if config.projection == "after_norm" else h
    return {
        "mlm": {
            "mlm/dense/kernel": (h, width),
            "mlm/dense/bias": (width,),
            "mlm/norm/gamma": (width,),
            "mlm/norm/beta": (width,),
            "mlm/output/output_bias": (v,),
        },
        "nsp": {"nsp/rows": (2, h), "nsp/output_bias": (2,)},
        "discriminator": {
            "discriminator/dense/kernel": (h, h),
            "discriminator/dense/bias": (h,),
            "discriminator/output/kernel": (h, 1),
            "discriminator/output/bias": (1,),
        },
    }[head]


def mlm_logits(encoder: Encoder, outputs: Mapping[str, tf.Tensor], positions: tf.Tensor) -> tf.Tensor:
    """Return [B, M, V]: what stands at the masked positions, by the word table, tied (Devlin et al. 2018, 3.1)."""
    config = encoder.config
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
    x = encoder.norm(activate(config.activation, encoder.dense(x, "mlm/dense")), "mlm/norm")
    if config.projection == "word":
        x = tf.matmul(x, encoder.weight("embeddings/word_projection/table"), transpose_b=True)  # (B * M, E)
    decoder = f"{DECODER}/rows"
    table = decoder if decoder in encoder.weights else "embeddings/word/table"
    x = tf.matmul(x, encoder.weight(table), transpose_b=True)
    x = tf.nn.bias_add(x, encoder.weights["mlm/output/output_bias"])
    return tf.reshape(x, [b, m, config.vocab_size])


def nsp_logits(encoder: Encoder, outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return [B, 2]: whether the second segment follows the first (BERT) or both are in order (ALBERT)."""
    x = tf.matmul(outputs[POOLED_OUTPUT], encoder.weight("nsp/rows"), transpose_b=True)
    return tf.nn.bias_add(x, encoder.weights["nsp/output_bias"])


def discriminator_logits(encoder: Encoder, outputs: Mapping[str, tf.Tensor], mask: tf.Tensor) -> tf.Tensor:
    """Return [B, T]: above zero where the token looks replaced (Clark et al. 2020); zero where the mask is 0."""
    x = outputs[SEQUENCE_OUTPUT]
    b, t = tf.shape(x)[0], tf.shape(x)[1]
    x = tf.reshape(x, [-1, encoder.config.hidden_size])
    x = activate(encoder.config.activation, encoder.dense(x, "discriminator/dense"))
    x = tf.reshape(encoder.dense(x, "discriminator/output"), [b, t])
    return x * tf.cast(tf.not_equal(mask, 0), x.dtype)
