"""The encoder's arithmetic, for every family: one straight line from ids to outputs.

Shapes: B batch, T tokens of a text as given, n real tokens of the whole batch, R rows of attention with S places each,
E embedding, H hidden, A attention heads, D = H / A.

Padding is dropped before the first layer: activations are two-dimensional, [n, H], one row per real token. Only
attention needs texts back: one gather takes the heads apart and puts a text's tokens beside each other, one undoes it
(export/packing). The forms of the expressions (bias_add after matmul, erf gelu, mean/rsqrt norm, rank-4 mask) are
those that TensorFlow's CPU optimiser fuses.

With `compute` of bfloat16, matrix products and what they fuse with are computed in it; sums, norms, the pooler, heads
and all outputs stay float32. Training is told by its dropout's seeds, None without it; with `recompute` it keeps each
layer's input alone and computes the layer again in the backward pass (Chen et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeAlias

import tensorflow as tf

from export.config import EncoderConfig
from export.elementwise import activate, layer_norm
from export.packing import Packing, pack, unpack, unpack_scores
from zoo.contract import ATTENTION_SCORES, DEFAULT, ENCODER_OUTPUTS, POOLED_OUTPUT, SEQUENCE_OUTPUT

Seeds: TypeAlias = "Sequence[tf.Tensor | None]"  # each [2]; None without training


class Encoder(tf.Module):
    """Bidirectional transformer encoder (Devlin et al. 2018), with shared blocks (ALBERT) and projected embeddings."""

    def __init__(
        self,
        config: EncoderConfig,
        variables: Mapping[str, tf.Variable],
        compute: tf.DType = tf.float32,
        recompute: bool = False,
    ) -> None:
        super().__init__(name="encoder")
        self.config, self.compute, self.recompute = config, compute, recompute
        self.weights = dict(variables)

    def encode(self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, training: bool) -> dict[str, object]:
        """Return the outputs of the contract for int32 [B, T] inputs; `training` is known when the graph is traced.

        Without `training` also, for each layer, what each position attends to; who does not ask for it does not pay.
        """
        packing, layers, scores = self._run(ids, mask, types, self._seeds(training))
        if training:
            layers = [_with_dense_gradient(x) for x in layers]
        first = tf.cast(tf.gather(layers[-1], packing.first), tf.float32)  # [B, H]
        pooled = first if self.config.pooler == "first_token" else tf.tanh(self.dense(first, "pooler"))
        outputs = [unpack(x, packing) for x in layers]  # each [B, T, H]
        found = {SEQUENCE_OUTPUT: outputs[-1], POOLED_OUTPUT: pooled, DEFAULT: pooled, ENCODER_OUTPUTS: outputs}
        return found if training else found | {ATTENTION_SCORES: [unpack_scores(s, packing) for s in scores]}

    def _run(
        self, ids: tf.Tensor, mask: tf.Tensor, types: tf.Tensor, seeds: Seeds
    ) -> tuple[Packing, list[tf.Tensor], list[tf.Tensor]]:
        """Return every layer's output [n, H] and attention [R, A, S, S]."""
        with tf.control_dependencies([self._limit_positions(ids)]):
            packing = pack(mask, self.config.heads)
        x = self._embed(ids, types, packing, seeds[0])  # [n, H]
        layers, scores = [], []
        for number, block in enumerate(self.config.block_of_layer):
            own = seeds[1 + 3 * number : 4 + 3 * number]
            layer = partial(self._layer, block=block, packing=packing, seeds=own)
            if self.recompute and own[0] is not None:
                x = tf.recompute_grad(lambda x, layer=layer: layer(x)[0])(x)  # [n, H]
                x.set_shape([None, self.config.hidden_size])
            else:
                x, attended = layer(x)  # [n, H]
                scores.append(attended)
            layers.append(x)
        return packing, layers, scores

    def _seeds(self, training: bool) -> Seeds:
        """Return two numbers for every place of dropout, others at every call: one place, and three for every layer.

        Drawn with a seed: without one, TensorFlow refuses random operations under op determinism. The raw operation, as
        tf.random's would write the seed of whoever exports (tf.random.set_seed) into the graph.
        """
        places = 1 + 3 * self.config.layers
        if not training:
            return [None] * places
        shape = [places, 2]
        return tf.unstack(tf.raw_ops.RandomUniformInt(shape=shape, minval=0, maxval=tf.int32.max, seed=1, seed2=1))

    # -- the three parts ----------------------------------------------------------------------------------------------

    def _embed(self, ids: tf.Tensor, types: tf.Tensor, packing: Packing, seed: tf.Tensor | None) -> tf.Tensor:
        x = self._rows("embeddings/word/table", tf.gather(tf.reshape(ids, [-1]), packing.kept))  # [n, E]
        if self.config.projection == "word":
            x = tf.matmul(x, self.weight("embeddings/word_projection/table", x.dtype))  # [n, H]
        x += self._rows("embeddings/type/table", tf.gather(tf.reshape(types, [-1]), packing.kept))
        x += self._rows("embeddings/position/table", packing.kept % tf.shape(ids)[1])
        x = self.norm(x, "embeddings/norm")
        x = tf.cast(_dropout(x, self.config.hidden_dropout, seed), self.compute)
        return self.dense(x, "embeddings/projection") if self.config.projects else x  # [n, H]

    def _layer(self, x: tf.Tensor, block: int, packing: Packing, seeds: Seeds) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the output [n, H] of one layer and its attention."""
        inner, middle, outer = seeds
        context, scores = self._attend(x, f"block_{block}/attention", packing, inner)  # [n, H]
        x = self._residual(x, context, f"block_{block}/attention/norm", middle)
        changed = self._feed_forward(x, f"block_{block}/ffn")
        return self._residual(x, changed, f"block_{block}/ffn/norm", outer), scores

    def _attend(
        self, x: tf.Tensor, scope: str, packing: Packing, seed: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        h = self.config.hidden_size
        d = h // self.config.heads
        joined = tf.reshape(self.dense(x, f"{scope}/query_key_value"), [-1, d])  # [n * 3 * A, D]
        query, key, value = tf.unstack(tf.gather(joined, packing.split))  # each [R, A, S, D]
        scores = tf.matmul(query, key, transpose_b=True) * (1.0 / math.sqrt(d))
        scores = tf.nn.softmax(scores + tf.cast(packing.scores_mask, scores.dtype))  # [R, A, S, S]
        context = tf.matmul(_dropout(scores, self.config.attention_dropout, seed), value)
        context = tf.reshape(tf.gather(tf.reshape(context, [-1, d]), packing.joined), [-1, h])
        return self.dense(context, f"{scope}/output"), scores  # [n, H]

    def _feed_forward(self, x: tf.Tensor, scope: str) -> tf.Tensor:
        inner = activate(self.config.activation, self.dense(x, f"{scope}/expand"))  # [n, F]
        return self.dense(inner, f"{scope}/contract")

    # -- what they are made of ----------------------------------------------------------------------------------------

    def dense(self, x: tf.Tensor, module: str) -> tf.Tensor:
        kernel, bias = (self.weight(f"{module}/{leaf}", x.dtype) for leaf in ("kernel", "bias"))
        return tf.nn.bias_add(tf.matmul(x, kernel), bias)

    def weight(self, name: str, dtype: tf.DType = tf.float32) -> tf.Tensor | tf.Variable:
        """Return a variable to compute with in `dtype`, whatever precision it is stored in."""
        variable = self.weights[name]
        return variable if variable.dtype == dtype else tf.cast(variable, dtype)

    def _rows(self, table: str, ids: tf.Tensor) -> tf.Tensor:
        rows = tf.gather(self.weights[table], ids)
        return rows if rows.dtype == tf.float32 else tf.cast(rows, tf.float32)

    def _residual(self, x: tf.Tensor, change: tf.Tensor, norm: str, seed: tf.Tensor | None) -> tf.Tensor:
        change = _dropout(change, self.config.hidden_dropout, seed)
        total = tf.cast(x, tf.float32) + tf.cast(change, tf.float32)
        return tf.cast(self.norm(total, norm), self.compute)

    def norm(self, x: tf.Tensor, module: str) -> tf.Tensor:
        gamma, beta = self.weights[f"{module}/gamma"], self.weights[f"{module}/beta"]
        return layer_norm(x, gamma, beta, self.config.layer_norm_epsilon)

    def _limit_positions(self, ids: tf.Tensor) -> tf.Operation:
        limit, length = self.config.position_limit, tf.shape(ids)[1]
        message = f"this model takes 1 to {limit} tokens a row; cut or split longer rows. Tokens a row in this input:"
        return tf.debugging.Assert(tf.logical_and(length >= 1, length <= limit), [message, length])


def _with_dense_gradient(x: tf.Tensor) -> tf.Tensor:
    """Return x, [n, …], for a gather: its gradient, rows and their numbers, becomes a tensor on the way back.

    The gradient of a layer that is computed again takes nothing else once it was loaded from a SavedModel.
    """
    return tf.reshape(x, tf.shape(x))


def _dropout(x: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Stateless, so that a layer that is computed again drops the same."""
    if seed is None or not rate:
        return x
    kept = tf.raw_ops.StatelessRandomUniform(shape=tf.shape(x), seed=seed) >= rate
    return tf.where(kept, x * (1.0 / (1.0 - rate)), tf.zeros([], x.dtype))
