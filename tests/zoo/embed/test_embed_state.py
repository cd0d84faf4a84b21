"""`zoo embed` believes no file to be whole: what is emptied, cut or odd is made again, or named with the next move."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.zoo.toyzoo import ToyZoo
from zoo.command import main
from zoo.embed import Corpus, EncoderSpec, Settings, embed_corpus, plan_corpus
from zoo.embed.corpus import open_corpus
from zoo.embed.parts import cut
from zoo.embed.rows import Reader
from zoo.errors import BadArgument, CannotWrite, ZooError

WITHOUT = "pip install 'bert-zoo[embed]'"
pa = pytest.importorskip("pyarrow", reason=WITHOUT)
pq = pytest.importorskip("pyarrow.parquet", reason=WITHOUT)

from tests.zoo.embed.embedding import embed_parts, files  # noqa: E402, which need pyarrow

SETTINGS = Settings(rows_per_part=3)
PART = "part-000001.parquet"


@pytest.fixture(autouse=True)
def quick_engine(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An engine without TensorFlow; the numbers of the parts that it is given."""
    done: list[int] = []

    def counted(job: object, parts: list[SimpleNamespace], *rest: object) -> None:
        done.extend(part.number for part in parts)
        embed_parts(job, parts, *rest)  # type: ignore[arg-type]

    monkeypatch.setitem(sys.modules, "zoo.embed.local", SimpleNamespace(embed_parts=counted))
    return done


@pytest.fixture
def out(spec: EncoderSpec, lines: Path, tmp_path: Path, quick_engine: list[int]) -> Path:
    """A finished run: four parts of three rows, the fifth row is a bad one."""
    embed_corpus(spec, lines, tmp_path / "out", settings=SETTINGS)
    assert quick_engine == [0, 1, 2, 3]
    quick_engine.clear()
    return tmp_path / "out"


def emptied(name: str) -> Callable[[Path], object]:
    return lambda out: (out / name).write_bytes(b"")


