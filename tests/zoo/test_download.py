"""What a server can do wrong, and that the target is there complete and right, or not at all."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from tests.localserver import LocalServer, Reply
from tests.zoo.small import tree
from zoo.card import FileDigest
from zoo.download import download, read_bytes
from zoo.errors import CannotWrite, DigestMismatch, DownloadFailed

BODY = bytes(range(256)) * 40
RIGHT = FileDigest(sha256=hashlib.sha256(BODY).hexdigest(), size=len(BODY))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "got" / "x.tar.gz"


def test_the_right_file_arrives_and_nothing_else(server: LocalServer, target: Path) -> None:
    download([server.serve("/x.tar.gz", BODY)], target, RIGHT)
    assert target.read_bytes() == BODY
    assert tree(target.parent) == ["x.tar.gz"]
    assert server.headers[0]["Accept-Encoding"] == "identity"
    assert server.headers[0]["User-Agent"].startswith("bert-zoo")


def test_local_sources(tmp_path: Path, target: Path) -> None:
    (tmp_path / "a b.tar.gz").write_bytes(BODY)
    for source in (str(tmp_path / "a b.tar.gz"), (tmp_path / "a b.tar.gz").as_uri()):
        download([source], target, RIGHT)
        assert target.read_bytes() == BODY
        target.unlink()


def test_sources_are_tried_in_order_until_one_is_right(server: LocalServer, target: Path, tmp_path: Path) -> None:
    sources = [
        str(tmp_path / "none"),
        server.url + "/missing",
        server.serve("/wrong", b"x" * len(BODY)),
        server.serve("/right", BODY),
        server.serve("/never", BODY),
    ]
    download(sources, target, RIGHT)
    assert target.read_bytes() == BODY
    assert server.asked == ["/missing", "/wrong", "/right"]


def test_every_source_and_what_it_said_is_named(server: LocalServer, target: Path, tmp_path: Path) -> None:
    sources = [server.url + "/missing", server.serve("/wrong", b"other"), str(tmp_path / "none")]
    with pytest.raises(DownloadFailed) as caught:
        download([*sources, "http://127.0.0.1:1/x"], target, RIGHT)
    message = str(caught.value)
    assert message.startswith(f"x.tar.gz could not be fetched. Tried in order: {sources[0]}: HTTP 404 Not Found; ")
    assert f"{sources[1]}: is d9298a10d1b0… (5 bytes)" in message
    assert f"{sources[2]}: FileNotFoundError" in message
    assert "http://127.0.0.1:1/x: ConnectionRefusedError" in message
    assert tree(target.parent) == []
    with pytest.raises(DownloadFailed, match="no source is known"):
        download([], target)


def test_other_bytes_are_a_digest_mismatch(server: LocalServer, target: Path) -> None:
    flipped = bytearray(BODY)
    flipped[5000] ^= 4
    for body, words in ((bytes(flipped), r"is \w{12}… \(10 240 bytes\)"), (BODY + b"x", "is longer than 10 240 bytes")):
        with pytest.raises(DigestMismatch, match=rf"x\.tar\.gz should be sha256 {RIGHT.sha256[:12]}…, {words}"):
            download([server.serve("/x.tar.gz", body)], target, RIGHT)
    with pytest.raises(DigestMismatch, match="The file was removed; run again or check the registry"):
        download([server.serve("/a", b"a"), server.serve("/b", b"b")], target, RIGHT)
    assert tree(target.parent) == []


def test_an_answer_cut_short_is_asked_for_again(server: LocalServer, target: Path) -> None:
    cut = Reply(BODY[:999], announced=len(BODY))
    download([server.serve("/x", cut, cut, Reply(BODY))], target, RIGHT)
    assert target.read_bytes() == BODY and len(server.asked) == 3
    target.unlink()
    for expected in (RIGHT, None):  # the announced length is checked without a digest too
        with pytest.raises(DownloadFailed, match=r"IncompleteRead.*999 bytes read"):
            download([server.serve("/x", cut)], target, expected)
    assert tree(target.parent) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: LocalServer, target: Path, status: int) -> None:
    download([server.serve("/x", Reply(status=status), Reply(BODY))], target, RIGHT)
    assert target.read_bytes() == BODY
    with pytest.raises(DownloadFailed, match=f"HTTP {status}"):
        download([server.serve("/y", Reply(status=status))], target, RIGHT)


def test_a_forbidden_file_is_not_asked_for_again(server: LocalServer, target: Path) -> None:
    with pytest.raises(DownloadFailed, match="HTTP 403"):
        download([server.serve("/x", Reply(status=403))], target, RIGHT)
    assert server.asked == ["/x"]


def test_a_server_that_labels_the_archive_as_encoded(server: LocalServer, target: Path) -> None:
    import gzip

    packed = gzip.compress(BODY, mtime=0)
    digest = FileDigest(sha256=hashlib.sha256(packed).hexdigest(), size=len(packed))
    download([server.serve("/x", Reply(packed, headers={"Content-Encoding": "gzip"}))], target, digest)
    assert target.read_bytes() == packed


def test_redirects_are_followed(server: LocalServer, target: Path) -> None:
    server.serve("/there", BODY)
    download([server.serve("/here", Reply(status=302, headers={"Location": "/there?sig=1"}))], target, RIGHT)
    assert target.read_bytes() == BODY


def test_a_full_disk_is_not_the_servers_fault(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sources = [server.serve("/x", BODY), server.serve("/y", BODY)]
    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(CannotWrite, match="The disk is full"):
        download(sources, target, RIGHT)
    assert server.asked == ["/x"] and tree(target.parent) == []


def test_offline_opens_no_socket(server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(DownloadFailed, match="ZOO_OFFLINE is set"):
        download([server.serve("/x", BODY)], target, RIGHT)
    with pytest.raises(DownloadFailed, match="ZOO_OFFLINE is set"):
        read_bytes(server.url + "/x")
    assert server.asked == []
