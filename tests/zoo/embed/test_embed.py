"""`zoo embed` on one machine: vectors, ids, what is told of bad rows, and runs that are gone on with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

import zoo
from tests.conftest import ROOT
from tests.zoo.embed.toycorpus import SETTINGS, TEXTS
from tests.zoo.toyzoo import ToyZoo
from zoo.basics.processor import ONEDNN
from zoo.command import main
from zoo.commands.embed import _a_batch_in_each_core
from zoo.embed import Corpus, EncoderSpec, Settings, embed_corpus, plan_corpus
from zoo.embed.encoder import _loaded
from zoo.embed.run import run_plan
from zoo.errors import BadArgument, CannotWrite, DigestMismatch, ZooError

WITHOUT = "pip install 'bert-zoo[embed]'"
pa = pytest.importorskip("pyarrow", reason=WITHOUT)
pq = pytest.importorskip("pyarrow.parquet", reason=WITHOUT)
ds = pytest.importorskip("pyarrow.dataset", reason=WITHOUT)


def vectors(table: Any) -> np.ndarray:
    return np.stack(table["vector"].to_numpy())


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["embed", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_vectors_are_the_encoders_own(
    spec: EncoderSpec, lines: Path, tmp_path: Path, toy_zoo: ToyZoo, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    where = ("--registry", toy_zoo.registry, "--max-length", 12, "--rows-per-part", 4)
    code, text, err = run(capsys, "toy", lines, out, *where, "--strict")
    told = f"1 row has no vector: {out}/_bad_rows.jsonl lists them with reasons."
    assert code == 2 and err.splitlines()[-1] == told  # after progress, where this takes ten seconds
    assert text.split() == f"output {out}, 3 files rows 12 vectors 11 of 32 float32 without 1".split()
    assert names(out) == ["_bad_rows.jsonl", "_job.json", "_lock", "_manifest.json", *parts(3)]
    table = ds.dataset(out).to_table()  # any reader takes the directory
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 32)
    assert table["id"].to_pylist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    np.testing.assert_allclose(
        vectors(table), zoo.TextEncoder("toy", max_length=12, registry=spec.registry)(TEXTS), atol=1e-6
    )
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    sha256 = zoo.info("toy", spec.registry).archive
    assert sha256 is not None and facts["zoo.model_sha256"] == sha256.sha256
    assert (facts["zoo.model"], facts["zoo.pooling"], facts["zoo.max_length"]) == ("toy", "mean", "12")
    (bad,) = map(json.loads, (out / "_bad_rows.jsonl").read_text().splitlines())
    assert (bad["line"], bad["row"], bad["reason"]) == (5, 4, "not UTF-8: byte 0 is 0xff")
    code, text, _ = run(capsys, "toy", lines, out, *where, "--json")  # nothing is left to do
    done = json.loads(text)
    assert (code, done["rows"], done["vectors"], done["bad"], done["parts"]) == (0, 12, 11, 1, 3)
    assert done == json.loads((out / "_manifest.json").read_text())


def test_a_batch_in_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow gets a thread for each of up to 8 batches, where it can still be told and nobody else says so."""
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")

    def told(cores: int) -> list[str | None]:
        monkeypatch.setattr("zoo.commands.embed.cores", lambda: cores)
        with _a_batch_in_each_core():
            return [os.environ.get(name) for name in names]

    import tensorflow  # noqa: F401

    assert told(4) == [None, None], "it has its threads already"
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert [told(cores) for cores in (1, 2, 8, 9)] == [[None, None], ["1", "2"], ["1", "8"], [None, None]]
    assert not {*names} & os.environ.keys()
    monkeypatch.setenv(names[1], "3")
    assert told(4) == [None, "3"]


@pytest.mark.parametrize("said", ["", "0"])
def test_onednn_is_on_unless_the_environment_says_otherwise(
    said: str, spec: EncoderSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ONEDNN, said)
    if not said:
        monkeypatch.delenv(ONEDNN)
    _loaded.__wrapped__(spec, None)
    assert os.environ[ONEDNN] == (said or "1")


def parts(count: int) -> list[str]:
    return [f"part-{number:06d}.parquet" for number in range(count)]


