"""From strings to an answer: the root of a text archive, and the steps that the tasks in export/tasks/ are made of.

B texts or pairs, T tokens of the longest of them, C classes, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from export.encoder.activations import activate
from export.encoder.encoder import Encoder
from export.encoder.pooling import pooled, unit
from export.encoder.training import Dropout, drawn_seeds, possible_rate
from export.heads import HEADS
from export.saved_model.root import EncoderRoot
from export.tasks import TASKS
from tokenizer.graph import Graph, graph_function
from tokenizer.module import Tokenizer
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary
from zoo.archive.activation import Activation
from zoo.archive.task import TextTask
from zoo.contract import (
    INPUT_KEYS,
    INPUT_MASK,
    ROOT,
    SEQUENCE_OUTPUT,
    SERVING_SIGNATURE,
    TEXT,
    VECTOR,
    reads_first_only,
)
from zoo.loading.pooling import lowered

Inputs = Mapping[str, tf.Tensor]  # the three inputs of an encoder, int32 [B, T]
_TEXTS, _PAIRS = (tf.TensorSpec(shape, tf.string, TEXT) for shape in ([None], [None, 2]))
_SPECS = {"texts": (_TEXTS,), "pairs": (_PAIRS,), "both": (_TEXTS, _PAIRS)}  # by what a task takes


@dataclass(frozen=True, eq=False)
class TextModel:
    """The steps from texts to an answer. `weights` are those of the task's head, by name: "task/dense_0/kernel"."""

    task: TextTask
    tokens: Graph
    encoder: EncoderRoot
    weights: Mapping[str, tf.Variable]

    @property
    def labels(self) -> tf.Tensor:
        """The names of the classes, [C] strings."""
        return tf.constant(self.task.labels, tf.string)

    def answer(self, text: tf.Tensor, training: bool) -> Mapping[str, Any]:
        """Return the outputs of the task for texts [B] or pairs [B, 2]."""
        return TASKS[self.task.name].answer(self, text, training)

    def packed(self, text: tf.Tensor) -> Inputs:
        """Return the inputs of the encoder, as long as the longest text, cut to the limit."""
        text = lowered(text) if self.task.lower_case else text
        return self.tokens.trimmed(text, self.task.max_length, self.task.truncation)

    def encode(self, inputs: Inputs, training: bool) -> Mapping[str, Any]:
        """Return the outputs of the encoder, and its mask. The last layer computes the tokens that pooling reads."""
        ids, mask, types = (inputs[key] for key in INPUT_KEYS)
        outputs = self.encoder.encode(ids, mask, types, training, reads_first_only(self.task.pooling))
        return {**outputs, INPUT_MASK: inputs[INPUT_MASK]}

    def head(self, outputs: Mapping[str, Any], training: bool) -> tf.Tensor:
        """Return what pooling and dense layers make of the encoder's outputs: [B, D], or [B, T, D] without pooling."""
        task = self.task
        x = pooled(task.pooling, outputs, outputs[INPUT_MASK]) if task.pooling else outputs[SEQUENCE_OUTPUT]
        for number, layer in enumerate(task.dense):
            x = unit(x) if layer.unit_inputs else x
            x = self._dropped(x) if training and task.dropout else x
            rows = tf.reshape(x, [-1, x.shape[-1]])  # a product of two matrices, whatever the rank
            rows = tf.matmul(rows, self.weight(f"task/dense_{number}/kernel"))
            if layer.bias:
                rows = tf.nn.bias_add(rows, self.weights[f"task/dense_{number}/bias"])
            rows = self.activated(layer.activation, rows)
            x = rows if task.pooling else tf.reshape(rows, [*tf.unstack(tf.shape(x))[:-1], layer.outputs])
        return x

    def weight(self, name: str) -> tf.Tensor | tf.Variable:
        """Return a weight of the head in float32, whichever precision it is stored in: heads are small."""
        variable = self.weights[name]
        return variable if variable.dtype == tf.float32 else tf.cast(variable, tf.float32)

    def activated(self, activation: Activation, x: tf.Tensor) -> tf.Tensor:
        return activate(activation, x)

    def _dropped(self, x: tf.Tensor) -> tf.Tensor:
        return Dropout(drawn_seeds(2), possible_rate(self.task.dropout))(x)


