"""Damaged networks: whatever a server does, no wrong model is taken, and the next run puts it right.

Every test has another model in the cache, which nothing may touch.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.localserver import NO_LENGTH, LocalServer, Reply
from tests.zoo.small import SmallZoo, fetch, make_tokenizer_card, make_zoo, tree
from zoo.archive.card import write_card
from zoo.archive.digests import file_digests
from zoo.archive.pack import pack
from zoo.errors import BadArchive, DigestMismatch, DownloadFailed, ZooError
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import resolve
from zoo.registry.registry import Registry

PATH = "/small.tar.gz"


@dataclass(frozen=True)
class Network:
    """A model `small` behind a server, and what the cache held before it."""

    server: LocalServer
    registry: Registry
    place: str
    whole: bytes
    files: dict[str, object]
    other: Path
    before: dict[str, object]

    def reply(self, *replies: Reply | bytes) -> None:
        self.server.serve(PATH, *replies)

    def check_others(self) -> None:
        """Whatever happened to `small`, all else in the cache is as it was; a part of it may wait for the next run."""
        assert state(self.other) == self.before
        names = {name.partition("/")[0] for name in tree(cache_directory())}
        assert names - {self.place} <= {self.other.name, f".{self.place}.part"}

    def check_recovery(self) -> None:
        """The next run, with a server that does nothing wrong, fetches the right model."""
        self.reply(Reply(self.whole, ranges=True))
        path = fetch("small", self.registry)
        assert file_digests(path) == self.files
        self.check_others()
        assert f".{self.place}.part" not in tree(cache_directory())


def state(directory: Path) -> dict[str, object]:
    """Every file with its times and bytes."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes() if path.is_file() else None)
        for path in [directory, *directory.rglob("*")]
    }


