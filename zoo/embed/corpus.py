"""The corpus that is read: which files, in which format, and which fields of theirs are text and id."""

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
_LOOKED_AT = 1000  # rows of JSONL that say which fields there are


@dataclass(frozen=True)
class InputFile:
    """One file as it was found; `modified` in nanoseconds."""

    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class OpenedCorpus:
    """What was found. `id` is None where the number of the row is the id."""

    files: tuple[InputFile, ...]
    format: Format
    text: str
    pair: str | None
    id: str | None
    id_type: IdType

    @property
    def fields(self) -> list[str]:
        """The fields that are read."""
        return list(dict.fromkeys(name for name in (self.id, self.text, self.pair) if name is not None))


def open_corpus(corpus: Corpus) -> OpenedCorpus:
    """Return the files of a corpus, sorted by path, and the type of its ids.

        open_corpus(Corpus("texts.txt")).id_type  # "int64": the number of the row

    Raises BadArgument when there are no files, when their formats are unknown or several, and when no row has the
    fields; it lists all files of its kind.
    """
    paths = _paths(corpus.place)
    format_ = corpus.format or _format(paths)
    if format_ == "text":
        given = [f"--{name} {value}" for name, value in (("id", corpus.id), ("pair", corpus.pair)) if value]
        if given:
            raise BadArgument(f"{', '.join(given)}: a line of text has no fields. Take JSONL or Parquet for that.")
        id_: str | None = None
        id_type: IdType = "int64"
    elif format_ == "jsonl":
        id_, id_type = _json_id(paths, corpus)
    else:
        id_, id_type = parquet().find_id(paths, corpus, _DEFAULT_ID)
    files = tuple(_input_file(path) for path in paths)
    return OpenedCorpus(files, format_, corpus.text, corpus.pair, id_, id_type)


def open_lines(path: str | Path) -> IO[bytes]:
    """Return a file of lines, unpacked as it is read where it ends in `.gz`; see `unpacking`."""
    if str(path).endswith(".gz") and Path(path).stat().st_size == 0:
        raise BadArgument(f"{path} is empty, and so is no gzip: it was cut. Copy it, or compress the text again.")
    return cast(IO[bytes], gzip.open(path)) if str(path).endswith(".gz") else Path(path).open("rb")


@contextmanager
def unpacking(path: str | Path, lines: int) -> Iterator[None]:
    """Let what gzip says about a cut or damaged file name the file, and how many lines of it could be read."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadArgument(
            f"{path} is damaged after line {lines:,}: {str(error).rstrip('.')}. Nothing behind that can be read: copy "
            "the file, or compress the text again."
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
            f"{place}: no file there. Give a file, a directory or a quoted pattern such as 'texts/*.txt'."
        )
    return sorted(each.absolute() for each in found)


def _format(paths: list[Path]) -> Format:
    formats = {path: FORMATS.get(Path(path.name.removesuffix(".gz")).suffix) for path in paths}
    unknown = [path.name for path, format_ in formats.items() if format_ is None]
    if unknown:
        raise BadArgument(
            f"of no known format: {_some(unknown)}. --format says what they are, a pattern leaves files out; "
            f"known by their names are {', '.join(FORMATS)}, lines with .gz too."
        )
    counts = Counter(formats.values())
    if len(counts) > 1:
        found = ", ".join(f"{count} of {format_}" for format_, count in counts.items())
        raise BadArgument(f"files of several formats, {found}: embed one format at a time, with a pattern.")
    return cast(Format, next(iter(counts)))


def _json_id(paths: list[Path], corpus: Corpus) -> tuple[str | None, IdType]:
    """Return field and type of the ids, by the first rows."""
    rows = list(islice(_objects(paths), _LOOKED_AT))
    fields = sorted({name for row in rows for name in row})
    wanted = [name for name in (corpus.text, corpus.pair, corpus.id) if name is not None]
    missing = [name for name in wanted if rows and name not in fields]
    if missing:
        raise BadArgument(
            f"no row of the first {len(rows):,} has {_some([repr(name) for name in missing])}; there is "
            f"{_some(fields) or 'nothing'}. --text, --pair and --id name the fields."
        )
    types = [_id_type(row.get(corpus.id or _DEFAULT_ID)) for row in rows]
    if corpus.id is None:  # what nobody asked for is taken where it fits everywhere
        return (_DEFAULT_ID, types[0]) if types and types[0] and len(set(types)) == 1 else (None, "int64")
    usable = [each for each in types if each is not None]
    if rows and not usable:
        raise BadArgument(f"no row of the first {len(rows):,} has an integer or text as {corpus.id!r}.")
    return corpus.id, usable[0] if usable else "int64"


def _id_type(value: Any) -> IdType | None:
    return "int64" if type(value) is int else "string" if isinstance(value, str) else None


def _objects(paths: list[Path]) -> Iterator[dict[str, Any]]:
    """Yield those of the first lines of the files that are JSON objects."""
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
    more = f" and {len(names) - 9} more" if len(names) > 9 else ""
    return ", ".join(names[:9]) + more
