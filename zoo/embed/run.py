"""A corpus to vectors: everything is decided first, `Plan`, then an engine does what is not done yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from zoo.basics.display import counted, sheet, size
from zoo.basics.extras import imported
from zoo.basics.progress import progress
from zoo.embed.asked import Corpus, Engine, Settings
from zoo.embed.corpus import open_corpus
from zoo.embed.encoder import EncoderSpec
from zoo.embed.job import EmbeddingJob
from zoo.embed.manifest import Manifest
from zoo.embed.needs import parquet
from zoo.embed.output import Output
from zoo.embed.parts import Part, cut
from zoo.errors import BadArgument

Work = Callable[[EmbeddingJob, Sequence[Part], Callable[[int], object], Sequence[str]], None]

_EXTRAS: dict[Engine, str] = {"local": "embed", "beam": "beam", "spark": "spark"}


@dataclass(frozen=True)
class Plan:
    """What is read, what by, where to, and which parts are still to be done."""

    job: EmbeddingJob
    parts: tuple[Part, ...]
    missing: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many rows the corpus has."""
        return sum(part.rows for part in self.parts)

    @property
    def rows_left(self) -> int:
        """How many rows have no vector yet."""
        return sum(part.rows for part in self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return what `zoo embed --dry-run --json` prints."""
        return {
            "output": self.job.output.directory,
            "rows": self.rows,
            "rows_left": self.rows_left,
            "parts": len(self.parts),
            "parts_left": len(self.missing),
            "job": self.job.identity(),
        }

    def __str__(self) -> str:
        job, source, settings = self.job, self.job.source, self.job.settings
        fields = {"text": source.text, "pair": source.pair, "id": source.id or "number of the row"}
        files, parts = counted(len(source.files), "file"), counted(len(self.parts), "part")
        named = ", ".join(f"{name}: {field}" for name, field in fields.items() if field)
        return sheet(
            {
                "input": f"{files} of {source.format}, {size(sum(file.size for file in source.files))}",
                "rows": f"{self.rows:,} ({'' if source.format == 'text' else named + ', '}{source.id_type} ids)",
                "model": f"{job.model} with {job.tokenizer}, pooling {job.spec.pooling}, {job.max_length} tokens",
                "vectors": f"{settings.dtype}, batches of {settings.batch_size}",
                "output": f"{job.output.directory}, {parts} of {settings.rows_per_part:,} rows",
                "to do": f"{counted(len(self.missing), 'part')}, {counted(self.rows_left, 'row')}",
            }
        )


def plan_corpus(
    model: str | Path | EncoderSpec,
    corpus: str | Path | Corpus,
    output: str | Path,
    *,
    settings: Settings | None = None,
    restart: bool = False,
) -> Plan:
    """Return what `embed_corpus` would do. The model is fetched if need be, nothing is written to `output`.

    Raises what `embed_corpus` does.
    """
    parquet()  # raises now, before the model is fetched, if pyarrow is missing
    spec = model if isinstance(model, EncoderSpec) else EncoderSpec(str(model))
    corpus = corpus if isinstance(corpus, Corpus) else Corpus(str(corpus))
    settings = settings or Settings()
    _check(corpus, settings)
    source = open_corpus(corpus)
    pair = spec.find()
    place = Output(str(Path(output).expanduser().absolute()))
    job = EmbeddingJob(
        spec,
        pair.card.name,
        pair.tokenizer_card.name,
        pair.digests(),
        pair.max_length(spec.max_length),
        pair.card.sizes.hidden_size,
        source,
        corpus.limit,
        settings,
        place,
    )
    if not restart:
        place.check(job.identity())
    parts = tuple(cut(source, settings.rows_per_part, corpus.limit))
    return Plan(job, parts, parts if restart else tuple(place.missing(parts)))


def embed_corpus(
    model: str | Path | EncoderSpec,
    corpus: str | Path | Corpus,
    output: str | Path,
    *,
    settings: Settings | None = None,
    engine: Engine = "local",
    engine_options: Sequence[str] = (),
    restart: bool = False,
) -> Manifest:
    """Return what became of every row of a corpus, whose vectors are Parquet files in the directory `output` then.

        done = embed_corpus("albert_tiny", "texts.txt", "vectors")
        done.rows == done.vectors + done.bad
        pyarrow.parquet.read_table("vectors").column("vector")  # fixed_size_list<float>[312], in the order of the rows
        embed_corpus(EncoderSpec("albert_tiny", pooling="first"), Corpus("*.jsonl", text="body"), "v2", engine="spark")

    Columns are `id` (int64 or string, as in the input; else the number of the row, from 0) and `vector` (float32 or
    float16, `Settings.dtype`), with `Settings.keep_text` the texts as well. Rows that are no text are kept there in
    `_bad_rows.jsonl`. A run that ended early is gone on with by the next one, on whichever engine. `engine_options`
    are Beam's pipeline options, or Spark's as `spark.executor.memory=4g`.

    Raises BadArgument for an input without the fields, CannotWrite when the directory was begun with anything else and
    `restart` is not set, ZooError when an extra is missing or the engine gives up, and what `zoo.TextEncoder` does.
    """
    plan = plan_corpus(model, corpus, output, settings=settings, restart=restart)
    return run_plan(plan, engine, engine_options, restart)


def run_plan(
    plan: Plan, engine: Engine = "local", engine_options: Sequence[str] = (), restart: bool = False
) -> Manifest:
    """Return what became of every row of a plan; see `embed_corpus`."""
    if engine not in get_args(Engine):
        raise BadArgument(f"engine={engine!r}: choose one of {', '.join(get_args(Engine))}.")
    work: Work = imported(f"zoo.embed.{engine}", "`zoo embed`", _EXTRAS[engine]).embed_parts
    job, identity = plan.job, plan.job.identity()
    with job.output.begun(identity, restart):
        missing = job.output.missing(plan.parts)  # a run that held the directory may have done some since
        if missing:
            job.output.reopen(plan.parts, missing)
            left = sum(part.rows for part in missing)
            with progress("embedding", plan.rows, plan.rows - left, unit="rows") as advance:
                work(job, missing, advance, engine_options)
        return job.output.finish(plan.parts, identity, job.hidden_size)


def _check(corpus: Corpus, settings: Settings) -> None:
    wrong = [
        f"{name}={value!r}: give at least 1"
        for name, value in (
            ("rows_per_part", settings.rows_per_part),
            ("batch_size", settings.batch_size),
            ("limit", corpus.limit),
        )
        if value is not None and value < 1
    ]
    if settings.dtype not in ("float32", "float16"):
        wrong.append(f"dtype={settings.dtype!r}: choose float32 or float16")
    if wrong:
        raise BadArgument("; ".join(wrong) + ".")
