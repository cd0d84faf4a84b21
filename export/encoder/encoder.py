"""The encoder's arithmetic, for every family: one straight line from ids to outputs.

Shapes: B batch, T tokens of a text as given, n real tokens of the whole batch, R rows of attention with S places each,
E embedding, H hidden, A attention heads, D = H / A.

Padding is dropped before the first layer: activations are two-dimensional, [n, H], one row per real token. Only
attention needs texts back: one gather takes the heads apart and puts a text's tokens beside each other, one undoes it
(export/packing). The forms of the expressions (bias_add after matmul, erf gelu, mean/rsqrt norm, rank-4 mask) are
those that TensorFlow's CPU optimiser fuses. Layers call one function with a block's variables each, so that a saved
graph holds its nodes once; TensorFlow puts it in the place of its calls before it optimises.

With `compute` of bfloat16, matrix products and what they fuse with are computed in it; sums, norms, the pooler, heads
and all outputs stay float32. Dropout is in export/training, computing without moving tokens in export/plain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from export.encoder.activations import activate, layer_norm
from export.encoder.unpadding import Packing, pack, unpack, unpack_scores
from export.weights.config import EncoderConfig
from export.weights.vectors import EMBEDDINGS, with_vectors
from zoo.contract import DEFAULT, ENCODER_OUTPUTS, POOLED_OUTPUT, SEQUENCE_OUTPUT

Block: TypeAlias = Mapping[str, tf.Variable | tf.Tensor]
Layer: TypeAlias = Callable[[Block, tf.Tensor, Packing, Any], Sequence[tf.Tensor]]


class Drop:
    """What dropout does at one place of the encoder: nothing, unless one trains (export/training)."""

    rate = 0.0
    scale = 1.0

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return x, some of it dropped and the rest scaled up; all of it times `scale` besides."""
        scale = self.scale / (1.0 - self.rate)
        return self.kept(x if scale == 1.0 else x * scale)

    def kept(self, x: tf.Tensor) -> tf.Tensor:
        """Return x, some of it dropped."""
        return x


class Encoded(NamedTuple):
    """What an encoder computes."""

    outputs: Sequence[tf.Tensor]  # [B, T, H] of each layer, zeros wherever the mask is 0
    pooled: tf.Tensor  # [B, H]
    scores: Sequence[tf.Tensor]  # [B, A, T, T], what each layer attends to; who does not ask for it does not pay

    def named(self) -> dict[str, object]:
        """Return the outputs of the contract."""
        return {
            SEQUENCE_OUTPUT: self.outputs[-1],
            POOLED_OUTPUT: self.pooled,
            DEFAULT: self.pooled,
            ENCODER_OUTPUTS: self.outputs,
        }


