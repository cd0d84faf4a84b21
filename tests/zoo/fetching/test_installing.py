"""Archives and directories give their names to a machine; bundles do so in test_bundle.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import zoo
from tests.zoo.conftest import SecretKey
from tests.zoo.small import SmallZoo, built_archive
from zoo.archive.digests import sha256_of
from zoo.command import main
from zoo.errors import BadArchive, BadRegistry, Untrusted
from zoo.fetching.places import cache_directory
from zoo.publishing.signing import sign_dist
from zoo.registry.entry import Entry
from zoo.registry.writing import update_registry


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """What `zoo export` leaves: `words`, in a directory with its registry."""
    out = tmp_path / "dist"
    row = {"vocab_size": 99, "vocabulary_sha256": "a" * 64}
    update_registry(out / "registry.json", {"mine": Entry(kind="tokenizer", archive=built_archive(out, "mine"), **row)})
    return out


def test_a_directory_is_looked_at_each_time(dist: Path, no_sockets: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert "mine" not in zoo.names()
    assert main(["install", str(dist), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(dist), "names": ["mine"]}
    archive = dist / "mine.tar.gz"
    assert zoo.path("mine") == zoo.path(archive) == zoo.path(str(archive)) == zoo.path(zoo.path("mine"))
    assert zoo.path("mine").name == sha256_of(archive)
    update_registry(dist / "registry.json", {"later": Entry(kind="tokenizer", archive=built_archive(dist, "later"))})
    assert zoo.path("later").name == sha256_of(dist / "later.tar.gz"), "exported after the directory was installed"
    dist.rename(dist.with_name("moved"))
    assert "mine" not in zoo.names() and "albert_tiny" in zoo.names()
    assert zoo.install(dist.with_name("moved")) == ["later", "mine"] and zoo.path("mine").is_dir()
    (dist.with_name("moved") / "registry.json").write_text("{")
    assert "mine" not in zoo.names(), "with a warning"


def test_an_archive(dist: Path, no_sockets: None) -> None:
    file = dist / "mine.tar.gz"
    assert zoo.install(file, dry_run=True) == ["mine"] and "mine" not in zoo.names()
    assert zoo.install(file) == ["mine"]
    entry = zoo.info("mine")
    assert (entry.kind, entry.vocab_size, entry.vocabulary_sha256) == ("tokenizer", 99, "a" * 64)
    place = zoo.path("mine")
    assert place == cache_directory() / sha256_of(file)
    file.rename(dist / "elsewhere.tar.gz")
    assert zoo.path("mine") == place, "it is in the cache"
    assert main(["cache", "clean", "--all"]) == 0
    assert "mine" not in zoo.names()
    assert zoo.install(dist / "elsewhere.tar.gz") == ["mine"] and main(["cache", "clean", "--all"]) == 0
    assert zoo.path("mine") == place, "the file is there"


def test_what_cannot_be_installed(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.txt").write_text("no bundle")
    for path, error, words in (
        (tmp_path / "x.txt", BadArchive, "is not a bundle: a tar that begins with registry.json"),
        (tmp_path / "none.tar.gz", BadArchive, "is not a file"),
        (tmp_path, BadRegistry, "`zoo export … --out .*` writes one"),
    ):
        with pytest.raises(error, match=words):
            zoo.install(path)
    other = tmp_path / "packaged" / "registry.json"
    update_registry(other, {"mine": Entry(kind="tokenizer", archive=built_archive(other.parent, "mine", b"other"))})
    monkeypatch.setattr("zoo.fetching.installing.PACKAGED", other)
    for path in (dist, dist / "mine.tar.gz"):
        with pytest.raises(BadRegistry, match="'mine' is 'mine' there"):
            zoo.install(path)
    assert "mine" not in zoo.names()


def test_with_a_key_they_are_signed(dist: Path, key: SecretKey, trusted: object) -> None:
    for path in (dist, dist / "mine.tar.gz"):
        with pytest.raises(Untrusted):
            zoo.install(path)
    sign_dist(dist / "registry.json", key)
    assert zoo.install(dist) == ["mine"] and zoo.path("mine").is_dir()
    text = (dist / "registry.json").read_text()
    (dist / "registry.json").write_text(text.replace('"tokenizer"', '"tokenizer" '))
    assert "mine" not in zoo.names(), "its signature is of other bytes"


def test_the_small_zoo_is_one(small_zoo: SmallZoo) -> None:
    assert zoo.install(small_zoo.registry.parent) == ["small"], "a row without an archive is none of its models"
    assert zoo.path("old-small").name == small_zoo.digest.sha256
