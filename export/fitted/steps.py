"""What stands behind the encoder in a Keras model: pooling, dense layers, normalisation, and what ends the model.

The layers of Keras that are understood are a table. Every other one is refused by name, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args

import keras
import numpy as np

from export.fitted.graph import KerasGraph, Made
from zoo.archive.activation import Activation
from zoo.contract import INPUT_MASK, POOLED_OUTPUT, SEQUENCE_OUTPUT, VECTOR, Pooling
from zoo.errors import Unsupported
from zoo.loading.pooling import TextVectors

Leaves = Mapping[tuple[int, int, int], Hashable]  # key of Made -> name of an output of the encoder, or INPUT_MASK
Word = Activation | str  # an activation, or "softmax"

SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"
UNIT = "unit"  # a step that gives vectors the length 1
_SAME_AS_OURS = (LINEAR, "relu", "relu6", "tanh", SIGMOID, "gelu", "silu", "mish", SOFTMAX)  # in Keras, by these names


@dataclass(frozen=True)
class DenseLayer:
    """y = activation(x · kernel + bias), of an x that first gets the length 1 if `unit_inputs`; float32 [in, out]."""

    name: str
    kernel: np.ndarray
    bias: np.ndarray | None
    activation: Word
    unit_inputs: bool = False
    dropout: float = 0.0


@dataclass(frozen=True)
class Dropped:
    """Dropout, which only training has."""

    rate: float


Step = DenseLayer | Dropped | str  # UNIT, or the word of an activation


@dataclass(frozen=True)
class Behind:
    """The steps behind an encoder, in the order in which they are computed."""

    pooling: str | None  # "mean", "first+max"; None: the outputs of every token go on
    dense: tuple[DenseLayer, ...]  # those of a text archive that was fitted are the first of them
    normalize: bool  # the result gets the length 1
    layers: tuple[str, ...]  # for people: "dense (Dense)"
    output: str | None = None  # of the text archive that was fitted, if that is all: "vector", "logits"

    @property
    def ends_in(self) -> Word:
        """The activation of the last dense layer, "linear" if there is none."""
        return self.dense[-1].activation if self.dense else LINEAR

    @property
    def of_tokens(self) -> bool:
        """Whether the model gives numbers for every token."""
        return self.pooling is None

    @property
    def of_classes(self) -> bool:
        """Whether nothing stands behind the classes of a text archive."""
        return self.output in ("logits", "scores")

    @property
    def of_vectors(self) -> bool:
        """Whether nothing stands behind the vectors of a text archive."""
        return self.output == VECTOR


@dataclass(frozen=True)
class Start:
    """What an output of a fitted archive has behind its own encoder already."""

    pooling: str | None
    steps: tuple[Step, ...] = ()


def read_behind(graph: KerasGraph, output: Any, leaves: Leaves, direct: Mapping[str, Start]) -> Behind:
    """Return the steps from an encoder's outputs to a model's output.

    `direct` are outputs that need no pooling, by name. Raises Unsupported for the first layer, from the end of the
    model, that cannot be followed.
    """
    found: list[tuple[Step, str]] = []
    tensor = output
    while (pooling := _pooling(graph, tensor, leaves, direct)) is None:
        step, made, tensor = _step(graph, tensor, leaves)
        if step is not None:
            is_layer = isinstance(made.operation, keras.layers.Layer)
            words = f"{made.operation.name} ({type(made.operation).__name__})" if is_layer else "division by the length"
            found.append((step, words))
    found.reverse()
    start = direct.get(pooling, Start(pooling))
    dense, unit = _joined([*start.steps, *(step for step, _ in found)])
    changes = any(not isinstance(step, Dropped) for step, _ in found)
    return Behind(start.pooling, dense, unit, tuple(name for _, name in found), None if changes else pooling)


def _joined(steps: list[Step]) -> tuple[tuple[DenseLayer, ...], bool]:
    """Return dense layers, each with what stands between it and the one before; and whether the end is normalised."""
    dense: list[DenseLayer] = []
    unit, rate = False, 0.0
    for step in steps:
        if isinstance(step, Dropped):
            rate = step.rate
            continue
        if dense and dense[-1].activation == SOFTMAX:
            raise Unsupported(
                f"{dense[-1].name!r} ends in a softmax, and something stands behind it. A softmax can only be the end "
                "of a model: remove what follows, or the softmax."
            )
        if isinstance(step, DenseLayer):
            dense.append(replace(step, unit_inputs=unit or step.unit_inputs, dropout=rate or step.dropout))
            unit, rate = False, 0.0
        elif step == UNIT:
            unit = True
        elif not dense or unit or dense[-1].activation != LINEAR:
            raise Unsupported(
                f"the activation {step} does not stand directly behind a dense layer without one. Give it to the dense "
                f"layer: keras.layers.Dense(…, activation={step!r})."
            )
        else:
            dense[-1] = replace(dense[-1], activation=step)
    return tuple(dense), unit


# -- pooling ----------------------------------------------------------------------------------------------------------


def _pooling(graph: KerasGraph, tensor: Any, leaves: Leaves, direct: Mapping[str, Start]) -> str | None:
    """Return the pooling whose result a tensor is: "mean", "first+max"; None if a later step made it."""
    made = graph.made(tensor)
    name = leaves.get(made.key)
    if isinstance(name, str) and name in direct:
        return name
    if name is not None:
        vectors = "x[:, 0] for the first token's; zoo.TextEncoder(…, pooling='mean').keras_model() has others"
        raise Unsupported(
            f"the output {name!r} is taken as it is, which is no vector for each text. Pool it: {vectors}."
        )
    if type(made.operation).__name__ == "Concatenate" and made.operation.axis in (-1, 1):
        kinds = [_pooling(graph, each, leaves, direct) or "" for each in made.inputs]
        kinds = [direct[kind].pooling or "" if kind in direct else kind for kind in kinds]
        if all(kind in get_args(Pooling) for kind in kinds):
            return "+".join(kinds)
    is_mean = type(made.operation) is keras.layers.GlobalAveragePooling1D
    if is_mean and [leaves.get(graph.made(each).key) for each in made.inputs] == [SEQUENCE_OUTPUT, INPUT_MASK]:
        return "mean"  # with mask=; without one it has a single input
    return _poolings().get(graph.formula(tensor, leaves))


@cache
def _poolings() -> Mapping[Hashable, str]:
    """Return the formula of each pooling, as `TextEncoder.keras_model` writes it."""
    graph, leaves, outputs, inputs = _symbols()
    computed = {kind: _how(kind).compute(outputs, inputs, keras.ops) for kind in get_args(Pooling)}
    return {graph.formula(tensor, leaves): kind for kind, tensor in computed.items()}


@cache
def _unit_formula() -> tuple[Hashable, Hashable]:
    """Return the formula that gives a vector the length 1, and the part of it that stands for the vector."""
    graph, leaves, outputs, inputs = _symbols()
    return graph.formula(_how("pooled", normalize=True).compute(outputs, inputs, keras.ops), leaves), POOLED_OUTPUT


def _how(pooling: str, normalize: bool = False) -> TextVectors:
    return TextVectors(pooling=pooling, normalize=normalize, max_length=0, prompt="", lower_case=False)


def _symbols() -> tuple[KerasGraph, Leaves, dict[str, Any], dict[str, Any]]:
    graph = KerasGraph()
    outputs = {SEQUENCE_OUTPUT: keras.Input([None, 4]), POOLED_OUTPUT: keras.Input([4])}
    inputs = {INPUT_MASK: keras.Input([None], dtype="int32")}
    leaves = {graph.made(tensor).key: name for name, tensor in {**outputs, **inputs}.items()}
    return graph, leaves, outputs, inputs


def _replaced(formula: Hashable, part: Hashable, by: Hashable) -> Hashable:
    if formula == part:
        return by
    return tuple(_replaced(each, part, by) for each in formula) if isinstance(formula, tuple) else formula


# -- layers -----------------------------------------------------------------------------------------------------------


def _step(graph: KerasGraph, tensor: Any, leaves: Leaves) -> tuple[Step | None, Made, Any]:
    """Return the step that made a tensor (None: none in inference or training), and the tensor that it was made of."""
    made = graph.made(tensor)
    operation = made.operation
    before = made.inputs[0]
    if (read := _LAYERS.get(type(operation))) is not None:
        return read(made), made, before
    formula, vector = _unit_formula()
    if graph.formula(tensor, leaves) == _replaced(formula, vector, graph.formula(before, leaves)):
        return UNIT, made, before
    raise Unsupported(f"{made} cannot become a part of a text archive. {_REFUSED.get(type(operation), _OTHER)}")


def _dense(made: Made) -> Step:
    layer = made.operation
    if getattr(layer, "quantization_mode", None):
        raise Unsupported(f"{made} is quantized to {layer.quantization_mode}: export the model as it was before.")
    if layer.compute_dtype != "float32":
        raise Unsupported(
            f"{made} computes in {layer.compute_dtype}, and a text archive in float32. Build the model again after "
            "keras.config.set_dtype_policy('float32'), and load the weights into it."
        )
    bias = keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else None
    # `kernel` includes what LoRA has learnt.
    return DenseLayer(layer.name, keras.ops.convert_to_numpy(layer.kernel), bias, _word(made, layer.activation))


def _word(made: Made, activation: Any) -> Word:
    word = keras.activations.serialize(activation)
    if word not in _SAME_AS_OURS:
        raise Unsupported(
            f"{made} has the activation {str(word)[:60]}, which text archives do not have. There is "
            f"{', '.join(_SAME_AS_OURS)}."
        )
    return str(word)


def _softmax(made: Made) -> Step:
    if made.operation.axis not in (-1, len(made.inputs[0].shape) - 1):
        raise Unsupported(f"{made} runs over axis {made.operation.axis}: leave its axis away.")
    return SOFTMAX


def _relu(made: Made) -> Step:
    layer = made.operation
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
        raise Unsupported(f"{made} has settings of its own. There is relu and relu6.")
    return "relu" if layer.max_value is None else "relu6"


def _nothing(made: Made) -> None:
    return None


_LAYERS: Mapping[type, Callable[[Made], Step | None]] = {
    keras.layers.Dense: _dense,
    keras.layers.Activation: lambda made: _word(made, made.operation.activation),
    keras.layers.Softmax: _softmax,
    keras.layers.ReLU: _relu,
    keras.layers.Dropout: lambda made: Dropped(float(made.operation.rate)),
    keras.layers.UnitNormalization: lambda made: UNIT,
    # Noise that training alone has, and that is left out: the archive's own training has dropout.
    keras.layers.GaussianNoise: _nothing,
    keras.layers.GaussianDropout: _nothing,
    keras.layers.AlphaDropout: _nothing,
    keras.layers.ActivityRegularization: _nothing,
    keras.layers.Identity: _nothing,
}
_OTHER = (
    "Behind the encoder there may be a pooling, dense layers, their activations, dropout and UnitNormalization. Train "
    "without this layer, or keep the model as a .keras file."
)
_REFUSED: Mapping[type, str] = {
    keras.layers.Lambda: "Nobody can see what it computes. Write x[:, 0] in place of Lambda(lambda x: x[:, 0]), and "
    "keras.layers.UnitNormalization in place of a Lambda that normalises.",
    keras.layers.Flatten: "It gives every text as many numbers as its padding is long. Pool the tokens: x[:, 0], or "
    "pooled_output.",
    keras.layers.GlobalAveragePooling1D: "Without a mask it averages padding, too, so the answer would depend on the "
    "length of the batch. Call it with mask=inputs['input_mask'], or take zoo.TextEncoder(…, pooling='mean').",
    keras.layers.GlobalMaxPooling1D: "It takes padding for a token. zoo.TextEncoder(…, pooling='max').keras_model() "
    "leaves it out.",
}
