"""Prints how much memory grows in 2,000 calls with varied shapes and values, through every public form in turn.

    TF_ENABLE_ONEDNN_OPTS=0 python -m tests.zoo.loading.growth REGISTRY ENCODER TOKENIZER PREPROCESS
    python -m tests.zoo.loading.growth control

With TF_ENABLE_ONEDNN_OPTS=0 this is the memory that our objects keep. By default TensorFlow on x86 uses oneDNN, which
keeps memory for every new shape of a matrix product, in any program. `control` measures this without a model of ours:
the matrix products of one layer, written in TensorFlow alone.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

import zoo
from tests.zoo.loading.test_calls import dict_of, encoder_calls, ids_of, texts_of, tokenizer_calls


def resident() -> float:
    """MiB of this process in memory."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) / 1024


def every_form(registry: str, encoder: str, tokenizer: str, preprocess: str) -> list[Callable[[int], object]]:
    layer, encode = zoo.KerasLayer(encoder), zoo.TextEncoder("toy", registry=registry, max_length=12)
    return [
        *encoder_calls(zoo.load(encoder)).values(),
        *encoder_calls(zoo.load_model(encoder)).values(),
        *tokenizer_calls(zoo.load(tokenizer)).values(),
        *tokenizer_calls(zoo.load(preprocess)).values(),
        lambda n: layer(ids_of(n).tolist()),
        lambda n: layer(dict_of(n)),
        lambda n: encode(texts_of(n), batch_size=1 + n % 4),
        lambda n: encode.outputs(texts_of(n)),
    ]


def products() -> list[Callable[[int], object]]:
    """Return one call of TensorFlow alone: a layer's products, with the shapes of `ids_of`."""
    kernels = [tf.random.normal([32, width]) for width in (96, 32, 56)]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None, 32])])
    def multiplied(x: tf.Tensor) -> list[tf.Tensor]:
        scores = tf.nn.softmax(tf.matmul(x, x, transpose_b=True))
        rows = tf.reshape(tf.matmul(scores, x), [-1, 32])
        return [tf.nn.bias_add(tf.matmul(rows, kernel), tf.zeros([kernel.shape[1]])) for kernel in kernels]

    return [lambda n: multiplied(tf.zeros([*ids_of(n).shape, 32]))]


def growth(calls: Sequence[Callable[[int], object]]) -> float:
    """Return MiB of 2,000 calls, after the first ten through each."""
    for n in range(10):
        for call in calls:
            call(n)
    gc.collect()
    before = resident()
    for n in range(2000):
        calls[n % len(calls)](10 + n)
    gc.collect()
    return resident() - before


if __name__ == "__main__":
    chosen = products() if sys.argv[1:] == ["control"] else every_form(*sys.argv[1:])
    print(f"2,000 calls through {len(chosen)} forms: {growth(chosen):.1f} MiB")
