"""Takes a fitted Keras model apart: the layer of this zoo in it, how texts go in, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from export.fitted.graph import KerasGraph, Made, outputs_of
from export.fitted.steps import UNIT, Behind, DenseLayer, Start, Step, read_behind
from tokenizer.module import SEQ_LENGTH
from zoo.archive.card import Card, ModelCard, TextCard, TokenizerCard, read_card
from zoo.contract import (
    DEFAULT,
    ENCODER_OUTPUTS,
    INPUT_KEYS,
    INPUT_MASK,
    INPUT_TYPE_IDS,
    POOLED_OUTPUT,
    SEQUENCE_OUTPUT,
    VECTOR,
)
from zoo.errors import BadArgument, Unsupported
from zoo.keras.layer import KerasLayer
from zoo.keras.models import Pair
from zoo.keras.origin import Origin

_BATCH = 32
_OF_ENCODER = {POOLED_OUTPUT: Start("pooled"), DEFAULT: Start("pooled"), SEQUENCE_OUTPUT: Start(None)}
_HOW = (
    "Make it with keras.Model(inputs, outputs) around zoo.KerasLayer(NAME, trainable=True), or from "
    "zoo.TextEncoder(NAME).keras_model(trainable=True)."
)


@dataclass(frozen=True)
class Used:
    """A zoo.KerasLayer in a model: where it came from, the card of that archive, and its settings."""

    layer: KerasLayer
    origin: Origin
    card: Card
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, layer: KerasLayer) -> Used:
        settings = layer.get_config()  # raises BadArgument for a layer of an object without an archive
        with settings["handle"].unpacked() as folder:
            return cls(layer, settings["handle"], read_card(folder), settings)

    @property
    def endpoint(self) -> str | None:
        return self.settings["endpoint"]

    @property
    def is_tokenizer(self) -> bool:
        return isinstance(self.card, TokenizerCard)

    def outputs(self) -> list[str]:
        """Return the names of the outputs as Keras numbers them; those of a list have one name."""
        if (key := self.settings["output_key"]) is not None:
            return [key]
        called = self.layer.resolved_object
        called = getattr(called, self.endpoint) if self.endpoint else called
        function = called if hasattr(called, "concrete_functions") else called.__call__
        named = function.concrete_functions[0].structured_outputs
        if not isinstance(named, Mapping):
            return [VECTOR]
        return [name for name in sorted(named) for _ in keras.tree.flatten(named[name])]

    def values(self) -> dict[str, Any]:
        """Return the variables of the archive by name, '.' for '/', with the numbers that they have now."""
        found: dict[str, Any] = {}
        self.layer.save_own_variables(found)
        return found


@dataclass(frozen=True)
class FittedModel:
    """A Keras model whose graph was understood."""

    model: Any
    parent: Used  # an encoder or a text archive
    tokenizer: Used | None  # None: the model takes ids, or the parent has its own
    behind: Behind
    places: Mapping[str, int]  # input of the encoder -> number of the model's input; {} for a model of texts
    length: int | None  # most tokens, where the model says it
    width: int | None  # 1: a model of texts [B], 2: of pairs [B, 2]; None: of ids

    @property
    def takes_ids(self) -> bool:
        """Whether the fitted layer is an encoder, or the encoder inside of a text archive."""
        return _takes_ids(self.parent)

    @property
    def card(self) -> ModelCard:
        assert isinstance(self.parent.card, ModelCard)
        return self.parent.card

    def takes(self, texts: Sequence[str]) -> bool:
        """Return whether the model takes this text, or pair of texts."""
        if self.width is not None:
            return len(texts) == self.width
        return len(texts) == 1 or INPUT_TYPE_IDS in self.places

    def answers(self, texts: Sequence[Sequence[str]], preprocess: Any, length: int) -> np.ndarray:
        """Return the model's own output for texts, or for pairs, as inference gives it.

        `preprocess` makes ids of texts, for a model that takes ids.
        """
        import tensorflow as tf

        batches = []
        for start in range(0, len(texts), _BATCH):
            rows = [list(text) if len(text) == 2 else text[0] for text in texts[start : start + _BATCH]]
            given = tf.constant(rows, tf.string)
            if self.width is None:
                packed = preprocess(given, tf.constant(length))
                flat = [None] * len(self.model.inputs)
                for key, place in self.places.items():
                    flat[place] = tf.cast(packed[key], self.model.inputs[place].dtype)
                given = keras.tree.pack_sequence_as(self.model._inputs_struct, flat)
            elif len(self.model.inputs) == 2:  # of keras_model(pairs="apart")
                given = [given[:, 0], given[:, 1]]
            elif len(self.model.inputs[0].shape) == 2 and self.width == 1:
                given = given[:, tf.newaxis]
            batches.append(keras.ops.convert_to_numpy(self.model(given, training=False)))
        return np.concatenate(batches)


def read_model(model: Any) -> FittedModel:
    """Return what a fitted model is made of. Raises BadArgument for what is no model, Unsupported for its parts."""
    if not isinstance(model, keras.Model):
        made_by = type(model).__module__.partition(".")[0]
        more = " of tf_keras (Keras 2): build it in Keras 3, with zoo.KerasLayer" if made_by == "tf_keras" else ""
        raise BadArgument(f"a fitted model of Keras 3 is needed, this is a {type(model).__name__}{more}. {_HOW}")
    outputs = outputs_of(model)
    if not outputs:
        raise Unsupported(f"{type(model).__name__} {model.name!r} has no graph that could be read. {_HOW}")
    if len(outputs) != 1:
        raise Unsupported(
            f"the model has {len(outputs)} outputs, a text archive one answer. Export a part of it: "
            f"keras.Model(model.input, model.outputs[0])."
        )
    graph = KerasGraph()
    parent, call, tokenizers = _layers(graph, outputs[0])
    ids = _ids(call) if _takes_ids(parent) else {}
    leaves = {}
    names = parent.outputs()
    for number, name in enumerate(names):
        is_last_state = name == ENCODER_OUTPUTS and names[number + 1 : number + 2] != [ENCODER_OUTPUTS]
        leaves[call.key[0], call.key[1], number] = SEQUENCE_OUTPUT if is_last_state else name
    leaves |= {graph.made(tensor).key: INPUT_MASK for key, tensor in ids.items() if key == INPUT_MASK}
    behind = read_behind(graph, outputs[0], leaves, _OF_ENCODER if ids else _of_text(parent))
    if not ids:
        assert isinstance(parent.card, TextCard)
        width = _width(graph, call.inputs[0], model)
        return FittedModel(model, parent, None, behind, {}, parent.card.task.max_length, width)
    if not tokenizers:
        places = _places(graph, ids, model)
        lengths = {model.inputs[place].shape[1] for place in places.values()} - {None}
        return FittedModel(model, parent, None, behind, places, next(iter(lengths), None), None)
    tokenizer, text = _tokenizer(graph, ids, tokenizers)
    length = tokenizer.settings["arguments"].get("seq_length", SEQ_LENGTH)
    return FittedModel(model, parent, tokenizer, behind, {}, int(length), _width(graph, text, model))


def _of_text(parent: Used) -> dict[str, Start]:
    """Return the outputs of a text archive that layers may stand behind, with the steps of its own head."""
    assert isinstance(parent.card, TextCard)
    task, values = parent.card.task, parent.values()
    steps: list[Step] = []
    for number, layer in enumerate(task.dense):
        kernel = keras.ops.convert_to_numpy(values[f"task.dense_{number}.kernel"])
        bias = keras.ops.convert_to_numpy(values[f"task.dense_{number}.bias"]) if layer.bias else None
        own = (layer.activation, layer.unit_inputs, task.dropout)
        steps.append(DenseLayer(f"task/dense_{number}", kernel, bias, *own))
    if task.name == VECTOR:
        return {VECTOR: Start(task.pooling, (*steps, UNIT) if task.normalize else tuple(steps))}
    if task.name != "classification":
        raise Unsupported(
            f"{parent.card.name} has the task {task.name}. Archives of vectors and of classes can be fitted and "
            "exported, and the encoder in it: zoo.KerasLayer(…, endpoint='encoder')."
        )
    scored = () if task.scores == "identity" else (task.scores,)
    return {"logits": Start(task.pooling, tuple(steps)), "scores": Start(task.pooling, (*steps, *scored))}


def _takes_ids(parent: Used) -> bool:
    return not isinstance(parent.card, TextCard) or parent.endpoint == "encoder"


def _layers(graph: KerasGraph, output: Any) -> tuple[Used, Made, list[tuple[Used, Made]]]:
    """Return the layer of an encoder or text archive with its only call, and the layers of tokenizers."""
    calls = {made.key[:2]: made for made in graph.behind(output) if isinstance(made.operation, KerasLayer)}
    used = {id(made.operation): Used.of(made.operation) for made in calls.values()}
    found = [(used[id(made.operation)], made) for made in calls.values()]
    parents = [each for each in found if not each[0].is_tokenizer]
    if not parents:
        raise Unsupported(f"the model has no zoo.KerasLayer of an encoder or text archive in it. {_HOW}")
    if len(parents) > 1:
        names = ", ".join(f"{made.operation.name!r}" for _, made in parents)
        raise Unsupported(
            f"the model calls {len(parents)} encoders ({names}). A text archive has one, called once: two texts go in "
            "as a pair, [B, 2]."
        )
    (parent, call) = parents[0]
    usual = ["encoder", None] if isinstance(parent.card, TextCard) else [None]
    if parent.endpoint not in usual or parent.settings["signature"]:
        what = parent.endpoint or parent.settings["signature"]
        raise Unsupported(
            f"{call} calls {what!r} of {parent.card.name}. Make the layer without endpoint and signature."
        )
    return parent, call, [each for each in found if each[0].is_tokenizer]


def _ids(call: Made) -> dict[str, Any]:
    """Return the inputs of the encoder by name."""
    given = call.args[0]
    named = dict(given) if isinstance(given, Mapping) else None
    if named is None:
        named = dict(zip(INPUT_KEYS, given if isinstance(given, list | tuple) else [given], strict=False))
    if unknown := sorted(set(named) - set(INPUT_KEYS)):
        raise Unsupported(
            f"{call} is called with {', '.join(unknown)}, beside {', '.join(INPUT_KEYS)}: leave them out."
        )
    return named


def _places(graph: KerasGraph, ids: Mapping[str, Any], model: Any) -> dict[str, int]:
    """Return which inputs of a model are those of its encoder. Raises Unsupported if the model has others."""
    inputs = {graph.made(tensor).key: number for number, tensor in enumerate(model.inputs)}
    places = {}
    for key, tensor in ids.items():
        made = graph.made(tensor)
        if made.key not in inputs:
            raise Unsupported(
                f"{made} stands between the model's inputs and its encoder. Give the encoder ids as they are."
            )
        if made.operation.dtype == "string":
            raise Unsupported(
                "the encoder gets string tokens. Give it ids: zoo.KerasLayer(TOKENIZER, endpoint='preprocess')."
            )
        places[key] = inputs[made.key]
    _no_others(model, set(places.values()))
    return places


def _tokenizer(graph: KerasGraph, ids: Mapping[str, Any], tokenizers: Sequence[tuple[Used, Made]]) -> tuple[Used, Any]:
    """Return the tokenizer that makes all inputs of the encoder, and the tensor of its texts."""
    used, call = tokenizers[0]
    ways = ["preprocess"] if used.card.kind == "tokenizer" else ["preprocess", None]
    names = [key] if (key := used.settings["output_key"]) else sorted(INPUT_KEYS)
    made = {key: graph.made(tensor) for key, tensor in ids.items()}
    as_made = all(each.key[:2] == call.key[:2] and names[each.index] == key for key, each in made.items())
    if used.endpoint not in ways or used.settings["signature"] or len(ids) != 3 or not as_made:
        raise Unsupported(
            f"{call} does not give the encoder its three inputs as they are. Make ids of texts by "
            "zoo.KerasLayer(TOKENIZER, endpoint='preprocess', arguments={'seq_length': 128}), and call the encoder's "
            "layer with what it gives."
        )
    return used, call.inputs[0]


def _width(graph: KerasGraph, text: Any, model: Any) -> int:
    """Return 1 for a model of texts, 2 for one of pairs."""
    made = graph.made(text)
    inputs = [graph.made(tensor).key for tensor in model.inputs]
    if isinstance(made.operation, Pair) and [graph.made(each).key for each in made.inputs] == inputs:
        return 2
    if made.key not in inputs:
        raise Unsupported(f"{made} changes texts before the tokenizer, which a text archive cannot repeat: remove it.")
    _no_others(model, {inputs.index(made.key)})
    return 2 if tuple(text.shape[1:]) == (2,) else 1


def _no_others(model: Any, known: set[int]) -> None:
    if others := [repr(each.name) for number, each in enumerate(model.inputs) if number not in known]:
        raise Unsupported(f"the model has further inputs: {', '.join(others)}. A text archive takes texts alone.")