def halved(name: str) -> Callable[[Path], object]:
    return lambda out: (out / name).write_bytes((whole := (out / name).read_bytes())[: len(whole) // 2])


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda out: (out / name).write_text(text)


def removed(name: str) -> Callable[[Path], object]:
    return lambda out: (out / name).unlink()


def without_a_row(out: Path) -> None:
    pq.write_table(pq.read_table(out / PART).slice(1), out / PART)


def other_columns(out: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), out / PART)


def odd_footer(out: Path) -> None:
    whole = bytearray((out / PART).read_bytes())
    whole[-60:-8] = b"\xff" * 52
    (out / PART).write_bytes(whole)


def wrong_count(out: Path) -> None:
    manifest = json.loads((out / "_manifest.json").read_bytes())
    (out / "_manifest.json").write_text(json.dumps({**manifest, "bad": 0, "vectors": 12}))


def before_the_end(out: Path) -> None:
    """As a run leaves it that is killed after the manifest, amid the removal of what it was made of."""
    (out / "_bad").mkdir()
    (out / "_bad" / "000001.jsonl").write_bytes((out / "_bad_rows.jsonl").read_bytes())
    (out / "_bad_rows.jsonl").write_bytes(b"")


DEEP = "[" * 100_000
# what happens to a finished run -> the parts that are computed again
DAMAGE: dict[str, tuple[Callable[[Path], object], list[int]]] = {
    "nothing": (lambda out: None, []),
    "a part is emptied": (emptied(PART), [1]),
    "a part is cut": (halved(PART), [1]),
    "a part is removed": (removed(PART), [1]),
    "a part has an odd footer": (odd_footer, [1]),
    "a part lacks a row": (without_a_row, [1]),
    "a part has other columns": (other_columns, [1]),
    "a part without bad rows is emptied": (emptied("part-000003.parquet"), [3]),
    "the manifest is emptied": (emptied("_manifest.json"), []),
    "the manifest is cut": (halved("_manifest.json"), []),
    "the manifest is removed": (removed("_manifest.json"), []),
    "the manifest is a list": (written("_manifest.json", "[]"), []),
    "the manifest has other keys": (written("_manifest.json", '{"rows": 12}'), []),
    "the manifest is deep": (written("_manifest.json", DEEP), []),
    "the manifest counts otherwise": (wrong_count, []),
    "the job is emptied": (emptied("_job.json"), []),
    "the job is a null": (written("_job.json", "null"), []),
    "the job is deep": (written("_job.json", DEEP), []),
    "the bad rows are emptied": (emptied("_bad_rows.jsonl"), [1]),
    "the bad rows are cut": (halved("_bad_rows.jsonl"), [1]),
    "the bad rows are removed": (removed("_bad_rows.jsonl"), [1]),
    "the bad rows are others": (written("_bad_rows.jsonl", '{"row": 99}\n[]\nx\n{"row": "4"}\n'), [1]),
    "the end is not reached": (before_the_end, []),
    "a part and the manifest are emptied": (lambda out: (emptied(PART)(out), emptied("_manifest.json")(out)), [1]),
    "bad rows and the manifest are emptied": (
        lambda out: (emptied("_bad_rows.jsonl")(out), emptied("_manifest.json")(out)),
        [1],
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_finished_run_is_made_whole(
    what: str, out: Path, spec: EncoderSpec, lines: Path, quick_engine: list[int]
) -> None:
    damage, parts = DAMAGE[what]
    whole = files(out)
    damage(out)
    plan = plan_corpus(spec, lines, out, settings=SETTINGS)
    assert [part.number for part in plan.missing] == parts
    done = embed_corpus(spec, lines, out, settings=SETTINGS)
    assert quick_engine == parts and files(out) == whole
    assert (done.rows, done.vectors, done.bad, done.parts) == (12, 11, 1, 4)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*") if path.name not in ("_job.json", "_lock")}
    embed_corpus(spec, lines, out, settings=SETTINGS)
    assert quick_engine == parts and {path: path.stat().st_mtime_ns for path in before} == before


def test_nothing_tells_what_the_parts_are_of(out: Path, spec: EncoderSpec, lines: Path) -> None:
    emptied("_job.json")(out)
    emptied("_manifest.json")(out)
    with pytest.raises(
        CannotWrite, match=r"_job\.json is damaged, so the settings .* are unknown\. Begin anew with --restart"
    ):
        embed_corpus(spec, lines, out, settings=SETTINGS)
    assert embed_corpus(spec, lines, out, settings=SETTINGS, restart=True).vectors == 11


@pytest.mark.parametrize("files", [["x"], [{"path": 3}], [], None, {"path": "x"}])
def test_a_job_of_odd_types_is_another_job(files: object, out: Path, spec: EncoderSpec, lines: Path) -> None:
    job = json.loads((out / "_job.json").read_bytes())
    (out / "_job.json").write_text(json.dumps({**job, "files": files}))
    with pytest.raises(CannotWrite, match=r"was begun with other settings: files .*--restart"):
        embed_corpus(spec, lines, out, settings=SETTINGS)


@pytest.mark.parametrize("name", ["_manifest.json", PART, "_bad_rows.jsonl", "_lock"])
def test_a_directory_in_the_way(name: str, out: Path, spec: EncoderSpec, lines: Path) -> None:
    removed(name)(out)
    (out / name).mkdir()
    with pytest.raises(CannotWrite, match=rf"{name}.*remove it or choose another place"):
        embed_corpus(spec, lines, out, settings=SETTINGS)


def test_parts_that_an_engine_has_not_written(
    spec: EncoderSpec, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules,
        "zoo.embed.local",
        SimpleNamespace(embed_parts=lambda job, parts, *_: embed_parts(job, parts[1:], *_)),
    )
    with pytest.raises(
        ZooError, match=r"part-000000\.parquet \(1 of 4 parts\) are missing or have a wrong number of rows"
    ):
        embed_corpus(spec, lines, tmp_path / "out", settings=SETTINGS)
    assert not (tmp_path / "out" / "_manifest.json").exists()


# -- the corpus ---------------------------------------------------------------------------------------------------

LINES = "".join(f"line {number} {number * 7919 % 10007}\n" for number in range(20_000)).encode()


def damaged_gz(how: str) -> bytes:
    packed = gzip.compress(LINES, mtime=0)
    middle = len(packed) // 2
    return {
        "emptied": b"",
        "cut": packed[:middle],
        "cut at the end": packed[:-3],
        "cut at the start": packed[:5],
        "flipped": packed[:middle] + bytes(256) + packed[middle + 256 :],
        "trailing": packed + b"more",
        "no gzip": LINES,
        "wrong checksum": packed[:-8] + bytes(4) + packed[-4:],
    }[how]


@pytest.mark.parametrize(
    "how, words",
    [
        ("emptied", r"is empty, so it is not a gzip file"),
        ("cut", r"is damaged after line \d+,\d+: Compressed file ended before the end-of-stream marker"),
        ("cut at the end", r"is damaged after line 20,000: Compressed file ended"),
        ("cut at the start", r"is damaged after line 0: Compressed file ended"),
        ("flipped", r"is damaged after line \d+,\d+: (Error -3|CRC check failed)"),
        ("trailing", r"is damaged after line 20,000: Not a gzipped file"),
        ("no gzip", r"is damaged after line 0: Not a gzipped file"),
        ("wrong checksum", r"is damaged after line 20,000: CRC check failed"),
    ],
)
@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_a_damaged_gz_is_named(
    how: str, words: str, suffix: str, toy_zoo: ToyZoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, out = tmp_path / f"in.{suffix}.gz", tmp_path / "out"
    place.write_bytes(damaged_gz(how))
    assert main(["embed", "toy", str(place), str(out), "--registry", str(toy_zoo.registry)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"zoo: BadArgument: {place} is ") and not out.exists()
    with pytest.raises(BadArgument, match=words):
        list(cut(open_corpus(Corpus(str(place))), 100))


def test_a_gz_that_is_damaged_while_it_is_read(tmp_path: Path) -> None:
    (place := tmp_path / "in.txt.gz").write_bytes(whole := gzip.compress(LINES, mtime=0))
    source = open_corpus(Corpus(str(place)))
    parts = list(cut(source, 1000))
    half = whole[: len(whole) // 2]
    place.write_bytes(half + bytes(len(whole) - len(half)))  # of the same size
    with closing(Reader(source)) as reader:
        assert len(reader.read(parts[0]).texts) == 1000
        with pytest.raises(BadArgument, match=r"in\.txt\.gz is damaged after line \d+"):
            for part in parts:
                reader.read(part)


def test_fewer_lines_than_there_were(tmp_path: Path) -> None:
    (place := tmp_path / "in.txt").write_bytes(b"a\nb\nc\n")
    source = open_corpus(Corpus(str(place)))
    (part,) = cut(source, 10)
    place.write_bytes(b"a b c\n")  # of the same size
    with pytest.raises(ZooError, match=r"in\.txt has changed since"), closing(Reader(source)) as reader:
        reader.read(part)


@pytest.mark.parametrize("how", ["emptied", "cut", "odd footer", "odd page"])
def test_a_damaged_parquet_is_named(how: str, tmp_path: Path) -> None:
    place = tmp_path / "in.parquet"
    table = pa.table({"text": [f"text {number}" for number in range(5000)]})
    pq.write_table(table, place, compression="zstd", use_dictionary=False)
    whole = place.read_bytes()
    damaged = {
        "emptied": b"",
        "cut": whole[: len(whole) // 2],
        "odd footer": whole[:-60] + b"\xff" * 52 + whole[-8:],
        "odd page": whole[:100] + b"\xff" * 3000 + whole[3100:],
    }[how]
    place.write_bytes(damaged)
    with pytest.raises(BadArgument, match=r"in\.parquet is not Parquet, or is damaged: .*Copy it again"):
        source = open_corpus(Corpus(str(place)))
        for part in cut(source, 1000):
            Reader(source).read(part)
