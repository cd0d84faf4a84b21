"""The formulas of training: the values of `Inference` with dropout, in forms that keep fewer tensors.

The tensors that a forward pass keeps for the backward pass decide both memory and time. TensorFlow keeps both operands
of every product and of every `+`, even where no gradient needs them: of `x * 0.5` it keeps x, only for the gradient of
0.5. So constants are multiplied where tensors are small ([n, H], not [n, F]), tf.add_n replaces `+` because it keeps
nothing, and gelu is taken apart into factors (`FACTORED`). All gradients are TensorFlow's own. Gradients written by
hand stay registered until the process ends, so every load of a model would leak its graph.

With `recompute`, attention and the feed-forward (with the norm before it) are computed a second time in the backward
pass instead of being kept (Chen et al. 2016). The last layer is excepted: its backward pass begins right after its
forward pass, so nothing would be saved. Both parts end with a matrix product whose result no gradient needs, and
TensorFlow's optimiser leaves that product out the second time: of a layer's four products with weights, two are
computed again. To keep query, key and value would save one more, about 7% of a step, for three more tensors [n, H] a
layer. Letters of shapes are those of export/encoder/encoder.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from export.encoder.activations import FACTORED, layer_norm_in_training
from export.encoder.encoder import Block, DenseFunction, Drops, Inference, LayerFunction, TokenLayout
from export.encoder.positions import Absolute
from export.weights.config import EncoderConfig
from export.weights.vectors import with_vectors

_STEPS = 2**16  # rates are multiples of 1 / 65536


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout of a tensor, then a multiplication by `scale`. The same seed drops the same places.

    Dropout(tf.constant([3, 5]), rate=0.1)(x)  # a tenth of x is 0, the rest x / 0.9
    """

    seed: tf.Tensor  # [2]
    rate: float  # a multiple of 1 / _STEPS
    scale: float = 1.0

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        scale = self.scale / (1.0 - self.rate)
        return self.kept(x if scale == 1.0 else x * scale)

    def kept(self, x: tf.Tensor) -> tf.Tensor:
        """Return x with zeros at the dropped places, nothing scaled."""
        if not self.rate:
            return x
        kept = self._drawn_for(x) >= tf.constant(round(self.rate * _STEPS), tf.uint16)
        return tf.where(kept, x, tf.zeros([], x.dtype))

    def _drawn_for(self, x: tf.Tensor) -> tf.Tensor:
        """Return random uint16 in the shape of x.

        The time to draw grows with the number of bits, and 16 bits choose as well as the 32 of a float. TensorFlow
        draws no uint16, so each uint64 drawn is read as four of them.
        """
        size = tf.size(x)
        fours = tf.raw_ops.StatelessRandomUniformFullInt(shape=[(size + 3) // 4], seed=self.seed, dtype=tf.uint64)
        drawn = tf.bitcast(fours, tf.uint16)
        if (x.shape[-1] or 1) % 4:  # the last uint64 may hold up to three numbers too many
            drawn = tf.reshape(drawn, [-1])[:size]
        return tf.reshape(drawn, tf.shape(x))


def drawn_seeds(*shape: int) -> tf.Tensor:
    """Return random seeds of a shape, other ones at every call.

    The operation has seeds of its own, since TensorFlow refuses random operations without one under op determinism. It
    is the raw operation, since tf.random.uniform would write the exporter's tf.random.set_seed into the graph.
    """
    return tf.raw_ops.RandomUniformInt(shape=[*shape], minval=0, maxval=tf.int32.max, seed=1, seed2=1)


def possible_rate(rate: float) -> float:
    """Return a rate that `Dropout` can have: rounded down, so that it stays below 1."""
    return int(rate * _STEPS) / _STEPS


@dataclass(frozen=True)
class Training(Inference):
    """The formulas of training, with other dropout at every call; they give no attention scores.

    replace(encoder, forms=Training()).encode(ids, mask, types)["sequence_output"]
    """

    recompute: bool = False  # in the backward pass

    def layers(self, layer_with: Callable[[Inference], LayerFunction], layers: int) -> Sequence[LayerFunction]:
        """Layers that recompute are functions of Python, so the graph holds the nodes of each.

        TensorFlow saves one gradient for a function. If several blocks called it, all would get that of one block.
        """
        if not self.recompute:
            return super().layers(layer_with, layers)
        return [layer_with(self)] * (layers - 1) + [*replace(self, recompute=False).layers(layer_with, 1)]

    def parts(self, block: Block) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """With `recompute`, both functions run again in the backward pass.

        The dropout that follows each part stays outside of it: the gradient of dropout asks for the shape of its
        input, and for the shape alone TensorFlow would compute the part's last product again.
        """
        if not self.recompute:
            return block.attention, block.feed_forward

        def again() -> Block:
            """Split the vectors inside of the function: TensorFlow passes gradients out of it to variables only."""
            return replace(block, weights=with_vectors(block.weights, block.config))

        def attention(x: tf.Tensor, packing: TokenLayout, drop: Any) -> Any:
            return tf.recompute_grad(lambda x: again().attention(x, packing, drop))(x)

        def feed_forward(x: tf.Tensor) -> Any:
            return tf.recompute_grad(lambda x: again().feed_forward(x))(x)

        return attention, feed_forward

    # -- dropout ------------------------------------------------------------------------------------------------------

    def seeds(self, layers: int) -> Sequence[tf.Tensor]:
        """Return random seeds [3, 2] for the embeddings and for each layer."""
        unstacked: Sequence[tf.Tensor] = tf.unstack(drawn_seeds(1 + layers, 3, 2))
        return unstacked

    def drops(self, seed: Any, config: EncoderConfig) -> Drops:
        scores, hidden, feed_forward = tf.unstack(seed)
        rates = (config.attention_dropout, config.hidden_dropout)
        of_scores, of_hidden = map(possible_rate, rates)
        after = FACTORED[config.activation].after  # what `transition` leaves out
        return Drops(Dropout(scores, of_scores), Dropout(hidden, of_hidden), Dropout(feed_forward, of_hidden, after))

    # -- formulas that keep less --------------------------------------------------------------------------------------

    def scores_mask(self, packing: TokenLayout, compute: tf.DType) -> tf.Tensor:
        """Return the mask as large as the scores, since tf.add_n takes tensors of one shape."""
        shape = packing.scores_shape()
        return tf.broadcast_to(tf.cast(packing.scores_mask, compute), shape)

    def attention(
        self, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, mask: tf.Tensor, drop: Any, positions: Absolute
    ) -> Sequence[tf.Tensor]:
        scores = positions.scores(query * (1.0 / math.sqrt(query.shape[-1])), key)
        scores = tf.nn.softmax(tf.add_n([scores, mask]))
        context = positions.context(drop.kept(scores), value)
        return [context if not drop.rate else context * (1.0 / (1.0 - drop.rate))]

    def transition(self, dense: DenseFunction, x: tf.Tensor, config: EncoderConfig) -> tf.Tensor:
        """Return 1 / `after` of the feed-forward; the dropout that follows multiplies by `after`."""
        before, of, after = FACTORED[config.activation]
        inner = of(dense(x * before, "ffn/expand", before))  # [n, F]
        return dense(inner, "ffn/contract", 1.0 / after)

    def sum(self, x: tf.Tensor, change: tf.Tensor) -> tf.Tensor:
        return tf.add_n([tf.cast(x, tf.float32), tf.cast(change, tf.float32)])

    def norm(self, x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
        return layer_norm_in_training(x, gamma, beta, epsilon)