class Encoder(tf.Module):
    """Bidirectional transformer encoder (Devlin et al. 2018), with shared blocks (ALBERT) and projected embeddings."""

    def __init__(self, config: EncoderConfig, variables: Block, compute: tf.DType = tf.float32) -> None:
        super().__init__(name="encoder")
        self.config, self.compute = config, compute
        self.weights = dict(variables)

    def __call__(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> Encoded:
        """Return what is computed of int32 [B, T] inputs, without dropout."""
        packing = self._pack(self._of_one_shape(ids, mask, types))
        seeds = self._seeds()
        x = self._embed(ids, types, packing, seeds[0])
        outputs, scores = [], []
        for layer, block, seed in zip(self._layers(), self.config.block_of_layer, seeds[1:], strict=True):
            x, output, *attention = layer(self._part(f"block_{block}"), x, packing, seed)
            outputs.append(output)
            scores += attention
        first = tf.cast(tf.gather(x, packing.first), tf.float32)  # [B, H]
        pooled = first if self.config.pooler == "first_token" else tf.tanh(self.dense(first, "pooler"))
        return Encoded(outputs, pooled, scores)

    def encode(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> dict[str, object]:
        """Return the outputs of the contract for int32 [B, T] inputs."""
        return self(ids, mask, types).named()

    def _layers(self) -> Sequence[Layer]:
        """Return for each layer the function that computes it: one and the same."""
        return [tf.function(self._layer, autograph=False)] * self.config.layers

    def _part(self, name: str) -> Block:
        scope = f"{name}/"
        return {name.removeprefix(scope): it for name, it in self.weights.items() if name.startswith(scope)}

    # -- dropout, of which there is none here -------------------------------------------------------------------------

    def _seeds(self) -> Sequence[Any]:
        """Return what dropout of the embeddings depends on, and of each layer."""
        return [None] * (1 + self.config.layers)

    def _drops(self, seed: Any) -> Sequence[Drop]:
        """Return what is done to the attention of a layer, then to what attention and the feed-forward add.

        What the second does is also done to the embeddings.
        """
        return [Drop()] * 3

    # -- the three parts ----------------------------------------------------------------------------------------------

    def _embed(self, ids: tf.Tensor, types: tf.Tensor, packing: Packing, seed: Any) -> tf.Tensor:
        ids, types = self._in_tables(self._kept(ids, packing), self._kept(types, packing))  # [n]
        x = self._rows("embeddings/word/table", ids)  # [n, E]
        if self.config.projection == "word":
            x = tf.matmul(x, self.weight("embeddings/word_projection/table", x.dtype))  # [n, H]
        x += self._rows("embeddings/type/table", types)
        x += self._rows("embeddings/position/table", packing.position)
        drop = self._drops(seed)[1]
        vectors = with_vectors(self._part(EMBEDDINGS), self.config, EMBEDDINGS)
        x = tf.cast(drop(self._norm(x, vectors["norm/gamma"], vectors["norm/beta"])), self.compute)
        return self.dense(x, "embeddings/projection") if self.config.projects else x  # [n, H]

    def _layer(self, block: Block, x: tf.Tensor, packing: Packing, seed: Any) -> Sequence[tf.Tensor]:
        """Return what a layer with the weights of a block makes of x, as [n, H] and [B, T, H], and its attention."""
        x, scores = self._transform(block, x, packing, seed)
        return x, self._unpack(x, packing), self._unpack_scores(scores, packing)

    def _transform(self, block: Block, x: tf.Tensor, packing: Packing, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        encoder = type(self)(self.config, with_vectors(block, self.config), self.compute)
        return encoder._one_layer(x, packing, self._drops(seed))

    def _one_layer(self, x: tf.Tensor, packing: Packing, drops: Sequence[Drop]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return [n, H] and the attention, [R, A, S, S]; here the weights are those of one block."""
        change, scores = self._attend(x, packing, drops[0])  # [n, H]
        x, change = self._feed_forward(self._sum(x, drops[1](change)))
        return self._normed(self._sum(x, drops[2](change)), "ffn/norm"), scores

    def _attend(self, x: tf.Tensor, packing: Packing, drop: Drop) -> tuple[tf.Tensor, tf.Tensor]:
        joined = self.dense(x, "attention/query_key_value")  # [n, 3 * H]
        joined = tf.reshape(joined, [-1, self.config.hidden_size // self.config.heads])  # [n * 3 * A, D]
        query, key, value = self._split_heads(joined, packing)  # each [R, A, S, D]
        context, scores = self._attention(query, key, value, packing.scores_mask, drop)
        context = tf.reshape(self._join_heads(context, packing), [-1, self.config.hidden_size])  # [n, H]
        return self.dense(context, "attention/output"), scores

    def _attention(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor, drop: Drop
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the context and the scores, [R, A, S, D] and [R, A, S, S], of three [R, A, S, D]."""
        scores = tf.matmul(query, key, transpose_b=True) * (1.0 / math.sqrt(query.shape[-1]))
        scores = tf.nn.softmax(scores + tf.cast(mask, scores.dtype))
        return tf.matmul(drop(scores), value), scores

    def _feed_forward(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return x [n, H] normed, and what the feed-forward adds to it."""
        x = self._normed(x, "attention/norm")
        return x, self._transition(x)

    def _transition(self, x: tf.Tensor) -> tf.Tensor:
        inner = self._activate(self.dense(x, "ffn/expand"))  # [n, F]
        return self.dense(inner, "ffn/contract")

    # -- inputs that would be computed with and give wrong numbers; export/plain takes them as they are ---------------

    def _of_one_shape(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
        """Return the mask once it is known that all three have one shape, and no more tokens than positions.

        All that is computed begins with the mask, so nothing runs before the check.
        """
        limit, shapes = self.config.position_limit, [tf.shape(each) for each in (ids, mask, types)]
        length = shapes[0][1]
        alike = tf.reduce_all(tf.equal(tf.stack(shapes[1:]), shapes[0]))
        holds = tf.logical_and(alike, tf.logical_and(length >= 1, length <= limit))
        message = (
            f"this model takes 1 to {limit} tokens a row (cut or split longer rows), and ids, mask and types of one "
            "shape. The shapes of input_word_ids, input_mask and input_type_ids here:"
        )
        with tf.control_dependencies([tf.debugging.Assert(holds, [message, *shapes])]):
            return tf.identity(mask)

    def _in_tables(self, ids: tf.Tensor, types: tf.Tensor) -> Sequence[tf.Tensor]:
        """Return ids and types [n] once it is known that every one has a row in its table. On a GPU no gather asks."""
        sizes = (self.config.vocab_size, self.config.type_vocab_size)
        both = tf.stack([ids, types])  # [2, n]
        outside = tf.logical_or(both < 0, both >= tf.constant(sizes, shape=[2, 1]))
        wrong = tf.gather_nd(both, tf.where(outside))
        message = (
            f"input_word_ids of this model are 0 to {sizes[0] - 1}, input_type_ids 0 to {sizes[1] - 1}; take the "
            "tokenizer of its vocabulary. Outside of that are here:"
        )
        with tf.control_dependencies([tf.debugging.Assert(tf.equal(tf.size(wrong), 0), [message, wrong])]):
            checked: Sequence[tf.Tensor] = tf.unstack(both)
        return checked

    # -- where a batch's tokens lie; export/plain leaves them where they are ------------------------------------------

    def _pack(self, mask: tf.Tensor) -> Packing:
        return pack(mask, self.config.heads)

    def _kept(self, x: tf.Tensor, packing: Packing) -> tf.Tensor:
        """Return [B, T] as [n], of the kept tokens."""
        return tf.gather_nd(x, packing.kept)

    def _split_heads(self, joined: tf.Tensor, packing: Packing) -> Sequence[tf.Tensor]:
        return tf.unstack(tf.gather(joined, packing.split))

    def _join_heads(self, context: tf.Tensor, packing: Packing) -> tf.Tensor:
        return tf.gather(tf.reshape(context, [-1, context.shape[-1]]), packing.joined)

    def _unpack(self, x: tf.Tensor, packing: Packing) -> tf.Tensor:
        return unpack(x, packing)

    def _unpack_scores(self, scores: tf.Tensor, packing: Packing) -> tf.Tensor:
        return unpack_scores(scores, packing)

    # -- what they are made of ----------------------------------------------------------------------------------------

    def _activate(self, x: tf.Tensor) -> tf.Tensor:
        return activate(self.config.activation, x)

    def dense(self, x: tf.Tensor, module: str, scale: float = 1.0) -> tf.Tensor:
        """Return the product of x and a kernel, and its bias; of x that was multiplied by `scale`, all of it so."""
        kernel, bias = (self.weight(f"{module}/{leaf}", x.dtype) for leaf in ("kernel", "bias"))
        return tf.nn.bias_add(tf.matmul(x, kernel), bias if scale == 1.0 else bias * tf.cast(scale, bias.dtype))

    def weight(self, name: str, dtype: tf.DType = tf.float32) -> tf.Tensor | tf.Variable:
        """Return a variable to compute with in `dtype`, whatever precision it is stored in."""
        variable = self.weights[name]
        return variable if variable.dtype == dtype else tf.cast(variable, dtype)

    def _rows(self, table: str, ids: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(self.weights[table], ids)
        return rows if rows.dtype == tf.float32 else tf.cast(rows, tf.float32)

    def _sum(self, x: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.float32) + tf.cast(change, tf.float32)

    def _normed(self, x: tf.Tensor, module: str) -> tf.Tensor:
        return tf.cast(self.norm(x, module), self.compute)

    def norm(self, x: tf.Tensor, module: str) -> tf.Tensor:
        gamma, beta = self.weights[f"{module}/gamma"], self.weights[f"{module}/beta"]
        return self._norm(x, gamma, beta)

    def _norm(self, x: tf.Tensor, gamma: Any, beta: Any) -> tf.Tensor:
        return layer_norm(x, gamma, beta, self.config.layer_norm_epsilon)
