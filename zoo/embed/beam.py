"""The engine for Apache Beam: RunInference with our own model handler, on any runner. Imports apache_beam."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from zoo.embed.encoder import EncoderSpec
from zoo.embed.job import EmbeddingJob
from zoo.embed.needs import gave_up
from zoo.embed.parts import CorpusPart
from zoo.embed.rows import Reader, Rows
from zoo.embed.watching import watched
from zoo.vector_encoder import VectorEncoder

# Beam's default would first download a runner; this one is part of apache_beam.
_HERE = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


class EncoderHandler(ModelHandler[Any, PredictionResult, VectorEncoder]):
    """RunInference's handler for texts or pairs of texts. A text gives a PredictionResult with its vector (H,) float32.

        texts | RunInference(EncoderHandler("albert_tiny", pooling="mean")) | beam.Map(lambda each: each.inference)

    `handle` and `how` are the arguments of `EncoderSpec`: names, URLs, or paths that exist on every worker. A process
    loads one encoder. Beam makes batches of up to `most` texts; the encoder sorts a batch by length and computes
    `batch_size` texts at a time. Raises the errors of `zoo.TextEncoder`, in the worker.
    """

    def __init__(
        self, handle: str | EncoderSpec, *, batch_size: int | None = None, most: int = 1024, **how: Any
    ) -> None:
        super().__init__(min_batch_size=1, max_batch_size=most)
        self._spec = handle if isinstance(handle, EncoderSpec) else EncoderSpec(handle, **how)
        self._batch_size = self._spec.batch_size(batch_size)

    def load_model(self) -> VectorEncoder:
        """Return the encoder. (RunInference keeps a weak reference, so a tuple or a dict could not be returned.)"""
        return self._spec.load()

    def run_inference(
        self, batch: Sequence[Any], model: VectorEncoder, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Return the vectors of a batch of texts, in their order."""
        vectors = model(batch, self._batch_size, show_progress=False)
        return [PredictionResult(text, vector) for text, vector in zip(batch, vectors, strict=True)]


class _PartHandler(EncoderHandler):
    """Takes whole parts as examples, so that the same rows are computed together on every engine."""

    def __init__(self, job: EmbeddingJob) -> None:
        super().__init__(job.spec, most=1)
        self._job = job

    def load_model(self) -> VectorEncoder:
        return self._job.load()

    def run_inference(
        self,
        batch: Sequence[tuple[CorpusPart, Rows]],
        model: VectorEncoder,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Any]:
        return [(part, rows, self._job.vectors(model, rows)) for part, rows in batch]

    def get_num_bytes(self, batch: Sequence[tuple[CorpusPart, Rows]]) -> int:
        return sum(part.rows for part, _ in batch)  # Beam's default would pickle the batch to count bytes


def embed_parts(
    job: EmbeddingJob, parts: Sequence[CorpusPart], advance: Callable[[int], object], options: Sequence[str]
) -> None:
    """Embed parts with pipeline `options`: ["--runner=FlinkRunner", "--flink_master=…"]. Without a runner: locally."""
    chosen = list(options) if any(each.startswith("--runner") for each in options) else [_HERE, *options]
    with watched(job.output, parts, advance), gave_up("Beam"):
        pipeline = beam.Pipeline(options=PipelineOptions(chosen))
        (
            pipeline
            | beam.Create(list(parts))
            | beam.Reshuffle()
            | "Read" >> beam.Map(_read, job)
            | RunInference(_PartHandler(job))
            | "Write" >> beam.Map(_write, job)
        )
        pipeline.run().wait_until_finish()


def _read(part: CorpusPart, job: EmbeddingJob) -> tuple[CorpusPart, Rows]:
    reader = Reader(job.source)
    try:
        return part, reader.read(part)
    finally:
        reader.close()


def _write(done: tuple[CorpusPart, Rows, Any], job: EmbeddingJob) -> int:
    part, rows, vectors = done
    job.write(part, rows, vectors)
    return part.number
