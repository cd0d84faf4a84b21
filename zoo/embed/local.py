"""The engine of one machine: tf.data reads and tokenizes ahead, the encoder has TensorFlow's own threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from zoo.embed.job import EmbeddingJob
from zoo.embed.parts import Part
from zoo.embed.rows import Reader, Rows
from zoo.errors import BadArgument


def embed_parts(
    job: EmbeddingJob, parts: Sequence[Part], advance: Callable[[int], object], options: Sequence[str]
) -> None:
    """Embed some parts, one after the other."""
    if options:
        raise BadArgument(f"{' '.join(options)}: the engine 'local' takes no options of its own.")
    encoder = job.load()
    import tensorflow as tf

    reader = Reader(job.source)
    waiting: deque[tuple[Part, Rows]] = deque()  # what was read and is not embedded
    failed: list[BaseException] = []

    def texts() -> Iterator[Any]:
        try:
            for part in parts:
                rows = reader.read(part)
                waiting.append((part, rows))
                yield job.texts(rows)
        except Exception as error:  # tf.data would make a text of it
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
