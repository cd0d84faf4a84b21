"""Embeds a corpus: `plan_corpus` decides everything, then an engine computes the parts that are not done yet."""

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
from zoo.embed.parts import CorpusPart, cut
from zoo.errors import BadArgument

Work = Callable[[EmbeddingJob, Sequence[CorpusPart], Callable[[int], object], Sequence[str]], None]

_EXTRAS: dict[Engine, str] = {"local": "embed", "beam": "beam", "spark": "spark"}


@dataclass(frozen=True)
class Plan:
    """The input, the model, the output and the parts that are still to be done."""

    job: EmbeddingJob
    parts: tuple[CorpusPart, ...]
    missing: tuple[CorpusPart, ...]

    @property
    def rows(self) -> int:
        """The number of rows in the corpus."""
        return sum(part.rows for part in self.parts)

    @property
    def rows_left(self) -> int:
        """The number of rows in the parts that are still to be done."""
        return sum(part.rows for part in self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as `zoo embed --dry-run --json` prints it."""
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
                "model": ", ".join([job.model + (f" with {job.tokenizer}" if job.tokenizer else ""), str(job.how)]),
                "vectors": f"{settings.dtype}, batches of {job.batch_size}",
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
    """Return the plan that `embed_corpus` would carry out. Fetches the model if necessary, writes nothing to `output`.

    Raises the errors of `embed_corpus`.
    """
    parquet()  # raises now, before the model is fetched, if pyarrow is missing
    spec = model if isinstance(model, EncoderSpec) else EncoderSpec(str(model))
    corpus = corpus if isinstance(corpus, Corpus) else Corpus(str(corpus))
    settings = settings or Settings()
    _check(corpus, settings)
    source = open_corpus(corpus)
    found = spec.find()
    how = found.text_vectors(spec.asked)
    place = Output(str(Path(output).expanduser().absolute()))
    job = EmbeddingJob(
        spec,
        found.name,
        found.tokenizer,
        found.digests(),
        how,
        found.width(how),
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
    """Write the vectors of a corpus as Parquet files into the directory `output`, and return the numbers of rows.

        done = embed_corpus("albert_tiny", "texts.txt", "vectors")
        done.rows == done.vectors + done.bad
        pyarrow.parquet.read_table("vectors").column("vector")  # fixed_size_list<float>[312], in the order of the rows
        embed_corpus(EncoderSpec("albert_tiny", pooling="first"), Corpus("*.jsonl", text="body"), "v2", engine="spark")

    The columns are `id` (int64 or string, as in the input; or the number of the row, from 0) and `vector` (float32 or
    float16, `Settings.dtype`); `Settings.keep_text` adds the texts. Rows without a text are listed in
    `_bad_rows.jsonl`. The next run continues one that ended early, on any engine. `engine_options` are Beam's pipeline
    options, or Spark's in the form `spark.executor.memory=4g`.

    Raises BadArgument for an input without the fields, CannotWrite when the directory was begun with other settings and
    `restart` is not set, ZooError when an extra is missing or the engine fails, and the errors of `zoo.TextEncoder`.
    """
    plan = plan_corpus(model, corpus, output, settings=settings, restart=restart)
    return run_plan(plan, engine, engine_options, restart)


def run_plan(
    plan: Plan, engine: Engine = "local", engine_options: Sequence[str] = (), restart: bool = False
) -> Manifest:
    """Carry out a plan and return the numbers of rows; see `embed_corpus`."""
    if engine not in get_args(Engine):
        raise BadArgument(f"engine={engine!r}: choose one of {', '.join(get_args(Engine))}.")
    work: Work = imported(f"zoo.embed.{engine}", "`zoo embed`", _EXTRAS[engine]).embed_parts
    job, identity = plan.job, plan.job.identity()
    with job.output.begun(identity, restart):
        missing = job.output.missing(plan.parts)  # another run may have finished parts since the plan was made
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
