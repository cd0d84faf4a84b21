"""`zoo embed --engine spark`: the same vectors as here, a worker that is killed, the function alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.zoo.embed.toycorpus import SETTINGS, TEXTS, assert_same
from tests.zoo.toyzoo import ToyZoo
from zoo.embed import EncoderSpec, embed_corpus, plan_corpus
from zoo.embed.job import EmbeddingJob
from zoo.embed.run import run_plan
from zoo.errors import BadArgument, ZooError

WITHOUT = "pip install 'bert-zoo[spark]'"
pytest.importorskip("pyspark", reason=WITHOUT)
ds = pytest.importorskip("pyarrow.dataset", reason=WITHOUT)

pytestmark = pytest.mark.filterwarnings("ignore")  # Spark's own


@dataclass(frozen=True)
class Dying(EmbeddingJob):
    """Its worker is killed at the second part, once or always, after the vectors have been computed."""

    marker: str = ""
    once: bool = True

    def write(self, part: Any, rows: Any, vectors: Any) -> None:
        if part.number == 1 and not (self.once and Path(self.marker).exists()):
            Path(self.marker).write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(part, rows, vectors)


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """One Spark for all tests: one worker at a time, a task that fails is tried twice."""
    from pyspark.sql import SparkSession

    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(ROOT)  # the workers import what a test defines
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    settings = {"spark.master": "local[1,2]", "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    session = SparkSession.builder.config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def spec(toy_zoo: ToyZoo) -> EncoderSpec:
    """Directories, so that workers need no cache of their own."""
    return EncoderSpec(str(toy_zoo.unpacked()), str(toy_zoo.unpacked("toy_tokenizer")), max_length=12)


def test_a_killed_worker_leaves_the_same_output(session: Any, spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    out, here = tmp_path / "out", tmp_path / "here"
    plan = plan_corpus(spec, lines, out, settings=SETTINGS)
    dying = replace(plan, job=Dying(**vars(plan.job), marker=str(tmp_path / "marker")))
    done = run_plan(dying, "spark")
    assert int((tmp_path / "marker").read_text()) != os.getpid()
    assert (done.rows, done.vectors, done.bad) == (12, 11, 1)
    assert embed_corpus(spec, lines, here, settings=SETTINGS) == done
    assert_same(out, here)
    frame = session.read.parquet(str(out))  # Spark reads what was written
    assert frame.count() == 11 and frame.schema["vector"].dataType.simpleString() == "array<float>"


def test_a_worker_that_always_dies(session: Any, spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    plan = plan_corpus(spec, lines, tmp_path / "out", settings=SETTINGS)
    dying = replace(plan, job=Dying(**vars(plan.job), marker=str(tmp_path / "marker"), once=False))
    with pytest.raises(ZooError, match=r"Spark gave up: Lost task .*worker exited.*run again to go on"):
        run_plan(dying, "spark")
    left = plan_corpus(spec, lines, tmp_path / "out", settings=SETTINGS)
    assert 1 in [part.number for part in left.missing]
    assert embed_corpus(spec, lines, tmp_path / "out", settings=SETTINGS).vectors == 11, "another engine goes on"


def test_the_function_alone(session: Any, spec: EncoderSpec) -> None:
    from zoo.embed.spark import embedding_udf

    frame = session.createDataFrame([(text,) for text in [*TEXTS, None]], "text string")
    embed = embedding_udf(spec.handle, tokenizer=spec.tokenizer, max_length=12)
    rows = frame.withColumn("vector", embed("text")).collect()
    found = {row["text"]: row["vector"] for row in rows}
    assert found.pop(None) is None and [*found] == TEXTS
    np.testing.assert_allclose([*found.values()], spec.load()(TEXTS), atol=1e-6)


def test_onnx_runtime_there(session: Any, tiny: Path, lines: Path, tmp_path: Path) -> None:
    spec = EncoderSpec(str(tiny), runtime="onnx")
    here = embed_corpus(spec, lines, tmp_path / "here", settings=SETTINGS)
    assert embed_corpus(spec, lines, tmp_path / "there", settings=SETTINGS, engine="spark") == here
    assert_same(tmp_path / "here", tmp_path / "there")


def test_options_that_are_none(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadArgument, match=r"--master local: give options for Spark in the form spark\.executor\.memory"
    ):
        embed_corpus(spec, lines, tmp_path / "out", engine="spark", engine_options=["--master", "local"])
