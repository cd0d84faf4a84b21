"""What a person asks for: a corpus, settings, an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["text", "jsonl", "parquet"]
Dtype = Literal["float32", "float16"]
Engine = Literal["local", "beam", "spark"]

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
    """What is to be read: `Corpus("reviews/*.jsonl", text="body", id="key")`.

    `place` is a file, a directory (the files right in it) or a pattern. The format goes by the suffix, `.gz` after
    that of lines, unless it is given. Without `id` the field "id" is taken where there is one, else the number of the
    row in the whole input. With `pair`, rows are pairs of texts. `limit` leaves all rows out but the first.
    """

    place: str
    format: Format | None = None
    text: str = "text"
    pair: str | None = None
    id: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Settings:
    """How the vectors are computed and kept; each of it decides bytes of the output."""

    dtype: Dtype = "float32"
    keep_text: bool = False
    batch_size: int = 64
    rows_per_part: int = 8192
