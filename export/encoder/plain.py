"""The encoder for other runtimes: every token computed where it stands, in operations that all of them have.

B texts, T tokens of each, A attention heads of width D. No token is moved, so heads are taken apart and joined by
reshape and transpose; no table, no assertion, no string. What comes out is the archive's: zeros wherever the mask is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from export.encoder.encoder import Encoder, Layer
from export.encoder.unpadding import MASKED
from export.families import FAMILIES
from export.weights.config import EncoderConfig
from export.weights.naming import archive_name
from export.weights.plan import variable_parts
from zoo.archive.card import EncoderCard
from zoo.contract import INPUT_KEYS, POOLED_OUTPUT, SEQUENCE_OUTPUT
from zoo.errors import BadArchive

OUTPUT_KEYS = (SEQUENCE_OUTPUT, POOLED_OUTPUT)


class _Plain(NamedTuple):
    """What the arithmetic asks about a batch."""

    position: tf.Tensor  # [B * T] of every token
    first: tf.Tensor  # [B] place of each text's first token
    shape: tf.Tensor  # B, T
    real: tf.Tensor  # [B, T, 1] float, 0 where the mask is 0
    scores_mask: tf.Tensor  # [B, 1, 1, T] additive


class PlainEncoder(Encoder):
    """The arithmetic of `Encoder` on all of [B * T]; it checks neither shapes nor ids."""

    def outputs(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> dict[str, Any]:
        """Return the two outputs that are converted."""
        outputs = self.encode(ids, mask, types)
        return {key: outputs[key] for key in OUTPUT_KEYS}

    def _of_one_shape(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
        return mask

    def _in_tables(self, ids: tf.Tensor, types: tf.Tensor) -> Sequence[tf.Tensor]:
        return ids, types

    def _pack(self, mask: tf.Tensor) -> Any:
        batch, length = tf.shape(mask)[0], tf.shape(mask)[1]
        real = tf.cast(tf.not_equal(mask, 0), tf.float32)  # [B, T]
        # A text without any real token attends to its first position alone, as in the archive.
        is_empty = 1.0 - tf.reduce_max(real, 1, keepdims=True)
        is_first = tf.expand_dims(tf.cast(tf.equal(tf.range(length), 0), tf.float32), 0)
        keys = tf.maximum(real, is_empty * is_first)
        return _Plain(
            position=tf.range(batch * length) % length,
            first=tf.range(batch) * length,
            shape=tf.stack([batch, length]),
            real=tf.expand_dims(real, 2),
            scores_mask=tf.reshape((1.0 - keys) * MASKED, tf.stack([batch, 1, 1, length])),
        )

    def _layers(self) -> Sequence[Layer]:
        """Return functions of Python: converters take one graph."""
        return [self._layer] * self.config.layers

    def _kept(self, x: tf.Tensor, packing: Any) -> tf.Tensor:
        return tf.reshape(x, [-1])

    def _split_heads(self, joined: tf.Tensor, packing: Any) -> Sequence[tf.Tensor]:
        batch, length = tf.unstack(packing.shape)
        apart = tf.reshape(joined, tf.stack([batch, length, 3 * self.config.heads, joined.shape[-1]]))
        apart = tf.transpose(apart, [0, 2, 1, 3])  # [B, 3 * A, T, D]
        parts: Sequence[tf.Tensor] = tf.split(apart, 3, axis=1)
        return parts

    def _join_heads(self, context: tf.Tensor, packing: Any) -> tf.Tensor:
        return tf.transpose(context, [0, 2, 1, 3])  # [B, T, A, D]

    def _unpack(self, x: tf.Tensor, packing: Any) -> tf.Tensor:
        shape = tf.concat([packing.shape, [self.config.hidden_size]], 0)
        return tf.reshape(x, shape) * packing.real

    def _unpack_scores(self, scores: tf.Tensor, packing: Any) -> tf.Tensor:
        return scores

    def _activate(self, x: tf.Tensor) -> tf.Tensor:
        # TFLite has no erf of its own; it knows gelu by this order of its factors.
        if self.config.activation == "gelu":
            return (x * 0.5) * (tf.math.erf(x * math.sqrt(0.5)) + 1.0)
        return super()._activate(x)


class PlainRoot(tf.train.Checkpoint):
    """What is saved, frozen and converted: one function of three int32 inputs [B, T], two outputs, float32.

    root = PlainRoot(plain_encoder(hub.load(path).variables, read_card(path)))
    root.encode(input_word_ids=ids, input_mask=mask, input_type_ids=types)["pooled_output"]
    """

    def __init__(self, encoder: PlainEncoder) -> None:
        super().__init__()
        self.encoder = encoder

        def encode(**inputs: tf.Tensor) -> dict[str, Any]:
            return encoder.outputs(*(inputs[key] for key in INPUT_KEYS))

        specs = {key: tf.TensorSpec([None, None], tf.int32, key) for key in INPUT_KEYS}
        self.encode = tf.function(encode, autograph=False).get_concrete_function(**specs)


def plain_encoder(variables: Sequence[tf.Variable], card: EncoderCard) -> PlainEncoder:
    """Return the encoder of an archive, from its loaded variables and its card; heads are left out.

        plain_encoder(hub.load(path).variables, read_card(path)).encode(ids, mask, types)

    Matrices that are stored in half precision are widened: products are of float32, and the weights stay rounded.
    Raises BadArchive for a family that is not known here and for variables that are missing.
    """
    family = next((family for family in FAMILIES if family.name == card.family), None)
    if family is None:
        known = ", ".join(family.name for family in FAMILIES)
        raise BadArchive(f"{card.name} is of family {card.family!r}, known here are {known}; update bert-zoo.")
    config = config_of(card)
    found = {variable.name.partition(":")[0]: variable for variable in variables}
    names = {ours: archive_name(ours, family.layouts[0]) for ours in variable_parts(config)}
    if missing := [name for name in names.values() if name not in found]:
        raise BadArchive(f"{card.name} has no {', '.join(missing)}; it cannot be rebuilt from its card.")
    return PlainEncoder(config, {ours: _widened(found[name]) for ours, name in names.items()})


def config_of(card: EncoderCard) -> EncoderConfig:
    """Return the config that a card's archive was built with, as far as outputs without training tell."""
    family = next(family for family in FAMILIES if family.name == card.family)
    sizes = card.sizes.model_dump(exclude={"layers", "blocks"})
    return EncoderConfig(
        family=card.family,
        block_of_layer=_block_of_layer(card.sizes.layers, card.sizes.blocks, card.truncated_from or card.sizes.layers),
        activation_reason=card.activation_reason,
        activation_chosen=False,
        pooler="first_token" if card.pooler.startswith("none") else "dense",
        projection=family.projection,
        **sizes,
    )


def _block_of_layer(layers: int, blocks: int, of: int) -> tuple[int, ...]:
    """Return which block each layer uses, in a model cut to its first layers out of `of`.

    The card does not say how many blocks the whole model had: the fewest that leave so many are taken. Where that is
    wrong, as it can be for a cut ALBERT of several groups, the comparison that ends a conversion refuses it.
    """
    choices = (tuple(layer * groups // of for layer in range(layers)) for groups in range(1, of + 1))
    return next(choice for choice in choices if len(set(choice)) == blocks)


def _widened(variable: tf.Variable) -> tf.Variable:
    if variable.dtype == tf.float32:
        return variable
    return tf.Variable(tf.cast(variable, tf.float32), name=variable.name.partition(":")[0])
