"""The encoder, one for every family: `Encoder` embeds, runs its layers (`Block`) and pools.

    encoder = Encoder(config, weights)
    encoder.encode(ids, mask, types)["sequence_output"]  # [B, T, H]

Letters of shapes: B texts of a batch, T tokens of a text as given; n tokens of the whole batch that are computed; R
rows of attention with S places each; A attention heads of width D; E embedding, H hidden, F feed-forward size.

Three objects are handed in. The layout says where tokens lie: `Packed` (export/encoder/unpadding.py) drops padding
before the first layer, `Plain` (export/encoder/plain.py) leaves every token in its place. The positions say how the
order of tokens counts: `Absolute`, `Rotary` or `Relative` (export/encoder/positions.py). The forms are the formulas:
`Inference` below, or `Training` (export/encoder/training.py), which gives the same values and adds dropout.

The order of operations is one that TensorFlow's CPU optimiser fuses: bias_add after matmul, gelu by erf, a norm of mean
and rsqrt, a mask of rank 4. Another order gives the same numbers more slowly.

If `compute` is bfloat16, matrix products and the operations fused with them are computed in it. Sums, norms, the
pooler, heads and all outputs stay float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from export.encoder.activations import activate, layer_norm
from export.encoder.plain import Plain
from export.encoder.positions import POSITIONS, Absolute
from export.encoder.unpadding import Packed
from export.weights.config import EncoderConfig
from export.weights.vectors import EMBEDDINGS, with_vectors
from zoo.archive.activation import Activation
from zoo.contract import DEFAULT, ENCODER_OUTPUTS, POOLED_OUTPUT, SEQUENCE_OUTPUT

NamedWeights: TypeAlias = Mapping[str, tf.Variable | tf.Tensor]  # by our names, such as "ffn/expand/kernel"
TokenLayout: TypeAlias = Packed | Plain
DenseFunction: TypeAlias = Callable[..., tf.Tensor]  # `ModelPart.dense`
LayerFunction: TypeAlias = Callable[[NamedWeights, tf.Tensor, TokenLayout, Any], Sequence[tf.Tensor]]


class Encoded(NamedTuple):
    """The outputs of an encoder."""

    outputs: Sequence[tf.Tensor]  # [B, T, H] of each layer, zeros wherever the mask is 0; see `Encoder.__call__`
    pooled: tf.Tensor  # [B, H]
    scores: Sequence[tf.Tensor]  # [B, A, T, T] attention of each layer; not computed in a graph that does not return it

    def named(self) -> dict[str, object]:
        """Return the outputs of the contract."""
        return {
            SEQUENCE_OUTPUT: self.outputs[-1],
            POOLED_OUTPUT: self.pooled,
            DEFAULT: self.pooled,
            ENCODER_OUTPUTS: self.outputs,
        }


@dataclass(frozen=True, eq=False)
class ModelPart:
    """A part of the model: its weights by name, and the products, norms and rows computed with them."""

    config: EncoderConfig
    weights: NamedWeights
    compute: tf.DType = tf.float32
    forms: Inference = field(default_factory=lambda: Inference())

    def dense(self, x: tf.Tensor, module: str, scale: float = 1.0) -> tf.Tensor:
        """Return x @ kernel + bias.

        If x was multiplied by `scale` before, the bias is too, so that the result is `scale` times that of x itself.
        """
        kernel, bias = (self.weight(f"{module}/{leaf}", x.dtype) for leaf in ("kernel", "bias"))
        return tf.nn.bias_add(tf.matmul(x, kernel), bias if scale == 1.0 else bias * tf.cast(scale, bias.dtype))

    def norm(self, x: tf.Tensor, module: str) -> tf.Tensor:
        """Return the layer norm of x, float32."""
        gamma, beta = self.weights[f"{module}/gamma"], self.weights[f"{module}/beta"]
        return self.forms.norm(x, gamma, beta, self.config.layer_norm_epsilon)

    def rows(self, table: str, ids: tf.Tensor) -> tf.Tensor:
        """Return the rows of a table, float32."""
        rows = tf.gather(self.weights[table], ids)
        return rows if rows.dtype == tf.float32 else tf.cast(rows, tf.float32)

    def weight(self, name: str, dtype: tf.DType = tf.float32) -> tf.Tensor | tf.Variable:
        """Return a weight in the precision to compute in, whichever it is stored in."""
        variable = self.weights[name]
        return variable if variable.dtype == dtype else tf.cast(variable, dtype)


@dataclass(frozen=True, eq=False)
class Encoder(ModelPart):
    """Bidirectional transformer encoder (Devlin et al. 2018), with shared blocks (ALBERT) and projected embeddings.

    `weights` are those of all blocks and heads, such as "block_0/ffn/expand/kernel" and "mlm/dense/kernel".
    """

    layout: type[TokenLayout] = Packed

    def __call__(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, first_only: bool = False) -> Encoded:
        """Return the outputs for int32 inputs, [B, T] each.

        With `first_only` the last layer computes each text's first token alone: its output is [B, 1, H].
        """
        packing = self.layout.of(ids, mask, types, self.config)  # where the tokens of this batch lie
        packing = packing._replace(scores_mask=self.forms.scores_mask(packing, self.compute))
        positions = POSITIONS[self.config.positions](packing, self.config, self.compute)
        seeds = self.forms.seeds(self.config.layers)
        x = self._embed(ids, types, packing, positions, seeds[0])  # [n, H]
        outputs, scores = [], []
        for layer, block, seed in zip(
            self._layers(positions, first_only), self.config.block_of_layer, seeds[1:], strict=True
        ):
            x, output, *attention = layer(self._part(f"block_{block}"), x, packing, seed)
            outputs.append(output)  # [B, T, H]
            scores += attention  # [B, A, T, T]
        first = x if first_only else tf.gather(x, packing.first)  # [B, H]
        return Encoded(outputs, self._pool(first), scores)

    def encode(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, first_only: bool = False) -> dict[str, object]:
        """Return the outputs of the contract for int32 inputs, [B, T] each; `first_only` as in `__call__`."""
        return self(ids, mask, types, first_only).named()

    def _embed(
        self, ids: tf.Tensor, types: tf.Tensor, packing: TokenLayout, positions: Absolute, seed: Any
    ) -> tf.Tensor:
        ids, types = packing.take(ids, types, self.config)  # [n] each
        x = self.rows("embeddings/word/table", ids)  # [n, E]
        if self.config.projection == "word":
            x = tf.matmul(x, self.weight("embeddings/word_projection/table", x.dtype))  # [n, H]
        x += self.rows("embeddings/type/table", types)
        x = positions.embedded(x, self.rows)
        drops = self.forms.drops(seed, self.config)
        vectors = with_vectors(self._part(EMBEDDINGS), self.config, EMBEDDINGS)
        x = self.forms.norm(x, vectors["norm/gamma"], vectors["norm/beta"], self.config.layer_norm_epsilon)
        x = tf.cast(drops.hidden(x), self.compute)
        return self.dense(x, "embeddings/projection") if self.config.projects else x  # [n, H]

    def _layers(self, positions: Absolute, first_only: bool) -> Sequence[LayerFunction]:
        layers = self.forms.layers(partial(self._layer_with, positions), self.config.layers)
        if not first_only:
            return layers
        return [*layers[:-1], *self.forms.layers(partial(self._layer_with, positions, first_only=True), 1)]

    def _layer_with(self, positions: Absolute, forms: Inference, first_only: bool = False) -> LayerFunction:
        """Return a layer as a function of a block's weights. Its names here are also those in saved_model.pb."""

        def _layer(block: NamedWeights, x: tf.Tensor, packing: TokenLayout, seed: Any) -> Sequence[tf.Tensor]:
            weights = with_vectors(block, self.config)
            layer = Block(self.config, weights, self.compute, forms, positions=positions, first_only=first_only)
            x, *scores = layer(x, packing, seed)
            unpacked = packing.unpack_first(x) if first_only else packing.unpack(x)
            return [x, unpacked, *map(packing.unpack_scores, scores)]

        return _layer

    def _pool(self, first: tf.Tensor) -> tf.Tensor:
        first = tf.cast(first, tf.float32)  # [B, H]
        return first if self.config.pooler == "first_token" else tf.tanh(self.dense(first, "pooler"))

    def _part(self, name: str) -> NamedWeights:
        scope = f"{name}/"
        return {name.removeprefix(scope): it for name, it in self.weights.items() if name.startswith(scope)}


