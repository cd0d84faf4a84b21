"""`zoo embed --engine beam`: the same vectors as here, bundles that fail and are tried again, the handler alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.zoo.embed.toycorpus import SETTINGS, TEXTS, assert_same
from zoo.embed import EncoderSpec, embed_corpus, plan_corpus
from zoo.embed.job import EmbeddingJob
from zoo.embed.run import run_plan
from zoo.errors import ZooError

WITHOUT = "pip install 'bert-zoo[beam]'"
beam = pytest.importorskip("apache_beam", reason=WITHOUT)
ds = pytest.importorskip("pyarrow.dataset", reason=WITHOUT)

pytestmark = pytest.mark.filterwarnings("ignore")  # Beam's own

RETRIES = "--runner=BundleBasedDirectRunner"


@dataclass(frozen=True)
class Failing(EmbeddingJob):
    """Fails once at the second part, after its vectors have been computed."""

    marker: str = ""

    def write(self, part: Any, rows: Any, vectors: Any) -> None:
        if part.number == 1 and not Path(self.marker).exists():
            Path(self.marker).touch()
            raise RuntimeError("a worker is lost")
        super().write(part, rows, vectors)


def test_the_same_as_here(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    here = embed_corpus(spec, lines, tmp_path / "here", settings=SETTINGS)
    there = embed_corpus(spec, lines, tmp_path / "there", settings=SETTINGS, engine="beam")
    assert here == there and (there.vectors, there.bad) == (11, 1)
    assert_same(tmp_path / "here", tmp_path / "there")


def test_onnx_runtime_there(tiny: Path, lines: Path, tmp_path: Path) -> None:
    spec = EncoderSpec(str(tiny), runtime="onnx")
    here = embed_corpus(spec, lines, tmp_path / "here", settings=SETTINGS)
    assert embed_corpus(spec, lines, tmp_path / "there", settings=SETTINGS, engine="beam") == here
    assert_same(tmp_path / "here", tmp_path / "there")


def test_a_bundle_that_fails_is_tried_again(spec: EncoderSpec, lines: Path, tmp_path: Path) -> None:
    embed_corpus(spec, lines, tmp_path / "here", settings=SETTINGS)
    for runner, fails in ((RETRIES, False), (None, True)):
        out, marker = tmp_path / f"out{fails}", tmp_path / f"marker{fails}"
        plan = plan_corpus(spec, lines, out, settings=SETTINGS)
        failing = replace(plan, job=Failing(**vars(plan.job), marker=str(marker)))
        options = [] if runner is None else [runner]
        if fails:
            with pytest.raises(ZooError, match=r"Beam gave up: .*a worker is lost.*run again to go on"):
                run_plan(failing, "beam", options)
        run_plan(failing, "beam", options)
        assert marker.exists()
        assert_same(tmp_path / "here", out)


def test_the_handler_in_a_pipeline_of_ones_own(spec: EncoderSpec) -> None:
    from apache_beam.ml.inference.base import RunInference
    from apache_beam.testing.util import assert_that

    from zoo.embed.beam import EncoderHandler

    wanted = dict(zip(TEXTS, spec.load()(TEXTS), strict=True))

    def check(results: list[Any]) -> None:
        assert sorted(result.example for result in results) == sorted(TEXTS)
        for result in results:
            np.testing.assert_allclose(result.inference, wanted[result.example], atol=1e-6)

    with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
        handler = EncoderHandler("toy", max_length=12, registry=spec.registry, batch_size=2, most=4)
        assert_that(pipeline | beam.Create(TEXTS) | RunInference(handler), check)
