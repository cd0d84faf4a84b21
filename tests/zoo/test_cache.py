"""One directory per digest: whole or absent, repaired when damaged, one download for several processes."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from tests.localserver import LocalServer, Reply
from tests.zoo.small import SmallZoo, make_zoo, tree
from zoo.archive import file_digests
from zoo.cache import cache_directory, fetch
from zoo.errors import BadArchive, CannotWrite, DigestMismatch, DownloadFailed, NotBuilt, ZooError
from zoo.registry import read_registry, update_registry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def served(small_zoo: SmallZoo, server: LocalServer) -> str:
    """URL of the small zoo's registry."""
    return server.serve_directory(small_zoo.registry.parent) + "registry.json"


def downloads(server: LocalServer) -> int:
    return server.asked.count("/small.tar.gz")


def test_fetched_once_then_taken_from_the_cache(served: str, server: LocalServer, directory: Path) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    assert path == cache_directory() / registry.archive("small").sha256
    assert file_digests(path) == file_digests(directory)
    assert fetch("old-small", registry) == zoo.path("small", registry=served) == path
    assert downloads(server) == 1
    assert {name.partition("/")[0] for name in tree(cache_directory())} == {path.name}


def test_a_local_registry_needs_no_server(small_zoo: SmallZoo, tmp_path: Path) -> None:
    path = fetch("small", read_registry(small_zoo.registry), cache=tmp_path / "elsewhere")
    assert path.parent == tmp_path / "elsewhere"


def test_the_platforms_directory_without_zoo_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "zoo"


def test_a_damaged_directory_is_replaced(
    served: str, server: LocalServer, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    (path / "saved_model.pb").unlink()
    with caplog.at_level(logging.WARNING):
        fetch("small", registry)
    assert "saved_model.pb missing or of another size" in caplog.text and "Fetching small again" in caplog.text
    (path / "variables" / "variables.data-00000-of-00001").write_bytes(b"cut")
    fetch("small", registry)
    (path / "assets.extra" / "card.json").write_text("{")
    fetch("small", registry)
    assert file_digests(path) == file_digests(directory)
    assert downloads(server) == 4
    assert {name.partition("/")[0] for name in tree(cache_directory())} == {path.name}


def test_a_thorough_fetch_finds_a_flipped_bit(served: str, server: LocalServer, directory: Path) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    data = bytearray((path / "saved_model.pb").read_bytes())
    data[100] ^= 1
    (path / "saved_model.pb").write_bytes(data)
    fetch("small", registry)
    assert downloads(server) == 1
    fetch("small", registry, thorough=True)
    assert downloads(server) == 2 and file_digests(path) == file_digests(directory)


def test_no_damaged_archive_gets_into_the_cache(served: str, server: LocalServer, small_zoo: SmallZoo) -> None:
    registry = read_registry(served)
    whole = small_zoo.archive.read_bytes()
    for position in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        server.serve("/small.tar.gz", bytes(damaged) if position % 2 else whole[:position])
        with pytest.raises(DigestMismatch):
            fetch("small", registry)
    assert tree(cache_directory()) == []
    server.serve("/small.tar.gz", whole)
    assert fetch("small", registry).is_dir()


def test_an_archive_that_contradicts_its_card_is_refused(directory: Path, tmp_path: Path) -> None:
    (directory / "assets" / "later.txt").write_text("not on the card")
    registry = read_registry(make_zoo(directory, tmp_path / "dist").registry)
    with pytest.raises(BadArchive, match=r"assets/later\.txt is not on the card"):
        fetch("small", registry)
    assert tree(cache_directory()) == []


def test_mirrors_are_tried(small_zoo: SmallZoo, server: LocalServer) -> None:
    entry = read_registry(small_zoo.registry).entry("small")
    assert entry.archive is not None
    wrong = server.serve("/wrong.tar.gz", Reply(b"maintenance page"))
    archive = entry.archive.model_copy(update={"urls": [wrong, "http://127.0.0.1:1/x", *entry.archive.urls]})
    registry = update_registry(small_zoo.registry, {"small": entry.model_copy(update={"archive": archive})})
    assert fetch("small", registry).is_dir()
    assert server.asked == ["/wrong.tar.gz"]


def test_offline(served: str, server: LocalServer, small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = read_registry(served)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="`ZOO_OFFLINE=0 zoo fetch small` fetches it once"):
        fetch("small", registry)
    assert downloads(server) == 0
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    path = fetch("small", registry)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert fetch("small", registry) == path
    assert fetch(
        "small", read_registry(small_zoo.registry), cache=path.parent / "other"
    ).is_dir()  # a file is no network


def test_unbuilt_and_unwritable(small_zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = read_registry(small_zoo.registry)
    with pytest.raises(NotBuilt, match="no archive of it has been built"):
        fetch("later", registry)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CannotWrite, match="could not be written: Permission denied"):
        fetch("small", registry)


def test_a_failed_repair_keeps_nothing_half_done(served: str, server: LocalServer) -> None:
    registry = read_registry(served)
    path = fetch("small", registry)
    (path / "saved_model.pb").unlink()
    server.serve("/small.tar.gz", Reply(status=404))
    with pytest.raises(ZooError, match="HTTP 404"):
        fetch("small", registry)
    assert {name.partition("/")[0] for name in tree(cache_directory())} <= {path.name}


def test_two_processes_share_one_download(served: str, server: LocalServer) -> None:
    server.delay = 0.3
    command = [sys.executable, "-m", "zoo", "fetch", "small", "--registry", served]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert printed == {f"{cache_directory() / read_registry(served).archive('small').sha256}\n"}
    assert downloads(server) == 1
