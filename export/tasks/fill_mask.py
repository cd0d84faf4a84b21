"""The most likely tokens for each [MASK] in a text, by the head of the pre-training.

B texts, T tokens of the longest, M the most [MASK] of a text, S all of them together, V vocabulary, K best tokens.
Source: FillMaskPipeline in transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.tasks.table import Task
from tokenizer.vocabulary import MASK
from zoo.contract import INPUT_WORD_IDS, MASKED_POSITIONS, MLM_LOGITS, SEQUENCE_OUTPUT

if TYPE_CHECKING:
    import tensorflow as tf

    from export.saved_model.text_model import Inputs, TextModel

_BEST = 5


def _tokens(model: TextModel, text: tf.Tensor, training: bool) -> Mapping[str, Any]:
    """Return ragged `token` and `score`, [B, (M), K], with the highest score first; of equal ones the lower id."""
    import tensorflow as tf

    inputs = model.packed(text)
    is_mask = inputs[INPUT_WORD_IDS] == model.tokens.ids[MASK]
    counts = tf.reduce_sum(tf.cast(is_mask, tf.int32), 1)
    places = tf.RaggedTensor.from_row_lengths(tf.cast(tf.where(is_mask)[:, 1], tf.int32), counts)
    positions = places.to_tensor(0)  # (B, M)
    head = model.encoder.mlm.__call__  # an attribute of the object: Python itself looks for it in the class alone
    outputs = head({**inputs, MASKED_POSITIONS: positions}, training=training)
    logits = tf.boolean_mask(outputs[MLM_LOGITS], tf.sequence_mask(counts, tf.shape(positions)[1]))  # (S, V)
    chances = tf.nn.softmax(logits)
    # Some tables have more rows than the vocabulary has tokens.
    _, ids = tf.math.top_k(logits[:, : model.tokens.size], min(model.task.most_tokens or _BEST, model.tokens.size))
    found = {"token": model.tokens.entries(ids), "score": tf.gather(chances, ids, batch_dims=1)}
    return {name: places.with_values(values) for name, values in found.items()}


def _logits(model: TextModel, inputs: Inputs, training: bool) -> Mapping[str, tf.Tensor]:
    """Return [S, V]: a row for each [MASK], those of the first text first."""
    import tensorflow as tf

    is_mask = inputs[INPUT_WORD_IDS] == model.tokens.ids[MASK]
    rows = tf.boolean_mask(model.encode(inputs, training)[SEQUENCE_OUTPUT], is_mask)
    return {MLM_LOGITS: model.encoder.masked_logits(rows)}


FILL_MASK = Task(
    name="fill_mask",
    title="tokens for [MASK]",
    classes=(),  # a plain pre-trained checkpoint stays an encoder until the task is asked for
    forms=(),
    answer=_tokens,
    numbers=_logits,
    axes={MLM_LOGITS: "MV"},
    encoder_head="mlm",
    most_tokens=_BEST,
    special_tokens_in_text=True,
    reasons=(f"the best {_BEST} tokens for each [MASK], by a softmax over the vocabulary",),
)
