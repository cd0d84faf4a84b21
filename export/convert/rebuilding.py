"""An archive's encoder, built again from its variables and its card in the plain layout, which converters read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import tensorflow as tf

from export.encoder.activations import ACTIVATIONS
from export.encoder.encoder import Encoder, Inference, LayerFunction
from export.encoder.plain import Plain
from export.families import FAMILIES
from export.readers.own_archive import settings_of
from export.weights.config import EncoderConfig, read_config
from export.weights.naming import archive_name
from export.weights.plan import variable_parts
from zoo.archive.activation import Activation
from zoo.archive.card import ModelCard
from zoo.contract import INPUT_KEYS, POOLED_OUTPUT, SEQUENCE_OUTPUT
from zoo.errors import BadArchive

OUTPUT_KEYS = (SEQUENCE_OUTPUT, POOLED_OUTPUT)
_AXES = {SEQUENCE_OUTPUT: "BTH", POOLED_OUTPUT: "BH"}
Answer: TypeAlias = Callable[[Encoder, tf.Tensor, tf.Tensor, tf.Tensor], Mapping[str, Any]]


class Convertible(Inference):
    """The formulas of inference, in the forms that converters know."""

    def layers(self, layer_with: Callable[[Inference], LayerFunction], layers: int) -> Sequence[LayerFunction]:
        # Converters take one graph without functions; a function of Python adds its nodes to the graph at every call.
        return [layer_with(self)] * layers

    def activate(self, activation: Activation, x: tf.Tensor) -> tf.Tensor:
        return {**ACTIVATIONS, "gelu": _gelu, "gelu_10": lambda x: tf.minimum(_gelu(x), 10.0)}[activation](x)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    """TFLite has no erf of its own. It finds gelu in a graph by this order of the factors."""
    return (x * 0.5) * (tf.math.erf(x * math.sqrt(0.5)) + 1.0)


class PlainRoot(tf.train.Checkpoint):
    """The object that is converted: one function of three int32 inputs [B, T], with float32 outputs.

        root = PlainRoot(plain_encoder(hub.load(path).variables, read_card(path)))
        root.encode(input_word_ids=ids, input_mask=mask, input_type_ids=types)["pooled_output"]

    `answer(encoder, ids, mask, types)` computes the outputs with the weights of an encoder. `axes` are those of each
    output, one letter an axis: B texts, T tokens of the longest, M [MASK] tokens; any other letter a fixed size.
    """

    def __init__(self, encoder: Encoder, answer: Answer | None = None, axes: Mapping[str, str] = _AXES) -> None:
        super().__init__()
        self.encoder, self.answer, self.axes = encoder, answer or converted_outputs, dict(axes)
        self.variables = [*encoder.weights.values()]  # TensorFlow saves those that it finds in a list

        def encode(**inputs: tf.Tensor) -> dict[str, Any]:
            return dict(self.answer(encoder, *(inputs[key] for key in INPUT_KEYS)))

        specs = {key: tf.TensorSpec([None, None], tf.int32, key) for key in INPUT_KEYS}
        self.encode = tf.function(encode, autograph=False).get_concrete_function(**specs)


def converted_outputs(encoder: Encoder, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> dict[str, Any]:
    """Return the two outputs that a conversion has."""
    outputs = encoder.encode(ids, mask, types)
    return {key: outputs[key] for key in OUTPUT_KEYS}


def plain_encoder(variables: Iterable[tf.Variable], card: ModelCard, heads: Mapping[str, str] = {}) -> Encoder:
    """Return the encoder of an archive in the plain layout, from its loaded variables and its card.

        plain_encoder(hub.load(path).variables, read_card(path)).encode(ids, mask, types)

    `heads` are further variables that it gets if the archive has them: our name -> the name in the archive.

    Matrices that are stored in half precision become float32, so products are float32; the weights keep their rounding.
    Raises BadArchive for an unknown family and for missing variables.
    """
    family = next((family for family in FAMILIES if family.name == card.family), None)
    if family is None:
        known = ", ".join(family.name for family in FAMILIES)
        raise BadArchive(f"{card.name} is of family {card.family!r}, known here are {known}; update bert-zoo.")
    config = config_of(card)
    found = {variable.name.partition(":")[0]: variable for variable in variables}
    names = {ours: archive_name(ours, family.canonical) for ours in variable_parts(config)}
    if missing := [name for name in names.values() if name not in found]:
        raise BadArchive(f"{card.name} has no {', '.join(missing)}; it cannot be rebuilt from its card.")
    names |= {ours: name for ours, name in heads.items() if name in found}
    weights = {ours: _widened(found[name]) for ours, name in names.items()}
    return Encoder(config, weights, forms=Convertible(), layout=Plain)


def config_of(card: ModelCard) -> EncoderConfig:
    """Return the config that an archive was built with, from its card."""
    family = next(family for family in FAMILIES if family.name == card.family)
    return replace(
        read_config(settings_of(card), family, "archive"),
        block_of_layer=_block_of_layer(card.sizes.layers, card.sizes.blocks, card.truncated_from or card.sizes.layers),
        activation_reason=card.activation_reason,
        pooler="first_token" if card.pooler.startswith("none") else "dense",
    )


def _block_of_layer(layers: int, blocks: int, of: int) -> tuple[int, ...]:
    """Return which block each layer uses, in a model cut to its first layers out of `of`.

    The card does not say how many blocks the whole model had, so this takes the smallest number that leaves `blocks`
    after the cut. It can be wrong for a cut ALBERT of several groups; then the comparison at the end of the conversion
    fails.
    """
    choices = (tuple(layer * groups // of for layer in range(layers)) for groups in range(1, of + 1))
    return next(choice for choice in choices if len(set(choice)) == blocks)


def _widened(variable: tf.Variable) -> tf.Variable:
    if variable.dtype == tf.float32:
        return variable
    return tf.Variable(tf.cast(variable, tf.float32), name=variable.name.partition(":")[0])
