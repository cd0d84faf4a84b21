"""Times that were measured: of real archives, in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.zoo.site.sitezoo import make_dist
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.digests import sha256_of
from zoo.command import main
from zoo.fetching.registries import read_registry
from zoo.registry.writing import update_registry
from zoo.site.speed import TOKENS, measure, read_speeds


def test_measured_here(toy_zoo: ToyZoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The toy has 40 positions, which is too few for what the command measures."""
    for name in ("toy.tar.gz", "toy_tokenizer.tar.gz"):
        shutil.copy(toy_zoo.directory / name, tmp_path)
    models = read_registry(toy_zoo.registry).models
    update_registry(tmp_path / "registry.json", {name: models[name] for name in ("toy", "toy_tokenizer")})
    speeds = measure(tmp_path, tokens=7, batches=(1, 3))
    assert read_speeds(tmp_path) == speeds and speeds.models.keys() == {"toy"} and not speeds.skipped
    assert speeds.models["toy"].sha256 == sha256_of(tmp_path / "toy.tar.gz")
    assert set(speeds.models["toy"].seconds) == {"1", "3"} and min(speeds.models["toy"].seconds.values()) > 0
    assert speeds.tokens == 7 and speeds.machine and speeds.cores >= 1 and speeds.tensorflow.startswith("2.")

    assert TOKENS > 40
    assert main(["site", str(tmp_path), "--measure"]) == 0
    assert capsys.readouterr().err == "not timed: toy, it takes 40 tokens at most\n"
    assert "0 of 1 encoders were timed" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_model_that_fails_is_skipped_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'CannotLoad: not today' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    skipped = measure(make_dist(tmp_path / "dist"), tokens=7).skipped
    assert skipped == dict.fromkeys(("albert_tiny", "roberta_wwm_3"), "it could not be timed: CannotLoad: not today")
