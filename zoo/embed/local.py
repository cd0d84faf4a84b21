"""The engine for one machine: a thread reads and tokenizes the next part while the encoder computes the present one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zoo.basics.side_by_side import one_ahead
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
    encoder, reader = job.load(), Reader(job.source)

    def read(part: CorpusPart) -> tuple[CorpusPart, Rows, Any]:
        rows = reader.read(part)
        return part, rows, encoder.preprocess(job.texts(rows))

    try:
        for part, rows, inputs in one_ahead(read, parts):
            job.write(part, rows, encoder.embed(inputs, job.batch_size, advance))
            advance(len(rows.bad))
    finally:
        reader.close()
