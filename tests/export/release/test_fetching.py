"""What a repository's server can say of its files, and how much it can send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.release.fetching import fetch_repository
from export.release.sources import digests
from tests.localserver import LocalServer, Reply, running_server
from zoo.errors import DownloadFailed
from zoo.registry.entry import HuggingFaceSource

SOURCE = HuggingFaceSource(kind="huggingface", repository="us/words")
LISTING, FILES = "/api/models/us/words/tree/main", "/us/words/resolve/main/"
VOCABULARY = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    with running_server() as running:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        running.serve(FILES + "vocab.txt", VOCABULARY)
        yield running


ODD_LISTINGS = {
    "none": Reply(status=404),
    "no JSON": Reply(b"<html>"),
    "nested": Reply(b"[" * 100_000),
    "a key twice": Reply(b'[{"type": "file", "type": "file", "path": "vocab.txt"}]'),
    "sizes that are none": Reply(b'[{"type": "file", "path": "vocab.txt", "size": "many", "lfs": {"oid": 7}}]'),
}


@pytest.mark.parametrize("case", ODD_LISTINGS)
def test_a_listing_that_is_none_is_done_without(server: LocalServer, tmp_path: Path, case: str) -> None:
    server.serve(LISTING, ODD_LISTINGS[case])
    place = fetch_repository(SOURCE, tmp_path / "place", weights=False)
    assert [path.name for path in place.iterdir()] == ["vocab.txt"]
    assert (place / "vocab.txt").read_bytes() == VOCABULARY


def test_text_of_unknown_size_has_a_limit(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.release.fetching._MOST_TEXT", len(VOCABULARY) - 1)
    with pytest.raises(DownloadFailed, match="has more than 30 bytes, the limit for a file whose size is not recorded"):
        fetch_repository(SOURCE, tmp_path / "place", weights=False)
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("listed", [False, True])
def test_the_modules_of_sentence_transformers_come_along(server: LocalServer, tmp_path: Path, listed: bool) -> None:
    """A repository from before 2021: the checkpoint lies in the folder of the Transformer."""
    kinds = {"0_BERT": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    checkpoint = ["config.json", "sentence_bert_config.json", "pytorch_model.bin", "vocab.txt"]
    own = ["1_Pooling/config.json", "2_Dense/config.json", "2_Dense/pytorch_model.bin"]
    names = ["modules.json", "config_sentence_transformers.json", *own, *(f"0_BERT/{name}" for name in checkpoint)]
    for name in (*names, "README.md"):
        server.serve(FILES + name, json.dumps(modules).encode() if name == "modules.json" else b"{}")
    if listed:
        server.serve(LISTING, json.dumps([{"type": "file", "path": name} for name in (*names, "README.md")]).encode())
    place = fetch_repository(SOURCE, tmp_path / "place")
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()) == sorted(names)
    assert digests(place).keys() == {*names}


@pytest.mark.parametrize("listed", [True, False])
def test_every_file_of_a_tokenizer_is_fetched(server: LocalServer, tmp_path: Path, listed: bool) -> None:
    names = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"]
    for name in names:
        server.serve(FILES + name, b"{}")
    server.serve(FILES + "vocab.txt", Reply(status=404))
    if listed:
        server.serve(LISTING, Reply(json.dumps([{"type": "file", "path": name} for name in names]).encode()))
    place = fetch_repository(SOURCE, tmp_path / "place", weights=False)
    assert {path.name for path in place.iterdir()} == {*names}


@pytest.mark.parametrize("listed", [True, False])
def test_the_model_of_sentencepiece_is_fetched(server: LocalServer, tmp_path: Path, listed: bool) -> None:
    """Where there is no vocab.txt; one that lies beside a vocab.txt is not read, so it is not fetched."""
    names = ["spiece.model", "config.json"]
    for name in names:
        server.serve(FILES + name, b"{}")
    if listed:
        server.serve(LISTING, Reply(json.dumps([{"type": "file", "path": name} for name in names]).encode()))
    else:
        for name in ("vocab.txt", "tokenizer.json", "sentencepiece.bpe.model"):
            server.serve(FILES + name, Reply(status=404))
    place = fetch_repository(SOURCE, tmp_path / "place", weights=False)
    assert {path.name for path in place.iterdir()} == {*names}


def test_a_repository_without_a_vocabulary(server: LocalServer, tmp_path: Path) -> None:
    server.serve(FILES + "vocab.txt", Reply(status=404))
    with pytest.raises(DownloadFailed, match="vocab.txt"):
        fetch_repository(SOURCE, tmp_path / "place", weights=False)