@pytest.fixture
def network(directory: Path, server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    noise = random.Random(7)
    other = tmp_path / "other"
    other.mkdir()
    (other / "saved_model.pb").write_bytes(noise.randbytes(99))
    write_card(make_tokenizer_card(other, "other"), other)
    pack(other, tmp_path / "other.tar.gz")
    kept = resolve(tmp_path / "other.tar.gz")
    zoo = noisy_zoo(directory, tmp_path / "dist", noise.randbytes(499))
    registry = read_registry(server.serve_directory(zoo.registry.parent) + "registry.json")
    monkeypatch.setattr("zoo.transport.http._TIMEOUT", (5.0, 5.0))  # of a machine that is busy
    monkeypatch.setattr("zoo.transport.download._ATTEMPTS", 1)
    yield Network(
        server, registry, zoo.digest.sha256, zoo.archive.read_bytes(), file_digests(directory), kept, state(kept)
    )


def noisy_zoo(directory: Path, out: Path, noise: bytes) -> SmallZoo:
    """An archive of which no byte is idle: its weights cannot be compressed."""
    (directory / "assets.extra" / "card.json").unlink()
    (directory / "variables" / "variables.data-00000-of-00001").write_bytes(noise)
    write_card(make_tokenizer_card(directory), directory)
    return make_zoo(directory, out)


# -- damage -------------------------------------------------------------------------------------------------------


def test_no_damaged_archive_is_taken(network: Network, record_property: Callable[[str, object], None]) -> None:
    """Cut at every tenth byte, by the network and at its source, and a bit flipped in every fifth byte."""
    whole, tried = network.whole, 0
    for length in range(0, len(whole), 10):
        network.reply(Reply(whole, sent=length))
        with pytest.raises(DownloadFailed):
            fetch("small", network.registry)
        network.check_others()
        network.check_recovery()
        assert network.server.headers[-1].get("Range") == (f"bytes={length}-" if length else None)
        shutil.rmtree(cache_directory() / network.place)
        network.reply(whole[:length])
        with pytest.raises(DigestMismatch):
            fetch("small", network.registry)
        tried += 2
    for position in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        network.reply(Reply(bytes(damaged), ranges=True))
        with pytest.raises(DigestMismatch):
            fetch("small", network.registry)
        tried += 1
    network.check_others()
    network.check_recovery()
    record_property("damaged archives refused", tried)
    assert tried >= 500


def test_what_arrives_damaged_and_is_cut_is_not_built_upon(network: Network) -> None:
    """The first part has a flipped bit; the rest is right."""
    damaged = bytearray(network.whole)
    damaged[500] ^= 4
    network.reply(Reply(bytes(damaged), sent=1000))
    with pytest.raises(DownloadFailed, match="1 000 bytes are kept"):
        fetch("small", network.registry)
    network.check_recovery()
    assert [headers.get("Range") for headers in network.server.headers][-2:] == ["bytes=1000-", None]


def test_no_damaged_archive_of_a_bare_url_gives_another_model(network: Network) -> None:
    """Without a digest gzip and the card decide; the few flips that pass both have changed no file."""
    refused = 0
    for position in range(0, len(network.whole), 29):
        damaged = bytearray(network.whole)
        damaged[position] ^= 1 << position % 8
        network.reply(bytes(damaged))
        try:
            path = resolve(network.server.url + PATH)
        except BadArchive:
            refused += 1
        else:
            assert file_digests(path) == network.files, position
    assert refused > 40
    assert state(network.other) == network.before


# -- what servers do ----------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Callable[[bytes, LocalServer], list[Reply]], type[ZooError], str]] = {
    "forbidden": (lambda whole, server: [Reply(status=403)], DownloadFailed, "HTTP 403"),
    "gone": (lambda whole, server: [Reply(status=404)], DownloadFailed, "HTTP 404"),
    "too many": (lambda whole, server: [Reply(status=429)], DownloadFailed, "HTTP 429"),
    "broken": (lambda whole, server: [Reply(status=500)], DownloadFailed, "HTTP 500"),
    "silent": (lambda whole, server: [Reply(whole, delay=60)], DownloadFailed, "no byte for"),
    "stalls": (lambda whole, server: [Reply(whole, sent=999, stall=60)], DownloadFailed, "no byte for"),
    "ignores Range": (lambda whole, server: [Reply(whole, sent=999)], DownloadFailed, "IncompleteRead"),
    "announces less": (lambda whole, server: [Reply(whole, announced=999)], DigestMismatch, r"\(999 bytes\)"),
    "announces nothing": (
        lambda whole, server: [Reply(whole, announced=NO_LENGTH, sent=999)],
        DownloadFailed,
        "ends after 999",
    ),
    "sends more": (lambda whole, server: [Reply(whole + b"\0")], DigestMismatch, "is longer than"),
    "sends nothing": (lambda whole, server: [Reply()], DigestMismatch, r"\(0 bytes\)"),
    "sends a page": (lambda whole, server: [Reply(b"<html>Sign in</html>")], DigestMismatch, r"\(20 bytes\)"),
    "sends another archive": (
        lambda whole, server: [Reply((ROOT / "setup.cfg").read_bytes())],
        DigestMismatch,
        "should be",
    ),
    "sends another range": (
        lambda whole, server: [
            Reply(whole, sent=999),
            Reply(whole[990:], 206, headers={"Content-Range": f"bytes 990-{len(whole) - 1}/{len(whole)}"}),
            Reply(status=404),
        ],
        DownloadFailed,
        "HTTP 404",
    ),
    "redirects to what has expired": (
        lambda whole, server: [Reply(status=302, headers={"Location": "/expired?X-Signature=hush"})],
        DownloadFailed,
        "HTTP 404",
    ),
    "redirects for ever": (
        lambda whole, server: [Reply(status=302, headers={"Location": PATH + "?X-Signature=hush"})],
        DownloadFailed,
        r"/small\.tar\.gz: Exceeded 10 redirects\.$",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_harms_nothing_and_the_next_run_recovers(
    network: Network, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies, error, words = FAULTS[fault]
    if words == "no byte for":
        monkeypatch.setattr("zoo.transport.http._TIMEOUT", (5.0, 1.0))
    network.reply(*replies(network.whole, network.server))
    with pytest.raises(error, match=words) as caught:
        fetch("small", network.registry)
    assert "hush" not in str(caught.value)
    assert network.place not in tree(cache_directory())
    network.check_others()
    network.check_recovery()


def test_all_the_bytes_are_enough_whatever_was_announced(network: Network) -> None:
    network.reply(Reply(network.whole, announced=9999))
    assert file_digests(fetch("small", network.registry)) == network.files
    network.check_others()


def test_signed_redirects_are_followed(network: Network) -> None:
    network.server.serve("/signed", Reply(network.whole, ranges=True, sent=900))
    network.reply(Reply(status=302, headers={"Location": "/signed?X-Signature=1"}))
    assert file_digests(fetch("small", network.registry)) == network.files
    assert network.server.asked[-4:] == [PATH, "/signed", PATH, "/signed"]  # a new signature for the rest
    assert network.server.headers[-1]["Range"] == "bytes=900-"
    network.check_others()


def test_a_slow_first_mirror_is_left(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.transport.download._HURRY_SECONDS", 0.05)
    monkeypatch.setenv("ZOO_MIRROR", network.server.url + "/mirror")
    network.server.serve("/mirror" + PATH, Reply(network.whole, ranges=True, pieces=10, wait=0.02))
    assert file_digests(fetch("small", network.registry)) == network.files
    assert network.server.asked[-2:] == ["/mirror" + PATH, PATH]
    network.check_others()


def test_a_repair_that_fails_leaves_what_there_was(network: Network, caplog: pytest.LogCaptureFixture) -> None:
    place = fetch("small", network.registry)
    (place / "saved_model.pb").write_bytes(b"short")
    network.reply(Reply(status=500))
    with caplog.at_level(logging.WARNING), pytest.raises(DownloadFailed):
        fetch("small", network.registry)
    assert (place / "saved_model.pb").read_bytes() == b"short"
    network.check_others()
    network.check_recovery()


# -- processes ----------------------------------------------------------------------------------------------------


def processes(task: str, network: Network, count: int) -> list[object]:
    command = [sys.executable, "-m", "tests.zoo.processes", task, network.registry.place, str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result: list[object] = json.loads(done.stdout)
    return result


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_eight_processes_share_one_download(network: Network) -> None:
    network.reply(Reply(network.whole, delay=0.3))
    assert processes("together", network, 8) == [0] * 8
    assert network.server.asked.count(PATH) == 1
    network.check_others()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_kill_9_at_any_point_is_put_right_by_the_next_fetch(network: Network, directory: Path, tmp_path: Path) -> None:
    zoo = noisy_zoo(directory, tmp_path / "larger", random.Random(8).randbytes(99_999))
    network.server.serve("/registry.json", zoo.registry.read_bytes())
    network.reply(Reply(zoo.archive.read_bytes(), ranges=True))
    rounds = processes("killed", network, 50)
    assert len(rounds) == 50
    for found in rounds:
        assert isinstance(found, dict) and (found["next"], found["whole"]) == (0, True), found
        # Killed between the move to its place and the clearing up, a model is whole: the rest is for `zoo cache clean`.
        assert found["then"] == (found["left"] if "place" in found["left"] else ["place"]), found
    left = {tuple(found["left"]) for found in rounds if isinstance(found, dict)}
    assert left >= {(), (".part",), (".part", ".tmp")}, left  # before, in the download, while unpacking
    assert any("Range" in headers for headers in network.server.headers)
    assert state(network.other) == network.before
