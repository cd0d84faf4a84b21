"""The class of a text or pair: sequence classification, several labels at once, regression, rerankers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from export.tasks.table import HeadForm, Task

if TYPE_CHECKING:
    import tensorflow as tf

    from export.saved_model.text_model import Inputs, TextModel


def _classes(model: TextModel, text: tf.Tensor, training: bool) -> Mapping[str, Any]:
    """Return logits and scores [B, C] and the label with the highest score [B]; C classes."""
    import tensorflow as tf

    found = _scores(model, model.packed(text), training)
    best = tf.argmax(found["logits"], -1, output_type=tf.int32)  # neither softmax nor sigmoid changes the order
    return {**found, "label": tf.gather(model.labels, best)}


def _scores(model: TextModel, inputs: Inputs, training: bool) -> Mapping[str, tf.Tensor]:
    import tensorflow as tf

    logits = model.head(model.encode(inputs, training), training)
    scores = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid, "identity": tf.identity}[model.task.scores](logits)
    return {"logits": logits, "scores": scores}


CLASSIFICATION = Task(
    name="classification",
    title="classification",
    classes=("ForSequenceClassification",),
    forms=(
        HeadForm(
            "huggingface", "first", (("classifier.dense", "gelu"), ("classifier.out_proj", "linear")), ("electra",)
        ),
        HeadForm(
            "huggingface", "first", (("classifier.dense", "tanh"), ("classifier.out_proj", "linear")), ("roberta",)
        ),
        HeadForm(
            "huggingface", "first", (("classifier.dense", None), ("classifier.out_proj", "linear")), ("roformer",)
        ),
        HeadForm("huggingface", "first", (("pre_classifier", "relu"), ("classifier", "linear")), ("distilbert",)),
        HeadForm("huggingface", "pooled", (("classifier", "linear"),)),
        HeadForm("tf1", "pooled", (("", "linear"),)),
        HeadForm("tf1", "pooled", (("loss", "linear"),)),
        HeadForm("tf2", "first", (("sentence_prediction/dense", "tanh"), ("sentence_prediction/out_proj", "linear"))),
        HeadForm("tf2", "pooled", (("sentence_prediction/out_proj", "linear"),)),
        HeadForm("tf2", "pooled", (("predictions/transform/logits", "linear"),), tells=False),
    ),
    answer=_classes,
    numbers=_scores,
    axes={"logits": "BC", "scores": "BC"},
)
