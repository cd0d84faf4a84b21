"""The encoder's arithmetic, for every family: one straight line from ids to outputs.

Shapes: B batch, T tokens of a text as given, n real tokens of the whole batch, R rows of attention with S places each,
E embedding, H hidden, A attention heads, D = H / A.

Padding is dropped before the first layer: activations are two-dimensional, [n, H], one row per real token. Only
attention needs texts back: one gather takes the heads apart and puts a text's tokens beside each other, one undoes it
(export/packing). The forms of the expressions (bias_add after matmul, erf gelu, mean/rsqrt norm, rank-4 mask) are
those that TensorFlow's CPU optimiser fuses.

With `compute` of bfloat16, matrix products and what they fuse with are computed in it; sums, norms, the pooler, heads
and all outputs stay float32. Dropout is in export/training, computing without moving tokens in export/plain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, repeat

import tensorflow as tf

from export.config import EncoderConfig
from export.elementwise import activate, layer_norm
from export.packing import Packing, pack, unpack, unpack_scores
from zoo.contract import ATTENTION_SCORES, DEFAULT, ENCODER_OUTPUTS, POOLED_OUTPUT, SEQUENCE_OUTPUT


class Drop:
    """What dropout does at one place of the encoder: nothing, unless one trains (export/training)."""

    rate = 0.0

    def __call__(self, x: tf.Tensor, scale: float = 1.0) -> tf.Tensor:
        """Return x, some of it dropped and the rest scaled up; all of it times `scale` besides."""
        scale /= 1.0 - self.rate
        return self.kept(x if scale == 1.0 else x * scale)

    def kept(self, x: tf.Tensor) -> tf.Tensor:
        """Return x, some of it dropped."""
        return x


class Encoder(tf.Module):
    """Bidirectional transformer encoder (Devlin et al. 2018), with shared blocks (ALBERT) and projected embeddings."""

    def __init__(
        self, config: EncoderConfig, variables: Mapping[str, tf.Variable], compute: tf.DType = tf.float32
    ) -> None:
        super().__init__(name="encoder")
        self.config, self.compute = config, compute
        self.weights = dict(variables)

    def encode(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor) -> dict[str, object]:
        """Return the outputs of the contract for int32 [B, T] inputs, without dropout.

        And for each layer what each position attends to; who does not ask for it does not pay.
        """
        packing = self._pack(ids, mask)
        places = self._places_of_dropout()
        layers, scores = self._run(self._embed(ids, types, packing, next(places)), packing, places)
        first = tf.cast(tf.gather(layers[-1], packing.first), tf.float32)  # [B, H]
        pooled = first if self.config.pooler == "first_token" else tf.tanh(self.dense(first, "pooler"))
        outputs = [self._unpack(x, packing) for x in layers]  # each [B, T, H]
        return {
            SEQUENCE_OUTPUT: outputs[-1],
            POOLED_OUTPUT: pooled,
            DEFAULT: pooled,
            ENCODER_OUTPUTS: outputs,
            ATTENTION_SCORES: [self._unpack_scores(each, packing) for each in scores],
        }

    def _places_of_dropout(self) -> Iterator[Drop]:
        """Return what is done to the embeddings, then three for every layer; see `_layer`."""
        return repeat(Drop())

    def _run(self, x: tf.Tensor, packing: Packing, places: Iterator[Drop]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Return every layer's output [n, H] and attention [R, A, S, S]."""
        layers, scores = [], []
        for block in self.config.block_of_layer:
            x, attended = self._layer(x, f"block_{block}", packing, list(islice(places, 3)))
            layers.append(x)
            scores.append(attended)
        return layers, scores

    # -- the three parts ----------------------------------------------------------------------------------------------

    def _embed(self, ids: tf.Tensor, types: tf.Tensor, packing: Packing, drop: Drop) -> tf.Tensor:
        x = self._rows("embeddings/word/table", tf.gather(tf.reshape(ids, [-1]), packing.kept))  # [n, E]
        if self.config.projection == "word":
            x = tf.matmul(x, self.weight("embeddings/word_projection/table", x.dtype))  # [n, H]
        x += self._rows("embeddings/type/table", tf.gather(tf.reshape(types, [-1]), packing.kept))
        x += self._rows("embeddings/position/table", packing.kept % tf.shape(ids)[1])
        x = tf.cast(drop(self.norm(x, "embeddings/norm")), self.compute)
        return self.dense(x, "embeddings/projection") if self.config.projects else x  # [n, H]

    def _layer(self, x: tf.Tensor, scope: str, packing: Packing, drops: Sequence[Drop]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the output [n, H] of one layer and its attention [R, A, S, S].

        Dropout is of that attention, and of what attention and the feed-forward add.
        """
        context, scores = self._attend(x, f"{scope}/attention", packing, drops[0])  # [n, H]
        change = drops[1](self.dense(context, f"{scope}/attention/output"))
        x = self._residual(x, change, f"{scope}/attention/norm")
        change = self._feed_forward(x, f"{scope}/ffn", drops[2])
        return self._residual(x, change, f"{scope}/ffn/norm"), scores

    def _attend(self, x: tf.Tensor, scope: str, packing: Packing, drop: Drop) -> tuple[tf.Tensor, tf.Tensor]:
        joined = self.dense(x, f"{scope}/query_key_value")  # [n, 3 * H]
        joined = tf.reshape(joined, [-1, self.config.hidden_size // self.config.heads])  # [n * 3 * A, D]
        query, key, value = self._split_heads(joined, packing)  # each [R, A, S, D]
        context, scores = self._attention(query, key, value, packing.scores_mask, drop)
        return tf.reshape(self._join_heads(context, packing), [-1, self.config.hidden_size]), scores  # [n, H]

    def _attention(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor, drop: Drop
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the context and the scores, [R, A, S, D] and [R, A, S, S], of three [R, A, S, D]."""
        scores = tf.matmul(query, key, transpose_b=True) * (1.0 / math.sqrt(query.shape[-1]))
        scores = tf.nn.softmax(scores + tf.cast(mask, scores.dtype))
        return tf.matmul(drop(scores), value), scores

    def _feed_forward(self, x: tf.Tensor, scope: str, drop: Drop) -> tf.Tensor:
        inner = self._activate(self.dense(x, f"{scope}/expand"))  # [n, F]
        return drop(self.dense(inner, f"{scope}/contract"))

    # -- where a batch's tokens lie; export/plain leaves them where they are ------------------------------------------

    def _pack(self, ids: tf.Tensor, mask: tf.Tensor) -> Packing:
        with tf.control_dependencies([self._limit_positions(ids)]):
            return pack(mask, self.config.heads)

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

    def _residual(self, x: tf.Tensor, change: tf.Tensor, norm: str) -> tf.Tensor:
        total = tf.cast(x, tf.float32) + tf.cast(change, tf.float32)
        return tf.cast(self.norm(total, norm), self.compute)

    def norm(self, x: tf.Tensor, module: str) -> tf.Tensor:
        gamma, beta = self.weights[f"{module}/gamma"], self.weights[f"{module}/beta"]
        return self._norm(x, gamma, beta)

    def _norm(self, x: tf.Tensor, gamma: tf.Variable, beta: tf.Variable) -> tf.Tensor:
        return layer_norm(x, gamma, beta, self.config.layer_norm_epsilon)

    def _limit_positions(self, ids: tf.Tensor) -> tf.Operation:
        limit, length = self.config.position_limit, tf.shape(ids)[1]
        message = f"this model takes 1 to {limit} tokens a row; cut or split longer rows. Tokens a row in this input:"
        return tf.debugging.Assert(tf.logical_and(length >= 1, length <= limit), [message, length])
