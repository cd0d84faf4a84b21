"""Where the time of one text goes: calls, tokenizer, encoder and its matrix products, in TensorFlow and ONNX Runtime.

The models have their true size and seeded random weights; all calls of a text are interleaved in one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Effort, interleave, timed
from benchmarks.pages import Page
from benchmarks.sections.vectors import MODELS, TEXT, archives
from zoo.basics.files import move_into_place

if TYPE_CHECKING:
    from zoo.registry.entry import Entry

TEXTS = {16: TEXT, 64: (5 * TEXT)[:62]}  # tokens with [CLS] and [SEP] -> a text of a token a character
WHOLE = ("the archive", "TextEncoder(…, runtime='onnx')", "TextEncoder(…, runtime='onnx'), int8")
EFFORT = Effort(budget=40.0, least=5, most=25, shortest=0.05)
_FORMS: Mapping[str, Sequence[str]] = {"": (), ", int8": ("--quantize", "int8")}


def measure(options: argparse.Namespace) -> Page:
    """Return the page; archives and their conversions are kept in `options.work`."""
    rows = [row for name in options.model or MODELS for row in _rows(name, options.work.absolute())]
    head = ["model", "tokens", "runtime", "what", "ms", "part of the whole"]
    about = """Models of true size with seeded random weights. Times are by the clock, medians of interleaved calls,
each with its result in numpy. A whole is a call from a text to its vector; the lines above it are calls of its parts
alone, and a call costs something itself, so that parts add up to more than the whole. The products are those of all
layers, with matrices of the same sizes, in one function of TensorFlow."""
    return Page("one-text-numbers", "Where the time of one text goes", about, head, rows)


def _rows(name: str, work: Path) -> Iterator[list[object]]:
    for tokens, text in TEXTS.items():
        parts = [*in_tensorflow(name, text, tokens, work), *in_onnx_runtime(name, text, work)]
        found = interleave({str(place): timed(call) for place, (_, _, call) in enumerate(parts)}, EFFORT)
        times = [1000 * median(found[str(place)]) for place in range(len(parts))]
        for place, (runtime, what, _) in enumerate(parts):
            whole = next(times[i] for i in range(place, len(parts)) if parts[i][1] in WHOLE)
            yield [name, tokens, runtime, what, f"{times[place]:.3g}", f"{times[place] / whole:.2f}"]


Part = tuple[str, str, Callable[[], object]]  # runtime, what it is, the call


def in_tensorflow(name: str, text: str, tokens: int, work: Path) -> Iterator[Part]:
    import tensorflow as tf

    import zoo

    out = archives(name, work)
    archive: Any = zoo.load(out / f"{name}.tar.gz")
    ids = archive.tokenizer([text], special_tokens=True)
    assert len(ids[0]) == tokens
    nothing = tf.function(lambda texts: texts, input_signature=[tf.TensorSpec([None], tf.string)])
    row = zoo.info(name, out / "registry.json")
    products = _products(row, tokens)
    yield "TensorFlow", "a function that returns its text", lambda: nothing([text]).numpy()
    yield "TensorFlow", "tokenizer", lambda: archive.tokenizer([text], special_tokens=True).numpy()
    yield "TensorFlow", "encoder, ids given", lambda: archive.encoder(ids)["sequence_output"].numpy()
    yield "TensorFlow", "the products of its layers", lambda: products().numpy()
    yield "TensorFlow", WHOLE[0], lambda: archive([text]).numpy()


def _products(row: Entry, tokens: int) -> Callable[[], Any]:
    """Return a function of the products of all layers. Each waits for the one before; ALBERT's share their matrices."""
    import tensorflow as tf

    layers, hidden, heads = int(row.layers or 0), int(row.hidden_size or 0), int(row.heads or 1)
    generator = tf.random.Generator.from_seed(1)
    sizes = [(hidden, 3 * hidden), (hidden, hidden), (hidden, 4 * hidden), (4 * hidden, hidden)]
    kinds = 1 if row.family == "albert" else layers
    matrices = [[tf.Variable(generator.normal(size, stddev=0.02)) for size in sizes] for _ in range(kinds)]
    given = tf.Variable(generator.normal([tokens, hidden]))

    @tf.function
    def multiply() -> Any:
        x = given.value()
        for joined, out, up, down in (layers // kinds) * matrices:
            parts = tf.reshape(x @ joined, [tokens, 3, heads, hidden // heads])
            query, key, value = tf.unstack(tf.transpose(parts, [1, 2, 0, 3]))
            context = tf.matmul(tf.matmul(query, key, transpose_b=True), value)
            x = given + 1e-3 * (tf.reshape(context, [tokens, hidden]) @ out @ up @ down)  # neither 0 nor infinite
        return x

    return multiply


def in_onnx_runtime(name: str, text: str, work: Path) -> Iterator[Part]:
    """Yield the parts in fp32 and int8, where the packages of the conversion are installed."""
    import zoo
    from zoo.lite.tokens import batch_of

    for label, words in _FORMS.items():
        encode: Any = zoo.TextEncoder(_converted(name, label, words, work), runtime="onnx")
        rows, session = encode._tokens.rows(np.array([text], object), ""), encode._session
        if not label:
            yield "ONNX Runtime", "tokenizer", lambda encode=encode: encode._tokens.rows(np.array([text], object), "")
        batch = batch_of(rows)
        yield "ONNX Runtime", f"model, ids given{label}", lambda of=session, batch=batch: of.run(None, batch)
        yield "ONNX Runtime", WHOLE[1] + label, lambda encode=encode: encode([text], show_progress=False)


def _converted(name: str, label: str, words: Sequence[str], work: Path) -> Path:
    out = work / f"{name}_onnx{label.replace(', ', '_')}"
    if not out.exists():
        archive = archives(name, work) / f"{name}.tar.gz"
        command = [sys.executable, "-m", "zoo", "convert", str(archive), "--to", "onnx", *words]
        subprocess.run([*command, "--out", str(work / "new")], check=True, stdout=subprocess.DEVNULL)
        move_into_place(work / "new", out)
    return out