@dataclass(frozen=True, eq=False)
class Block(ModelPart):
    """One layer of a transformer, with the weights of one block: attention, then the feed-forward.

    With `first_only` all tokens are seen, but only each text's first one is computed: the n of what comes back is B.
    """

    positions: Absolute = field(kw_only=True)
    first_only: bool = field(kw_only=True, default=False)

    def __call__(self, x: tf.Tensor, packing: TokenLayout, seed: Any) -> Sequence[tf.Tensor]:
        """Return x [n, H] after the layer and, if the forms give them, the attention scores [R, A, S, S]."""
        drops = self.forms.drops(seed, self.config)
        attention, feed_forward = self.forms.parts(self)
        change, *scores = attention(x, packing, drops.scores)  # [n, H]
        x, change = feed_forward(self.forms.sum(self._computed(x, packing), drops.hidden(change)))  # [n, H] each
        x = self.norm(self.forms.sum(x, drops.feed_forward(change)), "ffn/norm")
        return [tf.cast(x, self.compute), *scores]

    def attention(self, x: tf.Tensor, packing: TokenLayout, drop: Any) -> Sequence[tf.Tensor]:
        """Return what attention adds to x, [n, H], and the scores, as in `__call__`."""
        joined = self.dense(x, "attention/query_key_value")  # [n, 3 * H]
        joined = tf.reshape(joined, [-1, self.config.hidden_size // self.config.heads])  # [n * 3 * A, D]
        query, key, value = self.positions.heads(*packing.split_heads(joined))  # [R, A, S, D] each
        context, *scores = self.forms.attention(query, key, value, packing.scores_mask, drop, self.positions)
        context = tf.reshape(packing.join_heads(context), [-1, self.config.hidden_size])  # [n, H]
        return [self.dense(self._computed(context, packing), "attention/output"), *scores]

    def feed_forward(self, x: tf.Tensor) -> Sequence[tf.Tensor]:
        """Return the norm of x, [n, H], and what the feed-forward adds to it."""
        x = tf.cast(self.norm(x, "attention/norm"), self.compute)
        return [x, self.forms.transition(self.dense, x, self.config)]

    def _computed(self, x: tf.Tensor, packing: TokenLayout) -> tf.Tensor:
        """Return the rows of x [n, H] that go on: all, or those of first tokens."""
        return tf.gather(x, packing.first) if self.first_only else x


class Drops(NamedTuple):
    """The dropout at the three places of a layer, each a function of a tensor."""

    scores: Any  # of the attention scores
    hidden: Any  # of what attention adds to x; also of the embeddings
    feed_forward: Any  # of what the feed-forward adds to x


class Inference:
    """The formulas of an encoder that does not train. `Training` has the same methods in other forms."""

    def layers(self, layer_with: Callable[[Inference], LayerFunction], layers: int) -> Sequence[LayerFunction]:
        """Return the function of each layer: one for all, so that a saved graph holds the nodes of a layer once.

        TensorFlow puts the function in the place of its calls before it optimises the graph.
        """
        return [tf.function(layer_with(self), autograph=False)] * layers

    def parts(self, block: Block) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return attention and feed-forward of a block, as the block calls them."""
        return block.attention, block.feed_forward

    def seeds(self, layers: int) -> Sequence[Any]:
        """Return a seed for the dropout of the embeddings and of each layer."""
        return [None] * (1 + layers)

    def drops(self, seed: Any, config: EncoderConfig) -> Drops:
        """Return the dropout of one layer, which drops nothing here."""

        def same(x: tf.Tensor) -> tf.Tensor:
            return x

        return Drops(same, same, same)

    def scores_mask(self, packing: TokenLayout, compute: tf.DType) -> tf.Tensor:
        """Return the mask that `attention` adds to the scores."""
        return packing.scores_mask

    def attention(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor, drop: Any, positions: Absolute
    ) -> Sequence[tf.Tensor]:
        """Return the context [R, A, S, D] and the scores [R, A, S, S], of three tensors [R, A, S, D]."""
        scores = positions.scores(query, key) * (1.0 / math.sqrt(query.shape[-1]))
        scores = self.softmax(scores, tf.cast(mask, scores.dtype))
        return [positions.context(drop(scores), value), scores]

    def softmax(self, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Return the softmax, over the keys, of scores [R, A, S, S] with the mask added."""
        return tf.nn.softmax(scores + mask)

    def transition(self, dense: DenseFunction, x: tf.Tensor, config: EncoderConfig) -> tf.Tensor:
        """Return the feed-forward of x [n, H]: two products with the activation between them."""
        inner = self.activate(config.activation, dense(x, "ffn/expand"))  # [n, F]
        return dense(inner, "ffn/contract")

    def activate(self, activation: Activation, x: tf.Tensor) -> tf.Tensor:
        return activate(activation, x)

    def sum(self, x: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.float32) + tf.cast(change, tf.float32)

    def norm(self, x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
        return layer_norm(x, gamma, beta, epsilon)
