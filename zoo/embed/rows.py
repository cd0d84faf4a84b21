"""Reads the rows of a part: ids and texts of good rows, place and reason of bad ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from zoo.embed.corpus import OpenedCorpus, open_lines, unpacking
from zoo.embed.needs import parquet
from zoo.embed.parts import CorpusPart, Slice
from zoo.errors import ZooError

_BOM = b"\xef\xbb\xbf"
_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class BadRow:
    """A row without a vector. `line` counts from 1 in its file, `row` from 0 in the whole input.

    `raw` is the line of the file, or a dict of the fields that were read from a row of Parquet. Bytes that are not
    UTF-8 become {"base64": "…"}.
    """

    file: str
    line: int
    row: int
    reason: str
    raw: Any

    def to_json(self) -> bytes:
        """Return the line of `_bad_rows.jsonl`, in UTF-8; half a surrogate pair stays an escape of JSON, \\ud83d."""
        return (json.dumps(asdict(self), ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Rows:
    """Good rows in the order of the input, and bad rows. All texts are str, or all are pairs of str."""

    ids: tuple[Any, ...]
    texts: tuple[Any, ...]
    bad: tuple[BadRow, ...]


class _Bad(Exception):
    """The reason why a row has no vector."""


class Reader:
    """Reads parts: `Reader(source).read(part)`. The last file stays open, which makes reading parts in order fast."""

    def __init__(self, source: OpenedCorpus) -> None:
        self._source = source
        self._open: tuple[int, IO[bytes]] | None = None

    def read(self, part: CorpusPart) -> Rows:
        """Return the rows of a part. Raises ZooError if a file has changed since the corpus was cut into parts."""
        ids, texts, bad = [], [], []
        row = end = part.first
        for each in part.slices:
            file = self._source.files[each.file].path
            for line, raw in enumerate(self._raw(each), start=each.line + 1):
                try:
                    id_, text = self._parsed(raw, row)
                except _Bad as error:
                    bad.append(BadRow(file, line, row, str(error), _shown(raw)))
                else:
                    ids.append(id_)
                    texts.append(text)
                row += 1
            end += each.rows
            if row != end:
                raise _changed(file)
        return Rows(tuple(ids), tuple(texts), tuple(bad))

    def close(self) -> None:
        """Close the file that was read last."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _raw(self, each: Slice) -> Iterator[Any]:
        """Yield the lines of a slice, or, for Parquet, a dict of fields for every row."""
        file = self._source.files[each.file]
        with suppress(FileNotFoundError):
            if Path(file.path).stat().st_size == file.size:
                if self._source.format == "parquet":
                    yield from parquet().read(file.path, each.start, each.rows, self._source.fields)
                else:
                    yield from self._lines(each)
                return
        raise _changed(file.path)

    def _lines(self, each: Slice) -> Iterator[bytes]:
        if self._open is None or self._open[0] != each.file:
            self.close()
            self._open = (each.file, open_lines(self._source.files[each.file].path))
        path, stream = self._source.files[each.file].path, self._open[1]
        with unpacking(path, each.line):
            stream.seek(each.start)
        for number in range(each.rows):
            with unpacking(path, each.line + number):
                line = stream.readline()
            if not line:
                raise _changed(path)
            line = line.removesuffix(b"\n")
            yield line.removeprefix(_BOM) if each.start == number == 0 else line

    def _parsed(self, raw: Any, row: int) -> tuple[Any, Any]:
        if self._source.format == "text":
            return row, _decoded(raw).removesuffix("\r")
        fields = _object(raw) if self._source.format == "jsonl" else raw
        text = _text(fields, self._source.text)
        id_ = row if self._source.id is None else self._id(fields, self._source.id)
        return id_, text if self._source.pair is None else (text, _text(fields, self._source.pair))

    def _id(self, fields: Mapping[str, Any], name: str) -> Any:
        if self._source.id_type == "string":
            return _text(fields, name)
        value = _field(fields, name)
        if type(value) is not int:
            raise _Bad(f"field {name!r} is {_kind(value)}, but the ids of this input are integers")
        if not -(2**63) <= value < 2**63:
            raise _Bad(f"field {name!r} needs {value.bit_length()} bits; an id has 63 and a sign")
        return value


def _changed(path: str) -> ZooError:
    return ZooError(f"{path} has changed since the run began. Restore the file, or begin anew with --restart.")


def _object(line: bytes) -> Mapping[str, Any]:
    text = _decoded(line)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Bad(f"not JSON: {error}" if text.strip() else "not JSON: an empty line") from None
    if not isinstance(value, dict):
        raise _Bad(f"{_kind(value)}, not an object")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = _field(fields, name)
    if isinstance(value, bytes):
        return _decoded(value)
    if not isinstance(value, str):
        raise _Bad(f"field {name!r} is {_kind(value)}, not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Bad(f"field {name!r} holds half a surrogate pair, which is not text") from None
    return value


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise _Bad(f"no field {name!r}")
    return fields[name]


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _Bad(f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from None


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")


def _shown(raw: Any) -> Any:
    """Return a raw row as JSON can hold it: bytes become text, or {"base64": "…"} if they are not UTF-8."""
    if isinstance(raw, dict):
        return {name: _shown(value) for name, value in raw.items()}
    if not isinstance(raw, bytes):
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode("ascii")}
