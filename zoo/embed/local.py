"""The engine for one machine: tf.data reads and tokenizes the next part while the encoder computes the present one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from zoo.embed.job import EmbeddingJob
from zoo.embed.parts import CorpusPart
from zoo.embed.rows import Reader, Rows
from zoo.errors import BadArgument


def embed_parts(
    job: EmbeddingJob, parts: Sequence[CorpusPart], advance: Callable[[int], object], options: Sequence[str]
) -> None:
    """Embed parts, one after the other. Raises BadArgument for any `options`: this engine has none."""
    if options:
        raise BadArgument(f"{' '.join(options)}: the engine 'local' takes no options of its own.")
    encoder = job.load()
    import tensorflow as tf

    reader = Reader(job.source)
    waiting: deque[tuple[CorpusPart, Rows]] = deque()  # parts that were read but not yet embedded
    failed: list[BaseException] = []

    def texts() -> Iterator[Any]:
        try:
            for part in parts:
                rows = reader.read(part)
                waiting.append((part, rows))
                yield job.texts(rows)
        except Exception as error:  # kept as it is: tf.data would turn it into the text of another error
            failed.append(error)

    shape = [None] if job.source.pair is None else [None, 2]
    ahead = tf.data.Dataset.from_generator(texts, output_signature=tf.TensorSpec(shape, tf.string))
    try:
        for inputs in ahead.map(encoder.preprocess).prefetch(1):
            part, rows = waiting.popleft()
            vectors = job.embed(encoder, inputs, advance)
            job.write(part, rows, vectors)
            advance(len(rows.bad))
    finally:
        reader.close()
    if failed:
        raise failed[0]
