"""The entities in a text: names, places, dates, or whatever else the labels of its tokens mean.

B texts, T tokens of the longest text with [CLS] and [SEP], P tokens of all texts together without these, E entities of
all texts, C labels. Source: TokenClassificationPipeline in transformers, with aggregation_strategy "simple".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.tasks.crf import END, START, TRANSITIONS
from export.tasks.schemes import OUTSIDE, token_labels
from export.tasks.table import HeadForm, Task
from zoo.contract import INPUT_MASK

if TYPE_CHECKING:
    import tensorflow as tf

    from export.saved_model.text_model import TextModel


def _tokens(model: TextModel, text: tf.Tensor, training: bool) -> Mapping[str, Any]:
    """Return the entities, ragged [B, (E)], and for every token `token_label`, `token_score` and `logits` [B, (T)].

    Pieces of words are tokens of their own, as in transformers.
    """
    import tensorflow as tf

    ids, starts, limits = model.tokens.with_offsets(text)
    inputs = model.tokens.packed_pieces(ids, model.task.max_length)
    logits = model.head(model.encode(inputs, training), training)  # (B, T, C)
    lengths = tf.reduce_sum(inputs[INPUT_MASK], 1)
    numbers, chances = _best(model, logits, lengths)
    columns = tf.range(tf.shape(logits)[1])
    is_inner = (columns > 0) & (columns < lengths[:, tf.newaxis] - 1)
    rows, places = _kept(ids, model.task.max_length - 2)
    entities = _entities(
        model,
        tf.boolean_mask(numbers, is_inner),
        tf.boolean_mask(chances, is_inner),
        rows,
        tf.gather(starts.values, places),
        tf.gather(limits.values, places),
    )
    kinds, texts = entities.pop("row"), tf.size(text, tf.int64)
    return {
        **{
            name: tf.RaggedTensor.from_value_rowids(values, kinds, texts, validate=False)
            for name, values in entities.items()
        },
        "token_label": tf.RaggedTensor.from_tensor(tf.gather(model.labels, numbers), lengths),
        "token_score": tf.RaggedTensor.from_tensor(chances, lengths),
        "logits": tf.RaggedTensor.from_tensor(logits, lengths),
    }


def _best(model: TextModel, logits: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the number of each token's label and its chance, (B, T): those of the CRF, if there is one."""
    import tensorflow as tf

    if not model.task.crf:
        return tf.argmax(logits, -1, output_type=tf.int32), tf.reduce_max(tf.nn.softmax(logits), -1)
    from export.tasks.viterbi import Field, best_labels

    none = tf.zeros([len(model.task.labels)])
    field = Field(*(model.weight(name) if name in model.weights else none for name in (TRANSITIONS, START, END)))
    return best_labels(logits, lengths, field, model.task.max_length)


def _kept(ids: tf.RaggedTensor, room: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return for every token that has room in its text, (P,) int64: the text's number, and its place among all."""
    import tensorflow as tf

    from tokenizer.ragged import owners

    row = owners(ids.row_splits)
    number = tf.range(tf.size(row, tf.int64)) - tf.gather(ids.row_splits, row)
    places = tf.where(number < room)[:, 0]
    return tf.gather(row, places), places


def _entities(
    model: TextModel,
    numbers: tf.Tensor,
    chances: tf.Tensor,
    rows: tf.Tensor,
    starts: tf.Tensor,
    limits: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Return `label`, `start`, `limit`, `score` and `row`, (E,) each, of tokens (P,) with the numbers of their labels.

    Neighbours of one kind are an entity, unless the label says that an entity begins there, or ended before.
    """
    import tensorflow as tf

    found = token_labels(model.task.labels, model.task.scheme or "plain")
    kinds = [OUTSIDE, *sorted({each.kind for each in found} - {OUTSIDE})]
    kind = tf.gather(tf.constant([kinds.index(each.kind) for each in found]), numbers)
    begins, ends = (tf.gather(tf.constant(flags), numbers) for flags in zip(*(each[1:] for each in found), strict=True))
    same = (kind[1:] == kind[:-1]) & (rows[1:] == rows[:-1])
    goes_on = same & tf.logical_not(begins[1:] | ends[:-1])
    is_first = tf.concat([[True], tf.logical_not(goes_on)], 0)[: tf.size(kind)]
    is_last = tf.concat([is_first[1:], [True]], 0)[: tf.size(kind)]
    first, last = tf.where(is_first)[:, 0], tf.where(is_last)[:, 0]
    sums = tf.math.unsorted_segment_sum(chances, tf.cumsum(tf.cast(is_first, tf.int32)) - 1, tf.size(first))
    scores = sums / tf.cast(last - first + 1, tf.float32)
    is_named = tf.where(tf.gather(kind, first) > 0)[:, 0]
    first, last = tf.gather(first, is_named), tf.gather(last, is_named)
    return {
        "label": tf.gather(tf.constant(kinds), tf.gather(kind, first)),
        "start": tf.cast(tf.gather(starts, first), tf.int32),
        "limit": tf.cast(tf.gather(limits, last), tf.int32),
        "score": tf.gather(scores, is_named),
        "row": tf.gather(rows, first),
    }


TOKENS = Task(
    name="token_classification",
    title="entities",
    classes=("ForTokenClassification",),
    forms=(
        HeadForm("huggingface", None, (("classifier", "linear"),), tells=False),
        HeadForm("tf1", None, (("", "linear"),), tells=False),
        HeadForm("tf1", None, (("loss", "linear"),), tells=False),
        HeadForm("tf2", None, (("token_classification/logits", "linear"),)),
        HeadForm("tf2", None, (("predictions/transform/logits", "linear"),), tells=False),
    ),
    answer=_tokens,
    of_tokens=True,
)
