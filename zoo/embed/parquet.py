"""Reads and writes Parquet. No other module imports pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from zoo.errors import BadArgument, first_line

if TYPE_CHECKING:
    from zoo.embed.corpus import Corpus, IdType

_BATCH = 4096  # rows decoded at once


# -- reading ------------------------------------------------------------------------------------------------------


def count(path: str | Path) -> int:
    """Return the number of rows of a file."""
    return int(_opened(path).metadata.num_rows)


def count_own(path: Path) -> int | None:
    """Return the number of rows of a part that zoo wrote, or None if the file is damaged or is not such a part."""
    try:
        file = _opened(path)
    except BadArgument:
        return None
    with file:
        is_part = {"id", "vector"} <= {*file.schema_arrow.names}
        return int(file.metadata.num_rows) if is_part else None


def find_id(paths: Sequence[Path], corpus: Corpus, default: str) -> tuple[str | None, IdType]:
    """Return the field of the ids and their type. Raises BadArgument, which lists every column that cannot be used."""
    schemas = {path: _opened(path).schema_arrow for path in paths}
    problems = []
    for path, schema in schemas.items():
        for column in dict.fromkeys(each for each in (corpus.text, corpus.pair, corpus.id) if each is not None):
            if column not in schema.names:
                problems.append(f"{path.name} has no column {column!r}; it has {', '.join(schema.names)}")
            elif column != corpus.id and not _is_text(schema.field(column).type):
                problems.append(f"{path.name}: {column!r} is {schema.field(column).type}, not text")
    name = corpus.id or default
    types = [schema.field(name).type if name in schema.names else pa.null() for schema in schemas.values()]
    is_text, is_integer = (all(map(fits, types)) for fits in (_is_text, pa.types.is_integer))
    if corpus.id is not None and not (is_text or is_integer):
        found = ", ".join(sorted(set(map(str, types))))
        problems.append(f"{name!r} is {found}, but ids have to be integers in all files, or text in all files")
    if problems:
        raise BadArgument("; ".join(problems) + ". Name the columns with --text, --pair and --id.")
    return (name, "string" if is_text else "int64") if is_text or is_integer else (None, "int64")


def read(path: str | Path, start: int, rows: int, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield `rows` rows of a file from the row `start` on. Texts are bytes, because they may not be valid UTF-8."""
    file = _opened(path)
    groups: list[int] = []
    before = first = 0  # `first` is the number of the first row of the chosen row groups
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if before + size > start and before < start + rows and size:
            first = first if groups else before
            groups.append(group)
        before += size
    skip, left = start - first, rows
    batches = file.iter_batches(_BATCH, row_groups=groups, columns=list(columns))
    while left:
        with _damage_named(path):
            batch = next(batches, None)
        if batch is None:
            return
        wanted = batch.slice(skip, left)
        skip = max(0, skip - batch.num_rows)
        left -= wanted.num_rows
        yield from pa.table({name: _plain(wanted.column(name)) for name in columns}).to_pylist()


def _plain(column: pa.Array) -> pa.Array:
    """Return a column without dictionary encoding, texts as bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_binary()) if _is_text(column.type) else column


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def _opened(path: str | Path) -> pq.ParquetFile:
    with _damage_named(path):
        return pq.ParquetFile(path)


@contextmanager
def _damage_named(path: str | Path) -> Iterator[None]:
    """Turn pyarrow's errors about a damaged file into BadArgument, which names the path."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # an error of the operating system; pyarrow's have no number
            raise
        raise BadArgument(f"{path} is not Parquet, or is damaged: {first_line(error)}. Copy it again.") from error


# -- writing ------------------------------------------------------------------------------------------------------


def write_vectors(
    path: Path,
    ids: Sequence[Any],
    id_type: IdType,
    vectors: NDArray[np.floating[Any]],
    texts: Mapping[str, Sequence[str]],
    facts: Mapping[str, str],
) -> None:
    """Write one part: the columns `id`, `vector` (N, H), and one for every key of `texts`, with `facts` as metadata."""
    values = pa.array(vectors.reshape(-1))
    columns = {
        "id": pa.array(ids, pa.int64() if id_type == "int64" else pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(values, vectors.shape[1]),
        **{name: pa.array(column, pa.string()) for name, column in texts.items()},
    }
    table = pa.table(columns).replace_schema_metadata(dict(facts))
    pq.write_table(table, path, use_dictionary=False, write_statistics=["id"])