class TextRoot(tf.train.Checkpoint):
    """What `hub.load` gives for a text archive: a callable of texts, with its tokenizer and its encoder as attributes.

    | attribute | gives |
    |---|---|
    | `__call__(text, training=False)` | the answers for a list or tensor of texts [B] or pairs [B, 2] |
    | `query(text)`, `passage(text)` | of vectors: the same with the prompt for queries or passages |
    | `labels()` | the names of the classes, strings [C] |
    | `tokenizer`, `encoder` | the contracts of those kinds of archives |
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        rules: TokenizerRules,
        task: TextTask,
        special_tokens_in_text: bool,
        padding_id: int,
        recompute: bool = False,
        heads: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        head = {name: weight for name, weight in encoder.weights.items() if name.startswith("task/")}
        alone = replace(encoder, weights={name: encoder.weights[name] for name in encoder.weights if name not in head})
        self.encoder = EncoderRoot(alone, vocabulary, heads, recompute, padding_id)
        self.tokenizer = Tokenizer(vocabulary, rules, special_tokens_in_text, ops="core")
        unused = HEADS.keys() - {TASKS[task.name].encoder_head}
        unused |= set() if "pooled" in (task.pooling or "").split("+") else {"pooler"}
        own = [name for name in encoder.weights if name.partition("/")[0] not in unused]
        self.variables = [encoder.weights[name] for name in own]
        # No output has a gradient to the scores of a CRF, which only choose.
        self.trainable_variables = [encoder.weights[name] for name in own if not name.startswith("task/crf/")]
        self.regularization_losses: list[Callable[[], tf.Tensor]] = []
        self._model = TextModel(task, self.tokenizer.graph, self.encoder, head)
        for name, prompt in task.functions.items():
            setattr(self, name, self._traced(prompt, (False, True) if name == ROOT else (False,)))
        if task.labels:
            self.labels = graph_function(self._labels)

    def _labels(self) -> tf.Tensor:
        return self._model.labels

    def _traced(self, prompt: str, modes: tuple[bool, ...]) -> Any:
        def call(text: tf.Tensor, training: bool = False) -> Any:
            answers = self._model.answer(_prompted(text, prompt), training)
            return answers.get(VECTOR, answers)

        function = tf.function(call, autograph=False)
        for spec in self._specs:
            for training in modes:
                function.get_concrete_function(spec, training=training)
        return function

    @property
    def _specs(self) -> tuple[tf.TensorSpec, ...]:
        return _SPECS[TASKS[self._model.task.name].call.takes]

    def signatures(self) -> dict[str, Any]:
        """Return `serving_default` of an input `text`; ragged outputs are padded with "", 0 or -1."""

        def serving_default(text: tf.Tensor) -> dict[str, tf.Tensor]:
            answers = self.__call__(text)
            return {VECTOR: answers} if self._model.task.name == VECTOR else {k: flat(v) for k, v in answers.items()}

        spec = self._specs[0]
        return {SERVING_SIGNATURE: tf.function(serving_default, autograph=False).get_concrete_function(spec)}


def _prompted(text: tf.Tensor, prompt: str) -> tf.Tensor:
    """Return texts with a prompt before each, pairs with a prompt before the first."""
    if not prompt:
        return text
    return tf.constant(prompt if text.shape.rank == 1 else [prompt, ""]) + text


def flat(answer: Any) -> tf.Tensor:
    """Return a dense answer as it is, a ragged one padded with "", 0 or -1."""
    if not isinstance(answer, tf.RaggedTensor):
        return answer
    return answer.to_tensor({tf.string: "", tf.float32: 0.0}.get(answer.dtype, -1))
