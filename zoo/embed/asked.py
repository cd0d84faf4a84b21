"""The arguments that a person gives: a corpus, settings, an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["text", "jsonl", "parquet"]
Dtype = Literal["float32", "float16"]
Engine = Literal["local", "beam", "spark"]
Runtime = Literal["tensorflow", "onnx"]

BATCH_SIZES: dict[Runtime, int] = {"tensorflow": 64, "onnx": 32}  # `zoo convert` measures int8's drift in such batches

FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True)
class Corpus:
    """The input: `Corpus("reviews/*.jsonl", text="body", id="key")`.

    `place` is a file, a directory (its files, not those of its directories) or a pattern. Without `format` the suffix
    decides: ".jsonl", ".txt.gz". Without `id` the field "id" is used if the rows have one, else the number of the row
    in the whole input. With `pair`, rows are pairs of texts. With `limit`, only the first `limit` rows are read.
    """

    place: str
    format: Format | None = None
    text: str = "text"
    pair: str | None = None
    id: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Settings:
    """How vectors are computed and stored. Every setting changes bytes of the output.

    Without `batch_size` it is 64 texts, and 32 through ONNX Runtime.
    """

    dtype: Dtype = "float32"
    keep_text: bool = False
    batch_size: int | None = None
    rows_per_part: int = 8192
