"""Times that were measured: of real archives, in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.zoo.site.sitezoo import make_dist
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import TextCard, read_card
from zoo.archive.digests import sha256_of
from zoo.command import main
from zoo.fetching.registries import read_registry
from zoo.loading.load import load_checked
from zoo.registry.writing import update_registry
from zoo.site.speed import TOKENS, Speed, Speeds, measure, read_speeds
from zoo.site.timing import _text, busy_seconds


def test_measured_here(toy_zoo: ToyZoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The toy has 40 positions, which is too few for what the command measures."""
    for name in ("toy.tar.gz", "toy_tokenizer.tar.gz"):
        shutil.copy(toy_zoo.directory / name, tmp_path)
    models = read_registry(toy_zoo.registry).models
    update_registry(tmp_path / "registry.json", {name: models[name] for name in ("toy", "toy_tokenizer")})
    speeds = measure(tmp_path, tokens=7, batches=(1, 3))
    assert read_speeds(tmp_path) == speeds and speeds.models.keys() == {"toy"} and not speeds.skipped
    assert speeds.models["toy"].sha256 == sha256_of(tmp_path / "toy.tar.gz")
    for batch in ("1", "3"):
        low, high = speeds.models["toy"].quartiles[batch]
        assert 0 < low <= speeds.models["toy"].seconds[batch] <= high
    assert speeds.load is not None and speeds.load >= 0 and (speeds.models["toy"].others or 0) >= 0
    assert speeds.tokens == 7 and speeds.machine and speeds.cores >= 1 and speeds.tensorflow.startswith("2.")

    assert TOKENS > 40
    assert main(["site", str(tmp_path), "--measure"]) == 0
    assert capsys.readouterr().err == "not timed: toy, it takes 40 tokens at most\n"
    assert "0 of 1 models were timed" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_text_archive_is_timed_with_texts_of_so_many_tokens(text_zoo: ToyZoo) -> None:
    """Of vectors, with and without a prompt, and of pairs, whose task takes no other."""
    card = read_card(text_zoo.unpacked("vectors"))
    assert isinstance(card, TextCard)
    model, prompted = load_checked(text_zoo.unpacked("vectors"), card), {"default_prompt": "query"}
    for task in (card.task, card.task.model_copy(update=prompted)):
        prompt = card.task.prompts[task.default_prompt] if task.default_prompt else ""
        text = _text(model, card.model_copy(update={"task": task}), 20)
        assert model.tokenizer.tokenize([prompt + str(text)]).flat_values.shape == 18
    pair = _text(model, card.model_copy(update={"task": card.task.model_copy(update={"name": "span"})}), 20)
    assert len(pair) == 2 and model.tokenizer.tokenize(pair).flat_values.shape == 17
    assert busy_seconds() is None or float(busy_seconds() or 0) > 1


def test_a_loaded_machine_is_one(tmp_path: Path) -> None:
    facts = {"machine": "x", "cores": 2, "date": "", "tensorflow": "", "tokens": 7}
    quiet = Speed(sha256="0" * 64, seconds={"1": 0.0049}, quartiles={"1": (0.0048, 0.0052)}, others=0.05)
    busy = quiet.model_copy(update={"others": 0.3})
    assert not Speeds(**facts, load=0.2, models={"a": quiet}).was_loaded
    assert Speeds(**facts, load=0.2, models={"a": quiet, "b": busy}).was_loaded
    assert Speeds(**facts, load=1.7, models={"a": quiet}).was_loaded
    assert not Speeds(**facts, models={"a": Speed(sha256="0" * 64, seconds={})}).was_loaded  # by an earlier bert-zoo


def test_a_model_that_fails_is_skipped_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'CannotLoad: not today' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    skipped = measure(make_dist(tmp_path / "dist"), tokens=7).skipped
    assert skipped == dict.fromkeys(("albert_tiny", "roberta_wwm_3"), "it could not be timed: CannotLoad: not today")
