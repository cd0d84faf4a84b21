"""A corpus cut into parts and read again: every row once, in its order, good or with the reason why it is not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from zoo.embed.asked import Corpus
from zoo.embed.corpus import OpenedCorpus, open_corpus
from zoo.embed.parts import CorpusPart, cut
from zoo.embed.rows import BadRow, Reader, Rows
from zoo.errors import BadArgument, ZooError

pa = pytest.importorskip("pyarrow", reason="pip install 'bert-zoo[embed]'")
pq = pytest.importorskip("pyarrow.parquet", reason="pip install 'bert-zoo[embed]'")

TEXTS = ["你好", "", "w1 w2", "  ", "好\u2028好", "w9", "a\x00b", "你" * 40, "w3", "é", "w4", "last"]


def read(source: OpenedCorpus, size: int, limit: int | None = None) -> tuple[list[CorpusPart], list[Rows]]:
    parts = list(cut(source, size, limit))
    reader = Reader(source)
    found = [reader.read(part) for part in parts]
    reader.close()
    return parts, found


def write(directory: Path, kind: str) -> Path:
    """Write TEXTS into three files, the second one empty, with ids 100, 101, … where there are fields."""
    directory.mkdir()
    rows = [{"id": 100 + number, "text": text} for number, text in enumerate(TEXTS)]
    for number, chosen in enumerate((rows[:7], [], rows[7:])):
        if kind == "parquet":
            table = pa.table({name: [row[name] for row in chosen] for name in ("id", "text")}, pa.schema(SCHEMA))
            pq.write_table(table, directory / f"{number}.parquet", row_group_size=3)
            continue
        lines = [row["text"] if "txt" in kind else json.dumps(row, ensure_ascii=number > 0) for row in chosen]
        raw = ("\r\n" if number else "\n").join(map(str, lines)).encode()
        raw += b"\n" if chosen and not number else b""  # the last file ends without a line feed
        path = directory / f"{number}.{kind}"
        path.write_bytes(gzip.compress(raw) if kind.endswith("gz") else raw)
    return directory


SCHEMA = [("id", pa.int64()), ("text", pa.string())]


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "ndjson.gz", "parquet"])
@pytest.mark.parametrize("size", [1, 3, 5, 7, 12, 99])
def test_every_row_is_in_one_part(kind: str, size: int, tmp_path: Path) -> None:
    source = open_corpus(Corpus(str(write(tmp_path / "in", kind))))
    parts, found = read(source, size)
    assert [part.rows for part in parts] == [size] * (12 // size) + [12 % size] * (12 % size > 0)
    assert [part.first for part in parts] == [*range(0, 12, size)]
    assert [text for rows in found for text in rows.texts] == TEXTS
    ids = range(12) if "txt" in kind else range(100, 112)
    assert [id_ for rows in found for id_ in rows.ids] == [*ids]
    assert not any(rows.bad for rows in found)
    reader = Reader(source)  # in another order, as workers take them
    assert [reader.read(part) for part in reversed(parts)] == found[::-1]
    reader.close()


@pytest.mark.parametrize("kind", ["txt", "parquet"])
def test_a_limit(kind: str, tmp_path: Path) -> None:
    source = open_corpus(Corpus(str(write(tmp_path / "in", kind))))
    for limit in (1, 7, 8, 12, 50):
        parts, found = read(source, 4, limit)
        assert [text for rows in found for text in rows.texts] == TEXTS[:limit]
        assert max(part.rows for part in parts) <= 4


def test_lines_longer_than_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.embed.parts._BLOCK", 5)
    source = open_corpus(Corpus(str(write(tmp_path / "in", "txt"))))
    assert [text for rows in read(source, 2)[1] for text in rows.texts] == TEXTS


def bad(path: Path, **how: Any) -> list[tuple[int, int, str]]:
    source = open_corpus(Corpus(str(path), **how))
    _, found = read(source, 4)
    rows = [row for each in found for row in each.bad]
    assert len(rows) + sum(len(each.texts) for each in found) == sum(part.rows for part in cut(source, 4))
    assert all(row.file == str(path) for row in rows)
    return [(row.line, row.row, row.reason) for row in rows]


def test_rows_of_json_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines: list[bytes] = [
        b'\xef\xbb\xbf{"text": "with a byte order mark", "id": 1}',
        b'{"text": "half',
        b"",
        b'["text"]',
        b'{"id": 5}',
        b'{"text": null, "id": 6}',
        b'{"text": 7, "id": 7}',
        b'{"text": "\xff\xfe", "id": 8}',
        b'{"text": "\\ud83d", "id": 9}',
        b'{"text": "no id"}',
        b'{"text": "of another kind", "id": "11"}',
        b'{"text": "true is none", "id": true}',
        b'{"text": "long", "id": 99999999999999999999}',
        b"[" * 100_000,
        b'{"text": "fine", "id": 15}',
        b'{"text": "' + b"1" * 5000 + b'", "id": ' + b"1" * 5000 + b"}",
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = bad(path, id="id")
    reasons = [
        "not JSON: Unterminated string",
        "not JSON: an empty line",
        "a list, not an object",
        "no field 'text'",
        "field 'text' is null, not text",
        "field 'text' is a number, not text",
        "not UTF-8: byte 10 is 0xff",
        "field 'text' holds half a surrogate pair",
        "no field 'id'",
        "field 'id' is text, but the ids of this input are integers",
        "field 'id' is a boolean",
        "field 'id' needs 67 bits",
        "not JSON: ",
        "not JSON: ",
    ]
    assert [line for line, _, _ in found] == [*range(2, 15), 16] and [row + 1 for _, row, _ in found] == [
        line for line, _, _ in found
    ]
    for (_, _, reason), wanted in zip(found, reasons, strict=True):
        assert reason.startswith(wanted)


def test_what_is_kept_of_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"fine\n\xff\xfe\n")
    (row,) = read(open_corpus(Corpus(str(path))), 9)[1][0].bad
    assert json.loads(row.to_json()) == {
        "file": str(path),
        "line": 2,
        "row": 1,
        "reason": "not UTF-8: byte 0 is 0xff",
        "raw": {"base64": "//4="},
    }
    kept = BadRow("模型.txt", 1, 0, "half a pair", "好\ud83d")
    assert kept.to_json().decode().count("好") == 1 and json.loads(kept.to_json()) == vars(kept)


def test_rows_of_parquet_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    broken = pa.array([b"fine", None, b"\xff", b"fine"], pa.binary()).view(pa.string())
    ids = pa.array(["a", "b", "c", None]).dictionary_encode()
    pq.write_table(pa.table({"body": broken, "key": ids, "more": [1.5] * 4}), path)
    assert bad(path, text="body", id="key") == [
        (2, 1, "field 'body' is null, not text"),
        (3, 2, "not UTF-8: byte 0 is 0xff"),
        (4, 3, "field 'key' is null, not text"),
    ]


def test_ids_and_pairs(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": "w1", "b": "w2", "k": "x"}\n{"a": "w3", "b": 4, "k": "y"}\n')
    source = open_corpus(Corpus(str(path), text="a", pair="b", id="k"))
    (rows,) = read(source, 9)[1]
    assert (source.id_type, rows.ids, rows.texts) == ("string", ("x",), (("w1", "w2"),))
    assert [row.reason for row in rows.bad] == ["field 'b' is a number, not text"]
    source = open_corpus(Corpus(str(path), text="a"))
    assert (source.id, source.id_type, read(source, 9)[1][0].ids) == (None, "int64", (0, 1))


@pytest.mark.parametrize(
    ("ids", "name", "id_type"),
    [([7, 8], "id", "int64"), (["7", "8"], "id", "string"), ([7, "8"], None, "int64"), ([7.5, 8.5], None, "int64")],
)
def test_an_id_that_nobody_asked_for(ids: list[Any], name: str | None, id_type: str, tmp_path: Path) -> None:
    """It counts where it fits all rows."""
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": "w1", "id": each}) + "\n" for each in ids))
    found = [open_corpus(Corpus(str(tmp_path / "in.jsonl")))]
    if len({type(each) for each in ids}) == 1:
        pq.write_table(pa.table({"text": ["w1", "w2"], "id": ids}), tmp_path / "in.parquet")
        found.append(open_corpus(Corpus(str(tmp_path / "in.parquet"))))
    assert {(source.id, source.id_type) for source in found} == {(name, id_type)}


def test_files_that_change(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("one\ntwo\n")
    source = open_corpus(Corpus(str(path)))
    (part,) = cut(source, 9)
    path.write_text("one\n")
    with pytest.raises(ZooError, match=r"in\.txt has changed since the run began"):
        Reader(source).read(part)
    path.unlink()
    with pytest.raises(ZooError, match=r"in\.txt has changed since the run began"):
        Reader(source).read(part)


def test_inputs_that_are_refused(tmp_path: Path) -> None:
    def refused(pattern: str, place: Path | str, **how: Any) -> None:
        with pytest.raises(BadArgument, match=pattern):
            open_corpus(Corpus(str(place), **how))

    directory = write(tmp_path / "in", "jsonl")
    refused("no file found", tmp_path / "none.txt")
    refused("no file found", tmp_path / "*.txt")
    refused(r"none of the first 12 rows has 'body', 'key'; they have id, text\.", directory, text="body", id="key")
    refused("--id k: lines of plain text have no fields", directory, format="text", id="k")
    (directory / "3.txt").write_text("x")
    refused("files of several formats: 3 of jsonl, 1 of text", directory)
    assert len(open_corpus(Corpus(f"{directory}/*.jsonl")).files) == 3
    (directory / "notes.md").write_text("x")
    refused(r"unknown suffix: notes\.md\. .*State the format with --format", directory)
    pq.write_table(pa.table({"text": [1, 2], "id": [0.5, 1.5]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [1.5]}), tmp_path / "b.parquet")
    refused(
        r"a\.parquet: 'text' is int64, not text; b\.parquet has no column 'text'; it has id; 'id' is double, but ids",
        f"{tmp_path}/*.parquet",
        id="id",
    )
    (tmp_path / "c.parquet").write_bytes(b"not that")
    refused(r"c\.parquet is not Parquet", tmp_path / "c.parquet")
    (tmp_path / "ids.jsonl").write_text('{"text": "x", "id": 1.5}\n')
    refused("none of the first 1 rows has an integer or a text as 'id'", tmp_path / "ids.jsonl", id="id")
