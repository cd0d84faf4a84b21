"""Servers that send too slowly or too much: what ends them, what is told, and what is left on disk."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.localserver import NO_LENGTH, LocalServer, Reply
from tests.zoo.small import SmallZoo, fetch, tree
from zoo.archive.card import FileDigest
from zoo.errors import BadRegistry, CannotWrite, DownloadFailed
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.transport.download import download
from zoo.transport.small import read_bytes

BODY = bytes(range(256)) * 40
RIGHT = FileDigest(sha256=hashlib.sha256(BODY).hexdigest(), size=len(BODY))
UNMEASURED = FileDigest.model_construct(sha256=RIGHT.sha256, size=None)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "got" / "x.tar.gz"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A minute is a third of a second, and the test may take a few of them."""
    monkeypatch.setattr("zoo.transport.patience.WINDOW", 0.3)
    monkeypatch.setattr("zoo.transport.patience.HEADERS", 0.3)
    monkeypatch.setattr("zoo.transport.http._TIMEOUT", (5.0, 0.3))
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 8


# -- slow ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
def test_the_only_source_is_given_up_too_when_it_trickles(server: LocalServer, target: Path) -> None:
    url = server.serve("/x", Reply(BODY, ranges=True, pieces=1, wait=0.02))
    with pytest.raises(DownloadFailed) as caught:
        download([url], target, RIGHT, resume=True)
    kept = target.stat().st_size
    assert "bytes a second; given up below 1,024" in str(caught.value)
    assert f"Set ZOO_MIRROR to a faster source. {kept} bytes are kept: run again to go on from there." in str(
        caught.value
    )
    assert 0 < kept < 200
    download([server.serve("/x", Reply(BODY, ranges=True))], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY


@pytest.mark.usefixtures("impatient")
def test_one_byte_for_each_connection_is_a_trickle_too(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.transport.http.PAUSE", 0.02)
    url = server.serve("/x", Reply(BODY, ranges=True, sent=1))
    with pytest.raises(DownloadFailed, match="bytes a second; given up below 1,024"):
        download([url], target, RIGHT, resume=True)
    assert 0 < target.stat().st_size < 200


@pytest.mark.usefixtures("impatient")
def test_what_is_told_of_the_cache_is_true(small_zoo: SmallZoo, server: LocalServer) -> None:
    registry = read_registry(server.serve_directory(small_zoo.registry.parent) + "registry.json")
    whole = Reply(small_zoo.archive.read_bytes(), ranges=True)
    server.serve("/small.tar.gz", replace(whole, pieces=1, wait=0.02))
    with pytest.raises(DownloadFailed) as caught:
        fetch("small", registry)
    part = cache_directory() / f".{small_zoo.digest.sha256}.part" / "small.tar.gz"
    assert f"{part.stat().st_size} bytes are kept: run again to go on from there." in str(caught.value)
    server.serve("/small.tar.gz", whole)
    assert fetch("small", registry).is_dir() and not part.exists()


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Filler: " + b"x" * 5000
CONTINUE = b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 200


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("raw", [HEADERS, CONTINUE], ids=["headers", "interim answers"])
def test_headers_that_trickle(server: LocalServer, target: Path, raw: bytes) -> None:
    url = server.serve("/x", Reply(raw=raw, pieces=1, wait=0.02))
    with pytest.raises(DownloadFailed, match=r"its headers took longer than 0\.3 seconds"):
        read_bytes(url)
    with pytest.raises(DownloadFailed, match=r"its headers took longer than 0\.3 seconds.*Set ZOO_MIRROR"):
        download([url], target, RIGHT)
    assert tree(target.parent) == []


def test_more_silence_is_more_patience(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.transport.patience.HEADERS", 0.1)
    assert read_bytes(server.serve("/x", Reply(BODY, delay=0.3))) == BODY  # 30 seconds are allowed


@pytest.mark.usefixtures("impatient")
def test_registries_that_trickle(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.serve("/registry.json", Reply(b" " * 5000, pieces=1, wait=0.02))
    with pytest.raises(BadRegistry, match="bytes a second; given up below 1,024"):
        read_registry(url)
    monkeypatch.setattr("zoo.transport.patience.LEAST", 1)
    monkeypatch.setattr("zoo.transport.small._SECONDS", 0.5)  # quick enough for an archive, and yet it never ends
    with pytest.raises(BadRegistry, match=r"sent \d+ bytes in 0\.5 seconds and had not finished"):
        read_registry(url)


def test_a_reader_that_takes_its_time_is_no_slow_server(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only waiting for the server counts."""
    monkeypatch.setattr("zoo.transport.patience.WINDOW", 0.3)
    monkeypatch.setattr("zoo.transport.patience.LEAST", 1 << 30)
    monkeypatch.setattr("zoo.transport.download._require_room", lambda *_: time.sleep(0.2))
    download([server.serve("/x", Reply(BODY, pieces=4000, wait=0.01))], target, RIGHT)
    assert target.read_bytes() == BODY


def test_the_body_of_a_refusal_or_redirect_is_not_read(server: LocalServer, target: Path) -> None:
    """Libraries read them to their end, which may never come."""
    began = time.monotonic()
    endless = {"announced": 1 << 40, "body": BODY, "stall": 60.0}
    server.serve("/there", BODY)
    server.serve("/x", Reply(status=302, headers={"Location": "/there"}, **endless))  # type: ignore[arg-type]
    server.serve("/busy", Reply(status=503, **endless))  # type: ignore[arg-type]
    download([server.url + "/x"], target, RIGHT)
    with pytest.raises(DownloadFailed, match="HTTP 503"):
        read_bytes(server.url + "/busy")
    assert target.read_bytes() == BODY and time.monotonic() - began < 5


def test_lengths_that_are_no_numbers(server: LocalServer, target: Path) -> None:
    """Python refuses to read a number of 5 000 digits."""
    digits = "9" * 5000
    url = server.serve("/x", Reply(BODY, announced=NO_LENGTH, headers={"Content-Length": digits}))
    assert read_bytes(url) == BODY  # as if there were none: it ends where the connection does
    url = server.serve("/y", Reply(BODY, 206, headers={"Content-Range": f"bytes 0-{digits}/{digits}"}))
    with pytest.raises(DownloadFailed):
        download([url], target, RIGHT)


# -- much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [None, NO_LENGTH], ids=["announced", "unannounced"])
def test_without_a_size_there_is_a_limit(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch, announced: int | None
) -> None:
    monkeypatch.setattr("zoo.transport.download.LIMIT", len(BODY) - 1)
    url = server.serve("/x", Reply(BODY, announced=announced))
    for expected, resume in ((UNMEASURED, True), (UNMEASURED, False), (None, False)):
        with pytest.raises(DownloadFailed) as caught:
            download([url], target, expected, resume=resume)
        assert "has more than 10 239 bytes, the limit for a file whose size is not recorded" in str(caught.value)
        assert "Record its size in the registry, or fetch it yourself and give the file." in str(caught.value)
        assert "kept" not in str(caught.value) and tree(target.parent) == []
    download([url], target, RIGHT)  # its size is recorded
    assert target.read_bytes() == BODY


def test_what_another_source_brought_is_kept_when_one_announces_too_much(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.transport.download.LIMIT", len(BODY))
    target.parent.mkdir()
    target.write_bytes(BODY[:999])
    url = server.serve("/x", Reply(BODY * 2))
    with pytest.raises(DownloadFailed, match=r"999 bytes are kept: run again"):
        download([url], target, UNMEASURED, resume=True)
    assert target.read_bytes() == BODY[:999]


def test_a_row_without_a_size_is_fetched_within_the_limit(
    small_zoo: SmallZoo, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.transport.download.LIMIT", small_zoo.archive.stat().st_size - 1)
    base = server.serve_directory(small_zoo.registry.parent)
    text = small_zoo.registry.read_text().replace(f'"size": {small_zoo.digest.size},', "")
    registry = read_registry(server.serve("/registry.json", text.encode()))
    assert registry.archive("small").size is None
    for handle in (lambda: fetch("small", registry), lambda: resolve(base + "small.tar.gz")):
        with pytest.raises(DownloadFailed, match="the limit for a file whose size is not recorded"):
            handle()
    assert tree(cache_directory()) == []


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def free(monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, amount))


@pytest.mark.parametrize("resume", [True, False])
def test_some_of_the_disk_stays_free(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch, resume: bool
) -> None:
    sources = [server.serve("/x", BODY), server.serve("/y", BODY)]
    free(monkeypatch, (64 << 20) + len(BODY) - 1)
    with pytest.raises(CannotWrite) as caught:
        download(sources, target, RIGHT, resume=resume)
    assert "10 240 more bytes are needed, 67 119 103 are free, 67 108 864 must stay free" in str(caught.value)
    assert "The disk is full: make room or choose another place." in str(caught.value)
    assert "kept" not in str(caught.value) and tree(target.parent) == [] and server.asked == ["/x"]
    free(monkeypatch, (64 << 20) + len(BODY))
    download(sources, target, RIGHT, resume=resume)
    assert target.read_bytes() == BODY


def test_a_disk_that_fills_meanwhile(server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    amounts = iter([1 << 40, (64 << 20) + 4000, 0])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, next(amounts)))
    url = server.serve("/x", Reply(BODY, pieces=4000, wait=0.02))
    with pytest.raises(CannotWrite) as caught:
        download([url], target, RIGHT, resume=True)
    assert str(caught.value).endswith("4 000 bytes are kept: run again to go on from there.")
    assert target.read_bytes() == BODY[:4000]
