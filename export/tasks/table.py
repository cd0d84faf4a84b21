"""What a task's row may say. The rows are in the files beside this one, a task each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from export.families.table import PYTORCH, TENSORFLOW, Leaf
from export.readers.protocol import Format
from zoo.archive.activation import Activation
from zoo.archive.task import Truncation
from zoo.contract import TASKS as CALLS, TaskCall, TaskName

if TYPE_CHECKING:
    import tensorflow as tf

    from export.saved_model.text_model import Inputs, TextModel

# Kernel and bias of a head's dense layer in a checkpoint. TF1's heads store the kernel as rows, [out, in].
STORED: Mapping[Format, tuple[Leaf, Leaf]] = {
    "tf1": (TENSORFLOW["rows"]._replace(transposed=True), TENSORFLOW["output_bias"]),
    "tf2": (TENSORFLOW["kernel"], TENSORFLOW["bias"]),
    "huggingface": (PYTORCH["kernel"], PYTORCH["bias"]),
}


@dataclass(frozen=True)
class HeadForm:
    """The dense layers of a task's head, as one class of a code base has them.

        HeadForm("huggingface", "first", (("classifier.dense", "tanh"), ("classifier.out_proj", "linear")))

    `layers` are scopes and the activation behind each; None is the activation of the config. `pooling` says which
    output goes in, None every token's. `families` are those whose class has this form; empty for all others. `tells`:
    no other task has a head of these names; where one has, a class, a CRF or a person decides.
    """

    format: Format
    pooling: str | None
    layers: tuple[tuple[str, Activation | None], ...]
    families: tuple[str, ...] = ()
    tells: bool = True


def head_logits(model: TextModel, inputs: Inputs, training: bool) -> Mapping[str, tf.Tensor]:
    """Return `logits` [B, T, C], those of every token."""
    return {"logits": model.head(model.encode(inputs, training), training)}


@dataclass(frozen=True)
class Task:
    """One task of text archives. What goes in and comes out stands in `zoo.contract.TASKS` under the same name.

    `classes` are the last words of transformers' classes with this task: "ForSequenceClassification". `forms` say where
    its head lies. `answer(model, text, training)` returns the outputs of a batch of texts, int32 or float32 or strings.
    `numbers(model, inputs, training)` returns what is known without the texts, from the inputs of the encoder: what a
    runtime without strings computes. `axes` are those of its outputs, one letter an axis: B texts, T tokens of the
    longest, M all [MASK] tokens together, any other letter a fixed size.
    """

    name: TaskName
    title: str  # in sentences: "classification"
    classes: tuple[str, ...]
    forms: tuple[HeadForm, ...]
    answer: Callable[[TextModel, tf.Tensor, bool], Mapping[str, Any]]
    numbers: Callable[[TextModel, Inputs, bool], Mapping[str, tf.Tensor]] = head_logits
    axes: Mapping[str, str] = field(default_factory=lambda: {"logits": "BTC"})
    outputs: int | None = None  # of the head, which then are no classes: they have no labels and no scores of their own
    of_tokens: bool = False  # the labels are of tokens, and a CRF may choose them
    encoder_head: str | None = None  # the head in export/heads/ that answers, in place of `forms`
    truncation: Truncation | None = None  # None: pairs are cut as the code base of the checkpoint does it
    most_tokens: int | None = None
    special_tokens_in_text: bool = False  # find a literal [MASK] in files of every code base
    reasons: tuple[str, ...] = ()  # sentences for the card

    @property
    def call(self) -> TaskCall:
        """How a text archive of the task is called."""
        return CALLS[self.name]
