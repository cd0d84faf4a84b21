"""Shows which operations of TensorFlow give the same numbers other bits in other company.

    python -m scripts.same_operations                             # of this processor
    ONEDNN_MAX_CPU_ISA=AVX2 python -m scripts.same_operations     # as on one without AVX-512
    TF_ENABLE_ONEDNN_OPTS=0 python -m scripts.same_operations     # by Eigen alone

Some rows of a matrix get other rows beside them; the tokens of a text get more padding and another place. A line of the
table: the operation, how many sizes were tried, in how many of them the bits were others than in the first. Letters: M
rows; K and N sizes of a product; R, A, S, D as in export/encoder/encoder.py; T tokens.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Array = NDArray[np.float32]
Operation = Callable[..., Array]

ROWS = (2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 64, 65, 100, 127, 128, 129, 256, 257, 500, 512, 1000)
PRODUCTS = ((384, 1152), (1536, 384), (768, 3072), (3072, 768))
HEADS, WIDTH = 12, 32


def in_rows(function: Operation, width: int, rows: tuple[int, ...] = ROWS, first: int = 8) -> Iterator[tuple[int, int]]:
    """Yield, for each M, 1 if a row has other bits as the last of M rows than among `first` rows, else 0, of 8 rows."""
    generator = np.random.default_rng(0)
    for own in _normal(generator, 8, width):
        known = b""
        for count in (first, *rows):
            x = _normal(generator, count, width)
            x[0 if count == first else -1] = own
            bits = function(x)[0 if count == first else -1].tobytes()
            known = known or bits
            yield count, bits != known


def in_attention(function: Operation, kinds: str, length: int) -> Iterator[tuple[int, int]]:
    """Yield, for rows of S places and a text that begins at any of them, 1 if its bits are others, else 0.

    `kinds` names the inputs: s scores [R, A, S, S], masked outside of the text's own; h heads [R, A, S, D].
    """
    generator = np.random.default_rng(0)
    own = [_normal(generator, HEADS, length, length if kind == "s" else WIDTH) for kind in kinds]
    known = b""
    for places in (length, length + 1, length + 16, 96, 128, 192):
        for begin in sorted({0, 1, 8, 16, 32, places - length}):
            if begin + length > places:
                continue
            span, inputs = slice(begin, begin + length), []
            for kind, mine in zip(kinds, own, strict=True):
                x = _normal(generator, 2, HEADS, places, places if kind == "s" else WIDTH)
                if kind == "s":
                    x[-1, :, span] = 0.0 if "h" in kinds else -10000.0
                x[-1, :, span, span if kind == "s" else slice(None)] = mine
                inputs.append(x)
            answer = function(*inputs)[-1, :, span]
            bits = (answer if answer.shape[-1] == WIDTH else answer[..., span]).tobytes()
            known = known or bits
            yield places, bits != known


def over_tokens(function: Operation, length: int) -> Iterator[tuple[int, int]]:
    """Yield, for T tokens of which `length` are real, 1 if the bits of their sum are others, else 0."""
    generator = np.random.default_rng(0)
    own, known = _normal(generator, length, 384), b""
    for tokens in range(length, length + 40):
        x = np.zeros((1 + tokens % 3, tokens, 384), np.float32)
        x[-1, :length] = own
        bits = function(x)[-1].tobytes()
        known = known or bits
        yield tokens, bits != known


def _normal(generator: np.random.Generator, *shape: int) -> Array:
    return generator.standard_normal(shape, np.float32)


def _operations() -> Iterator[tuple[str, Iterator[tuple[int, int]]]]:
    """Yield the name of each experiment, and its results."""
    import tensorflow as tf

    from export.encoder.activations import activate

    def run(function: Callable[..., tf.Tensor], *shapes: list[int | None]) -> Operation:
        traced = tf.function(function, [tf.TensorSpec(shape) for shape in shapes], autograph=False)
        return lambda *inputs: traced(*map(tf.constant, inputs)).numpy()

    def product(k: int, n: int, activation: str = "linear") -> Operation:
        generator = np.random.default_rng(1)
        kernel, bias = (tf.Variable(_normal(generator, *shape) * np.float32(0.05)) for shape in ((k, n), (n,)))
        return run(lambda x: activate(activation, tf.nn.bias_add(tf.matmul(x, kernel), bias)), [None, k])  # type: ignore[arg-type]

    for k, n in PRODUCTS:
        yield f"product [M, {k}] x [{k}, {n}], M = 1", in_rows(product(k, n), k, (1,))
        yield f"product [M, {k}] x [{k}, {n}], M > 1", in_rows(product(k, n), k)
    yield "product and gelu, M > 1", in_rows(product(384, 1536, "gelu"), 384)
    yield "mean over 384 numbers", in_rows(run(lambda x: tf.reduce_mean(x, -1), [None, 384]), 384)
    full = tuple(count for count in ROWS if count % 8 == 0)
    for name, root in (("rsqrt", tf.math.rsqrt), ("1 / sqrt", lambda x: 1.0 / tf.sqrt(x))):
        of_square = run(lambda x, root=root: root(tf.square(x) + 0.1), [None, 1])
        yield f"{name} of [M, 1]", in_rows(of_square, 1)
        yield f"{name} of [M, 1], M a multiple of 8", in_rows(of_square, 1, full)
    for length in (20, 50):
        scores = run(lambda q, k: tf.matmul(q, k, transpose_b=True), *[[None, HEADS, None, WIDTH]] * 2)
        yield f"query x key, {length} tokens in S places", in_attention(scores, "hh", length)
        softmax = run(tf.nn.softmax, [None, HEADS, None, None])
        yield f"softmax, {length} tokens in S places", in_attention(softmax, "s", length)
        context = run(tf.matmul, [None, HEADS, None, None], [None, HEADS, None, WIDTH])
        yield f"scores x value, {length} tokens in S places", in_attention(context, "sh", length)
        total = run(lambda x: tf.reduce_sum(x, 1), [None, None, 384])
        yield f"sum over {length} of T tokens", over_tokens(total, length)


def main() -> None:
    for name, results in _operations():
        found = list(results)
        sizes = sorted({size for size, is_other in found if is_other})
        shown = f"{', '.join(map(str, sizes[:8]))}{', …' if len(sizes) > 8 else ''}"
        print(f"| {name} | {len(found)} | {sum(is_other for _, is_other in found)} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