def test_other_columns_and_forms(spec: EncoderSpec, tmp_path: Path) -> None:
    rows = [{"key": f"k{n}", "a": a, "b": b} for n, (a, b) in enumerate(zip(TEXTS, TEXTS[::-1], strict=True))]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = Settings("float16", keep_text=True, rows_per_part=5)
    spec = EncoderSpec("toy", pooling="pooled", registry=spec.registry)
    corpus = Corpus(str(tmp_path / "in.jsonl"), text="a", pair="b", id="key")
    done = embed_corpus(spec, corpus, tmp_path / "out", settings=settings)
    table = ds.dataset(tmp_path / "out").to_table()
    assert (done.bad, table.column_names) == (0, ["id", "vector", "text", "pair"])
    assert not (tmp_path / "out" / "_bad_rows.jsonl").exists()
    assert table["id"].to_pylist() == [row["key"] for row in rows] and table["pair"].to_pylist() == TEXTS[::-1]
    assert table.schema.field("vector").type == pa.list_(pa.float16(), 32)
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    np.testing.assert_allclose(vectors(table), spec.load()(pairs), atol=2e-3)


def test_a_part_without_a_good_row(spec: EncoderSpec, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"\xff\n" * 4 + b"w1\n")
    done = embed_corpus(spec, tmp_path / "in.txt", tmp_path / "out", settings=SETTINGS)
    assert (done.vectors, done.bad) == (1, 4)
    assert ds.dataset(tmp_path / "out").to_table()["id"].to_pylist() == [4]
    assert len((tmp_path / "out" / "_bad_rows.jsonl").read_text().splitlines()) == 4
    (tmp_path / "empty.txt").write_bytes(b"")
    assert embed_corpus(spec, tmp_path / "empty.txt", tmp_path / "none").rows == 0


# -- runs that are gone on with -----------------------------------------------------------------------------------


