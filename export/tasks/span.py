"""The answer to a question, as a part of a text that is given with it: extractive question answering.

B pairs of a question and a context, T tokens of the longest pair, P pieces of all contexts together, N the most tokens
of an answer, K candidates. Source: QuestionAnsweringPipeline in transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.tasks.table import HeadForm, Task
from zoo.contract import INPUT_MASK, INPUT_TYPE_IDS

if TYPE_CHECKING:
    import tensorflow as tf

    from export.saved_model.text_model import TextModel

_MOST_TOKENS = 30  # of an answer; as run_squad.py of google-research/bert
_CANDIDATES = 12  # the spans that are compared after they were widened to whole words; as transformers
_HIDDEN = -10000.0  # the logit of a token that cannot be part of an answer


def _answer(model: TextModel, text: tf.Tensor, training: bool) -> Mapping[str, Any]:
    """Return `answer`, `start`, `limit`, `score` and `null_score` [B], and the ragged `logits` [B, (T), 2].

    The best candidates are widened to whole words; candidates of the same words add their scores.
    """
    import tensorflow as tf

    inputs = model.packed(text)
    logits = model.head(model.encode(inputs, training), training)  # (B, T, 2)
    lengths = tf.reduce_sum(inputs[INPUT_MASK], 1)
    counts = tf.reduce_sum(inputs[INPUT_TYPE_IDS], 1) - 1  # tokens of the context; its [SEP] has the type 1 too
    first = lengths - 1 - counts  # the column of the first one
    columns = tf.range(tf.shape(logits)[1])
    is_inside = (columns >= first[:, tf.newaxis]) & (columns < lengths[:, tf.newaxis] - 1)
    # [CLS] stands for "no answer", so it shares in the softmax.
    shown = tf.where((is_inside | (columns == 0))[:, :, tf.newaxis], logits, _HIDDEN)
    chances = tf.nn.softmax(shown, axis=1)
    null_score = tf.reduce_prod(chances[:, 0], -1)
    spans = _spans(chances, is_inside, model.task.most_tokens or _MOST_TOKENS)  # (B, T, N)
    scores, places = tf.math.top_k(tf.reshape(spans, [tf.shape(spans)[0], -1]), _CANDIDATES)  # (B, K)
    exists = scores >= 0
    begin, length = places // spans.shape[2], places % spans.shape[2]
    starts, limits = _words(model, text[:, 1], begin - first[:, tf.newaxis], length, exists)
    contexts = tf.repeat(text[:, 1:], _CANDIDATES, 1)
    answers = tf.strings.substr(contexts, starts, limits - starts)
    # A character NUL would end the text for tf.strings.lower.
    lower = tf.strings.lower(tf.strings.regex_replace(answers, r"\x00", "\x01"), encoding="utf-8")
    is_same = (lower[:, :, tf.newaxis] == lower[:, tf.newaxis]) & exists[:, tf.newaxis]  # (B, K, K)
    total = tf.reduce_sum(tf.where(is_same, scores[:, tf.newaxis], 0.0), -1)
    best = tf.argmax(tf.where(exists, total, -1.0), -1, output_type=tf.int32)  # the first of equals
    found = {"answer": answers, "start": starts, "limit": limits, "score": total}
    return {
        **{name: tf.gather(values, best, batch_dims=1) for name, values in found.items()},
        "null_score": null_score,
        "logits": tf.RaggedTensor.from_tensor(logits, lengths),
    }


def _spans(chances: tf.Tensor, is_inside: tf.Tensor, most: int) -> tf.Tensor:
    """Return the score of every span, (B, T, N), by its first token and its length - 1; -1 for those outside.

    That is 4 · T · N bytes a text, 61 kB for 512 tokens; a score for each pair of tokens would be a megabyte.
    """
    import tensorflow as tf

    last = tf.range(tf.shape(chances)[1])[:, tf.newaxis] + tf.range(most)  # (T, N)
    ends, may_end = (tf.pad(each, [[0, 0], [0, most]]) for each in (chances[:, :, 1], is_inside))
    scores = chances[:, :, 0, tf.newaxis] * tf.gather(ends, last, axis=1)
    spans = tf.where(is_inside[:, :, tf.newaxis] & tf.gather(may_end, last, axis=1), scores, -1.0)
    return tf.ensure_shape(spans, [None, None, most])


def _words(
    model: TextModel, contexts: tf.Tensor, begin: tf.Tensor, length: tf.Tensor, exists: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the bytes from which and to which the words of each span reach, (B, K) int32 each; 0 where none exists.

    `begin` is the number of a span's first piece in its context, `length` the number of pieces behind it.
    """
    import tensorflow as tf

    from tokenizer.ragged import owners

    ids, starts, limits = model.tokens.with_offsets(contexts)
    words = model.tokens.words(ids)  # (words + 1,)
    word = owners(words)  # (P,)
    word_start = tf.pad(tf.gather(tf.gather(starts.values, words[:-1]), word), [[0, 1]])
    word_limit = tf.pad(tf.gather(tf.gather(limits.values, words[1:] - 1), word), [[0, 1]])
    nowhere = tf.size(word)  # the place of the 0 that was padded
    piece = tf.cast(ids.row_splits[:-1, tf.newaxis], tf.int32) + begin
    found = (
        tf.gather(word_start, tf.where(exists, piece, nowhere)),
        tf.gather(word_limit, tf.where(exists, piece + length, nowhere)),
    )
    return tf.cast(found[0], tf.int32), tf.cast(found[1], tf.int32)


SPANS = Task(
    name="span",
    title="answers in a context",
    classes=("ForQuestionAnswering",),
    forms=(
        HeadForm("huggingface", None, (("qa_outputs", "linear"),)),
        HeadForm("tf1", None, (("cls/squad", "linear"),)),
        HeadForm("tf2", None, (("span_labeling/logits", "linear"),)),
        HeadForm("tf2", None, (("predictions/transform/logits", "linear"),), tells=False),
    ),
    answer=_answer,
    outputs=2,
    truncation="only_second",
    most_tokens=_MOST_TOKENS,
    reasons=(
        f"an answer has at most {_MOST_TOKENS} tokens; a pair over the limit loses the end of the context, and of the "
        "question only where no context is left",
    ),
)
