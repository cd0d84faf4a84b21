"""Models as wheels: the same bytes each time, installed by pip with a hash, found by name, each failure told."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import zoo
from tests.zoo.small import built_archive
from zoo.archive.card import read_card
from zoo.command import main
from zoo.errors import BadArgument, NotBuilt, UnknownModel
from zoo.fetching.registries import read_registry
from zoo.publishing.wheels import wheels
from zoo.registry.entry import Entry
from zoo.registry.writing import update_registry


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Registry and archives: encoder `my.Bert` (alias `old`) and its tokenizer `words`; `later` is not built."""
    out = tmp_path / "dist"
    shared = {"vocab_size": 99, "vocabulary_sha256": "a" * 64}
    bert = Entry(
        kind="encoder", description="for\ntests", aliases=["old"], archive=built_archive(out, "my.Bert"), **shared
    )
    words = Entry(kind="tokenizer", archive=built_archive(out, "words"), **shared)
    entries = {"my.Bert": bert, "my-bert": bert.model_copy(update={"aliases": []}), "words": words}
    update_registry(out / "registry.json", {**entries, "later": Entry(kind="encoder")})
    return out / "registry.json"


def installed(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True)


def test_pip_installs_it_and_its_name_is_found(
    dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownModel):
        zoo.info("my.Bert")
    command = ["wheel", "old", "--out", str(tmp_path / "w"), "--version", "2026.11.30", "--registry", str(dist)]
    assert main([*command, "--index", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    wheel = Path(found["file"])
    assert wheel.name == "zoo_model_my_bert-2026.11.30-py3-none-any.whl" and found["names"] == ["my.Bert", "words"]
    assert found["requirement"] == f"zoo-model-my-bert==2026.11.30 --hash=sha256:{found['sha256']}"
    index = (tmp_path / "w/simple/zoo-model-my-bert/index.html").read_text()
    assert f'href="../../{wheel.name}#sha256={found["sha256"]}"' in index
    assert 'href="zoo-model-my-bert/"' in (tmp_path / "w/simple/index.html").read_text()

    site, pins = tmp_path / "site", tmp_path / "requirements.txt"
    pins.write_text(found["requirement"].replace(found["sha256"], "0" * 64))
    done = installed(site, "--find-links", str(wheel.parent), "--require-hashes", "-r", str(pins))
    assert done.returncode != 0 and "DO NOT MATCH" in done.stderr
    pins.write_text(found["requirement"])
    done = installed(site, "--find-links", str(wheel.parent), "--require-hashes", "-r", str(pins))
    assert done.returncode == 0, done.stderr
    dist.parent.rename(tmp_path / "gone")

    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert [read_card(zoo.path(name)).name for name in ("my.Bert", "old", "words")] == ["my.Bert", "my.Bert", "words"]
    assert zoo.info("old").tokenizer == "words"


@pytest.fixture
def site(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of packages with the wheel of `my.Bert` in it, as pip leaves it."""
    (wheel,) = wheels("my.Bert", tmp_path / "wheels", registry=dist)
    with zipfile.ZipFile(wheel.file) as file:
        file.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_a_name_keeps_its_meaning(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    packaged = tmp_path / "packaged/registry.json"
    monkeypatch.setattr("zoo.fetching.registries.PACKAGED", packaged)
    update_registry(packaged, {"my.Bert": Entry(kind="encoder"), "old": Entry(kind="encoder")})
    assert Path(read_registry().archive("my.Bert").urls[0].removeprefix("file://")).is_relative_to(site)
    assert read_registry().entry("old").archive is None
    other = built_archive(tmp_path / "packaged", "my.Bert", b"other")
    update_registry(packaged, {"my.Bert": Entry(kind="encoder", archive=other)})
    assert read_registry().archive("my.Bert").sha256 == other.sha256
    assert f"{site}/zoo_model_my_bert/registry.json is not used" in caplog.text


def test_a_damaged_one_is_left_out(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    (site / "zoo_model_my_bert/registry.json").write_text("{")
    assert "my.Bert" not in zoo.names()
    assert "The model my.Bert that pip installed is left out" in caplog.text


def test_equal_archives_give_equal_bytes(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1796000000")
    first, second = (wheels("my.Bert", tmp_path / place, registry=dist)[0] for place in "ab")
    assert first.version == "2026.11.30" and first.digest == second.digest and first.digest is not None
    with zipfile.ZipFile(first.file) as file:
        members = {info.filename: file.read(info) for info in file.infolist()}
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    *record, itself = members["zoo_model_my_bert-2026.11.30.dist-info/RECORD"].decode().splitlines()
    assert itself == "zoo_model_my_bert-2026.11.30.dist-info/RECORD,," and len(record) == len(members) - 1
    for line in record:
        name, digest, size = line.rsplit(",", 2)
        stated = base64.urlsafe_b64decode(digest.removeprefix("sha256=") + "=")
        assert (stated, int(size)) == (hashlib.sha256(members[name]).digest(), len(members[name])), name
    metadata = members["zoo_model_my_bert-2026.11.30.dist-info/METADATA"].decode()
    assert "Summary: for tests\n" in metadata and "Requires-Dist: bert-zoo>=" in metadata
    assert json.loads(members["zoo_model_my_bert/my.Bert.card.json"])["name"] == "my.Bert"
    assert members["zoo_model_my_bert/words.tar.gz"] == (dist.parent / "words.tar.gz").read_bytes()


@pytest.mark.parametrize(
    ("names", "options", "error", "words"),
    [
        (["my.Bert", "my-bert"], {}, BadArgument, "to pip these are one name: my-bert and my.Bert"),
        (["my.Bert"], {"version": "new"}, BadArgument, "'new' is no version that pip knows"),
        (["my.Bert", "nobody"], {}, UnknownModel, "no model 'nobody'"),
        (["my.Bert", "later"], {}, NotBuilt, "later"),
    ],
)
def test_refused_before_anything_is_written(
    names: list[str], options: dict[str, str], error: type[Exception], words: str, dist: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        wheels(names, tmp_path / "wheels", registry=dist, **options)
    assert not (tmp_path / "wheels").exists()


def test_dry_run(dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wheel", "my.Bert", "--out", str(tmp_path / "w"), "--registry", str(dist), "--dry-run"]) == 0
    assert "my.Bert words" in capsys.readouterr().out and not (tmp_path / "w").exists()