def test_runs_that_are_killed_anywhere(toy_zoo: ToyZoo, lines: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.zoo.embed.embedding", toy_zoo.registry, lines, tmp_path, 25]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)
    assert len(rounds) == 25
    for each in rounds:
        assert (each["halves"], each["next"], each["same"]) == ([], 0, True), each
    started = [set(each["left"]) & set(parts(4)) for each in rounds]
    assert set() in started and any(0 < len(each) < 4 for each in started), "some before, some amid the parts"


@pytest.mark.slow  # 25 times in one process: test_runs_that_are_killed_anywhere
def test_a_command_that_is_killed(toy_zoo: ToyZoo, spec: EncoderSpec, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n".join(TEXTS * 90))
    out, settings = tmp_path / "out", Settings(rows_per_part=10, batch_size=3)
    words = ["toy", tmp_path / "in.txt", out, "--registry", toy_zoo.registry, "--max-length", 12, "--rows-per-part", 10]
    command = [sys.executable, "-m", "zoo", "embed", *map(str, words), "--batch", "3"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "part-000001.parquet").is_file() and running.poll() is None:
        time.sleep(0.01)
    running.kill()
    assert running.wait() < 0 and not (out / "_manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    plan = plan_corpus(spec, tmp_path / "in.txt", out, settings=settings)
    assert (plan.rows, plan.rows_left) == (990, 990 - 10 * len(before))
    assert embed_corpus(spec, tmp_path / "in.txt", out, settings=settings).vectors == 990
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what was there is not done again"
    assert names(out) == ["_job.json", "_lock", "_manifest.json", *parts(99)]
    table = ds.dataset(out).to_table()
    assert table["id"].to_pylist() == [*range(990)]
    np.testing.assert_allclose(vectors(table), np.tile(spec.load()(TEXTS), (90, 1)), atol=2e-6)


def test_other_arguments_are_refused(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    embed_corpus(spec, lines, out, settings=SETTINGS)
    other = EncoderSpec("toy", None, "first+max", 9, spec.registry, normalize=True, prompt="w1 ")
    differ = r"max_length was 12, is 9; normalize was None, is True; pooling was 'mean', is 'first\+max'"
    with pytest.raises(CannotWrite, match=rf"{differ}; prompt was None, is 'w1 '.*--restart"):
        plan_corpus(other, lines, out, settings=SETTINGS)
    lines.write_bytes(lines.read_bytes() + b"w1\n")
    with pytest.raises(CannotWrite, match=r"files of the input were changed, added or removed \(in\.txt\)"):
        embed_corpus(spec, lines, out, settings=SETTINGS)
    done = embed_corpus(other, lines, out, settings=Settings(rows_per_part=9), restart=True)
    assert (done.rows, done.hidden_size, done.job["prompt"]) == (13, 64, "w1 ")
    table = ds.dataset(out).to_table()
    np.testing.assert_allclose(np.linalg.norm(vectors(table), axis=1), 1, atol=1e-6)
    assert names(out) == ["_bad_rows.jsonl", "_job.json", "_lock", "_manifest.json", *parts(2)]
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine.txt").write_text("x")
    for restart in (False, True):
        with pytest.raises(CannotWrite, match=r"holds other files \(mine\.txt\)"):
            embed_corpus(spec, lines, tmp_path / "foreign", restart=restart)


def test_one_run_at_a_time(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / "_lock"), pytest.raises(CannotWrite, match="another run writes to"):
        embed_corpus(spec, lines, tmp_path / "out")


def test_an_input_that_changes_amid_a_run(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    plan = plan_corpus(spec, lines, tmp_path / "out", settings=SETTINGS)
    lines.write_bytes(b"w1\n")
    with pytest.raises(ZooError, match=r"in\.txt has changed since the run began"):
        run_plan(plan)
    assert not (tmp_path / "out" / "_manifest.json").exists()


def test_parts_that_do_not_add_up(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    """They are computed again, by the encoder itself; see test_embed_state.py for all kinds of damage."""
    out = tmp_path / "out"
    embed_corpus(spec, lines, out, settings=SETTINGS)
    whole = vectors(ds.dataset(out).to_table())
    pq.write_table(pq.read_table(out / "part-000001.parquet").slice(1), out / "part-000001.parquet")
    assert embed_corpus(spec, lines, out, settings=SETTINGS).vectors == 11
    np.testing.assert_allclose(vectors(ds.dataset(out).to_table()), whole, atol=1e-6)


# -- arguments ----------------------------------------------------------------------------------------------------


def test_a_dry_run(toy_zoo: ToyZoo, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("toy", lines, tmp_path / "out", "--registry", toy_zoo.registry, "--limit", 9, "--dry-run")
    code, text, err = run(capsys, *words)
    assert (code, err) == (0, "") and not (tmp_path / "out").exists()
    assert "1 file of text, " in text and "toy with toy_tokenizer, pooling mean, 40 tokens" in text
    assert "1 part, 9 rows" in text
    planned = json.loads(run(capsys, *words, "--json")[1])
    assert (planned["rows"], planned["rows_left"], planned["parts_left"]) == (9, 9, 1)
    assert planned["job"]["files"][0]["path"] == str(lines)


def test_arguments_that_are_refused(
    spec: EncoderSpec, toy_zoo: ToyZoo, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, where = tmp_path / "out", ("--registry", toy_zoo.registry)
    code, _, err = run(capsys, "toy", lines, out, "--batch", 0, "--limit", 0, *where)
    assert code == 2 and "batch_size=0: give at least 1; limit=0: give at least 1." in err
    code, _, err = run(capsys, "toy", lines, out, *where, "--", "--runner=DirectRunner")
    assert code == 2 and "--runner=DirectRunner: the engine 'local' takes no options" in err
    with pytest.raises(BadArgument, match="engine='dask': choose one of local, beam, spark"):
        embed_corpus(spec, lines, out, engine="dask")  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="toy_tokenizer is a tokenizer"):
        embed_corpus(EncoderSpec("toy_tokenizer", registry=spec.registry), lines, out)


def test_a_worker_with_another_model(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    job = plan_corpus(spec, lines, tmp_path / "out").job
    with pytest.raises(
        DigestMismatch, match="on this worker toy is .* with the tokenizer .*, but the run was begun with aaaaaaaaaaaa…"
    ):
        replace(job, digests=("a" * 64, "b" * 64)).load()


def test_without_the_extra(spec: EncoderSpec, lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, engine in (("apache_beam", "beam"), ("pyspark", "spark"), ("pyarrow", "local")):
        monkeypatch.setitem(sys.modules, module, None)
        for ours in ("parquet", "beam", "spark"):
            monkeypatch.delitem(sys.modules, f"zoo.embed.{ours}", raising=False)
        extra = "embed" if engine == "local" else engine
        with pytest.raises(ZooError, match=rf"needs the extra '{extra}'.*pip install 'bert-zoo\[{extra}\]'"):
            embed_corpus(spec, lines, tmp_path / "out", engine=engine)  # type: ignore[arg-type]
