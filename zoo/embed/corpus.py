"""Finds the files of a corpus, their format, and the fields that hold text and id."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, cast

from zoo.embed.asked import FORMATS, Corpus, Format
from zoo.embed.needs import parquet
from zoo.errors import BadArgument

IdType = Literal["int64", "string"]

_DEFAULT_ID = "id"
_LOOKED_AT = 1000  # rows of JSONL that are read to find the fields


@dataclass(frozen=True)
class InputFile:
    """One input file, its size in bytes and its time of modification in nanoseconds."""

    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class OpenedCorpus:
    """A corpus whose files were found. `id` is None if the number of the row is the id."""

    files: tuple[InputFile, ...]
    format: Format
    text: str
    pair: str | None
    id: str | None
    id_type: IdType

    @property
    def fields(self) -> list[str]:
        """The fields to read: id, text and pair, as far as the corpus has them."""
        return list(dict.fromkeys(name for name in (self.id, self.text, self.pair) if name is not None))


def open_corpus(corpus: Corpus) -> OpenedCorpus:
    """Return the files of a corpus, sorted by path, and the type of its ids.

        open_corpus(Corpus("texts.txt")).id_type  # "int64": the number of the row

    Raises BadArgument, which lists all files or fields concerned, when there are no files, when formats are unknown or
    several, and when no row has the fields.
    """
    paths = _paths(corpus.place)
    format_ = corpus.format or _format(paths)
    if format_ == "text":
        given = [f"--{name} {value}" for name, value in (("id", corpus.id), ("pair", corpus.pair)) if value]
        if given:
            raise BadArgument(f"{', '.join(given)}: lines of plain text have no fields. Use JSONL or Parquet.")
        id_: str | None = None
        id_type: IdType = "int64"
    elif format_ == "jsonl":
        id_, id_type = _json_id(paths, corpus)
    else:
        id_, id_type = parquet().find_id(paths, corpus, _DEFAULT_ID)
    files = tuple(_input_file(path) for path in paths)
    return OpenedCorpus(files, format_, corpus.text, corpus.pair, id_, id_type)


def open_lines(path: str | Path) -> IO[bytes]:
    """Return a file of lines, opened for reading. A file that ends in `.gz` is unpacked on the way; see `unpacking`."""
    if str(path).endswith(".gz") and Path(path).stat().st_size == 0:
        raise BadArgument(f"{path} is empty, so it is not a gzip file. Copy it again, or compress the text again.")
    return cast(IO[bytes], gzip.open(path)) if str(path).endswith(".gz") else Path(path).open("rb")


@contextmanager
def unpacking(path: str | Path, lines: int) -> Iterator[None]:
    """Turn gzip's errors about a damaged file into BadArgument, with the path and the number of lines read before."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadArgument(
            f"{path} is damaged after line {lines:,}: {str(error).rstrip('.')}. Later lines cannot be read. Copy the "
            "file again, or compress the text again."
        ) from None


def _input_file(path: Path) -> InputFile:
    facts = path.stat()
    return InputFile(str(path), facts.st_size, facts.st_mtime_ns)


def _paths(place: str) -> list[Path]:
    path = Path(place).expanduser()
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = [child for child in path.iterdir() if child.is_file() and not child.name.startswith((".", "_"))]
    else:
        root = Path(path.anchor)
        found = [each for each in root.glob(str(path.relative_to(root))) if each.is_file()]
    if not found:
        raise BadArgument(
            f"{place}: no file found. Give a file, a directory or a quoted pattern such as 'texts/*.txt'."
        )
    return sorted(each.absolute() for each in found)


def _format(paths: list[Path]) -> Format:
    """Return the one format that the suffixes of all files stand for."""
    formats = {path: FORMATS.get(Path(path.name.removesuffix(".gz")).suffix) for path in paths}
    unknown = [path.name for path, format_ in formats.items() if format_ is None]
    if unknown:
        raise BadArgument(
            f"unknown suffix: {_some(unknown)}. Known are {', '.join(FORMATS)}, and .gz after those of lines. State "
            "the format with --format, or leave files out with a pattern."
        )
    counts = Counter(formats.values())
    if len(counts) > 1:
        found = ", ".join(f"{count} of {format_}" for format_, count in counts.items())
        raise BadArgument(f"files of several formats: {found}. Embed one format at a time, with a pattern.")
    return cast(Format, next(iter(counts)))


def _json_id(paths: list[Path], corpus: Corpus) -> tuple[str | None, IdType]:
    """Return the field of the ids and their type, as the first rows show them."""
    rows = list(islice(_objects(paths), _LOOKED_AT))
    fields = sorted({name for row in rows for name in row})
    wanted = [name for name in (corpus.text, corpus.pair, corpus.id) if name is not None]
    missing = [name for name in wanted if rows and name not in fields]
    if missing:
        raise BadArgument(
            f"none of the first {len(rows):,} rows has {_some([repr(name) for name in missing])}; they have "
            f"{_some(fields) or 'no fields'}. Name the fields with --text, --pair and --id."
        )
    types = [_id_type(row.get(corpus.id or _DEFAULT_ID)) for row in rows]
    if corpus.id is None:  # the field "id" is used only if all rows have it with one type
        return (_DEFAULT_ID, types[0]) if types and types[0] and len(set(types)) == 1 else (None, "int64")
    usable = [each for each in types if each is not None]
    if rows and not usable:
        raise BadArgument(f"none of the first {len(rows):,} rows has an integer or a text as {corpus.id!r}.")
    return corpus.id, usable[0] if usable else "int64"


def _id_type(value: Any) -> IdType | None:
    return "int64" if type(value) is int else "string" if isinstance(value, str) else None


def _objects(paths: list[Path]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects among the first lines of every file; other lines are skipped here."""
    for path in paths:
        with open_lines(path) as lines:
            for number in range(_LOOKED_AT):
                with unpacking(path, number):
                    line = lines.readline()
                if not line:
                    break
                try:
                    row = json.loads(line.decode("utf-8-sig"))
                except (ValueError, RecursionError):
                    continue
                if isinstance(row, dict):
                    yield row


def _some(names: list[str]) -> str:
    """Return the first nine names and how many more there are."""
    more = f" and {len(names) - 9} more" if len(names) > 9 else ""
    return ", ".join(names[:9]) + more
