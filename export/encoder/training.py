"""The encoder for training: dropout, and the same arithmetic in forms whose gradients keep less.

What a forward pass keeps for the backward one decides both memory and time, and TensorFlow keeps the operands of every
product and sum whether or not a gradient needs them: `x * 0.5` keeps x for the gradient of 0.5. So constants are
applied where tensors are small, AddN takes the place of sums (it keeps nothing), and gelu is taken apart into factors.
Gradients are TensorFlow's own all the same: written by hand they would stay registered for as long as the process
lives, and every load of a model would leak its graph. Letters are those of export/encoder.

With `recompute` the two parts of a layer that would keep most, attention and the feed-forward with the norm before it,
are computed again in the backward pass (Chen et al. 2016); not those of the last layer, whose turn comes at once. Both
parts end with a matrix product whose result no gradient needs, so the optimiser leaves it out the second time: of a
layer's four products with weights two are computed again. Keeping query, key and value would save one more, and some
7% of a step, for three more tensors [n, H] a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from export.encoder.activations import FACTORED, layer_norm_in_training
from export.encoder.encoder import Block, Drop, Encoder, Layer
from export.encoder.unpadding import Packing
from export.weights.vectors import with_vectors

_STEPS = 2**16  # of a rate


@dataclass(frozen=True)
class Dropout(Drop):
    """Stateless, so that attention that is computed again drops the same."""

    seed: tf.Tensor  # [2]
    rate: float  # a multiple of 1 / _STEPS
    scale: float = 1.0

    def kept(self, x: tf.Tensor) -> tf.Tensor:
        if not self.rate:
            return x
        kept = self._drawn_for(x) >= tf.constant(round(self.rate * _STEPS), tf.uint16)
        return tf.where(kept, x, tf.zeros([], x.dtype))

    def _drawn_for(self, x: tf.Tensor) -> tf.Tensor:
        """Return uniform uint16: chance has its cost by the bit, and 16 of them choose as well as a float's 32."""
        size = tf.size(x)
        fours = tf.raw_ops.StatelessRandomUniformFullInt(shape=[(size + 3) // 4], seed=self.seed, dtype=tf.uint64)
        drawn = tf.bitcast(fours, tf.uint16)
        if (x.shape[-1] or 1) % 4:  # there may be up to three too many
            drawn = tf.reshape(drawn, [-1])[:size]
        return tf.reshape(drawn, tf.shape(x))


class TrainingEncoder(Encoder):
    """An `Encoder` with dropout, another at every call; it gives no attention scores.

    TrainingEncoder.of(encoder).encode(ids, mask, types)["sequence_output"]
    """

    recompute = False

    @classmethod
    def of(cls, encoder: Encoder, recompute: bool = False) -> TrainingEncoder:
        """Return an encoder of the same variables."""
        made = cls(encoder.config, encoder.weights, encoder.compute)
        made.recompute = recompute
        return made

    def _seeds(self) -> Sequence[Any]:
        """Drawn with a seed: without one, TensorFlow refuses random operations under op determinism.

        The raw operation, as tf.random's would write the seed of whoever exports (tf.random.set_seed) into the graph.
        """
        shape = [1 + self.config.layers, 3, 2]
        seeds = tf.raw_ops.RandomUniformInt(shape=shape, minval=0, maxval=tf.int32.max, seed=1, seed2=1)
        unstacked: Sequence[tf.Tensor] = tf.unstack(seeds)
        return unstacked

    def _drops(self, seed: Any) -> Sequence[Drop]:
        scores, first, second = tf.unstack(seed)
        rates = (self.config.attention_dropout, self.config.hidden_dropout)
        attention, hidden = (int(rate * _STEPS) / _STEPS for rate in rates)  # below 1 as they are
        after = FACTORED[self.config.activation].after
        return [Dropout(scores, attention), Dropout(first, hidden), Dropout(second, hidden, after)]

    def _layers(self) -> Sequence[Layer]:
        kept = super()._layers()
        if not self.recompute:
            return kept
        # No function here: the gradient of one that is called with several blocks is saved as that of one block.
        again = _RecomputingEncoder(self.config, self.weights, self.compute)._layer
        return [again] * (self.config.layers - 1) + [kept[-1]]

    def _layer(self, block: Block, x: tf.Tensor, packing: Packing, seed: Any) -> Sequence[tf.Tensor]:
        x, _ = self._transform(block, x, packing, seed)
        return x, self._unpack(x, packing)

    # -- where less is kept -------------------------------------------------------------------------------------------

    def _pack(self, mask: tf.Tensor) -> Packing:
        packing = super()._pack(mask)
        rows, length = tf.shape(packing.split)[1], tf.shape(packing.split)[3]
        full = tf.stack([rows, self.config.heads, length, length])
        return packing._replace(scores_mask=tf.broadcast_to(tf.cast(packing.scores_mask, self.compute), full))

    def _attention(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor, drop: Drop
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tf.matmul(query * (1.0 / math.sqrt(query.shape[-1])), key, transpose_b=True)
        scores = tf.nn.softmax(tf.add_n([scores, mask]))
        context = tf.matmul(drop.kept(scores), value)
        return context if not drop.rate else context * (1.0 / (1.0 - drop.rate)), scores

    def _transition(self, x: tf.Tensor) -> tf.Tensor:
        """Return 1 / `after` of it; the dropout that follows makes up for that."""
        before, of, after = FACTORED[self.config.activation]
        inner = of(self.dense(x * before, "ffn/expand", before))  # [n, F]
        return self.dense(inner, "ffn/contract", 1.0 / after)

    def _sum(self, x: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
        return tf.add_n([tf.cast(x, tf.float32), tf.cast(change, tf.float32)])

    def _norm(self, x: tf.Tensor, gamma: Any, beta: Any) -> tf.Tensor:
        return layer_norm_in_training(x, gamma, beta, self.config.layer_norm_epsilon)


class _RecomputingEncoder(TrainingEncoder):
    """Layers that compute attention and the feed-forward again in the backward pass.

    The dropout that follows each stays outside: its gradient asks for the shape of what it drops from, and for so
    little the product would be computed again.
    """

    def _attend(self, x: tf.Tensor, packing: Packing, drop: Drop) -> tuple[tf.Tensor, Any]:
        return tf.recompute_grad(lambda x: self._once()._attend(x, packing, drop)[0])(x), None

    def _feed_forward(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        normed, change = tf.recompute_grad(lambda x: self._once()._feed_forward(x))(x)
        return normed, change

    def _once(self) -> TrainingEncoder:
        """Return what computes them, with vectors split here: only variables that lie outside are given gradients."""
        return TrainingEncoder(self.config, with_vectors(self.weights, self.config), self.compute)
