"""The engine for Apache Spark: an iterator pandas_udf; a worker loads the encoder once. Imports pyspark and pandas."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf
from pyspark.sql.types import ArrayType, FloatType, LongType

from zoo.embed.encoder import EncoderSpec
from zoo.embed.job import EmbeddingJob
from zoo.embed.needs import gave_up
from zoo.embed.parts import CorpusPart
from zoo.embed.rows import Reader
from zoo.embed.watching import watched
from zoo.errors import BadArgument

_LOCAL = "local[*,4]"  # all cores of this machine; a task that fails is tried four times, as on a cluster
_THREADS = 1  # of a Python worker, since Spark starts one for every core


def embedding_udf(handle: str | EncoderSpec, *, batch_size: int | None = None, **how: Any) -> Any:
    """Return a function for `select` and `withColumn` that turns a text into array<float>, and null into null.

        embed = embedding_udf("albert_tiny", pooling="mean")
        frame.withColumn("vector", embed("text"))

    `handle` and `how` are the arguments of `EncoderSpec`: names, URLs, or paths that exist on every worker. A Python
    worker loads the encoder once and computes with one thread, because Spark starts a worker for every core; set
    TF_NUM_INTRAOP_THREADS to change that for TensorFlow. Raises the errors of `zoo.TextEncoder`, in the worker.
    """
    spec = handle if isinstance(handle, EncoderSpec) else EncoderSpec(handle, **how)

    @pandas_udf(ArrayType(FloatType()))
    def embed(columns: Iterator[pd.Series]) -> Iterator[pd.Series]:
        encode = spec.load(_THREADS)
        for texts in columns:
            there = texts.notna()
            vectors = iter(encode(texts[there].tolist(), spec.batch_size(batch_size), show_progress=False))
            yield pd.Series([next(vectors) if is_there else None for is_there in there], dtype=object)

    return embed


def embed_parts(
    job: EmbeddingJob, parts: Sequence[CorpusPart], advance: Callable[[int], object], options: Sequence[str]
) -> None:
    """Embed parts; every part is one Spark task. `options` have the form "spark.master=spark://host:7077"."""
    parts = tuple(parts)

    @pandas_udf(LongType())
    def embed(columns: Iterator[pd.Series]) -> Iterator[pd.Series]:
        encoder = job.load(_THREADS)
        for numbers in columns:
            yield pd.Series([_embed(job, encoder, parts[number]) for number in numbers], dtype="int64")

    with _session(options) as session, watched(job.output, parts, advance), gave_up("Spark"):
        session.range(0, len(parts), 1, len(parts)).select(embed("id")).collect()


def _embed(job: EmbeddingJob, encoder: Any, part: CorpusPart) -> int:
    reader = Reader(job.source)
    try:
        rows = reader.read(part)
    finally:
        reader.close()
    job.write(part, rows, job.vectors(encoder, rows))
    return part.rows


@contextmanager
def _session(options: Sequence[str]) -> Iterator[SparkSession]:
    """Yield the active Spark session, or a new one that ends with the block."""
    wrong = [each for each in options if not each.startswith("spark.") or "=" not in each]
    if wrong:
        raise BadArgument(f"{' '.join(wrong)}: give options for Spark in the form spark.executor.memory=4g.")
    active = SparkSession.getActiveSession()
    if active is not None:
        yield active
        return
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        os.environ.setdefault(name, sys.executable)
    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit has a master of its own
        settings["spark.master"] = _LOCAL
    settings |= dict(each.split("=", 1) for each in options)
    session = SparkSession.builder.appName("zoo embed").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()
