"""What a server can do wrong, and that the target is there complete and right, or not at all."""

from __future__ import annotations

import errno
import hashlib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from tests.localserver import NO_LENGTH, LocalServer, Reply
from tests.zoo.small import tree
from zoo.archive.card import FileDigest
from zoo.basics.urls import with_mirror
from zoo.errors import CannotWrite, DigestMismatch, DownloadFailed
from zoo.transport.download import download
from zoo.transport.http import Version
from zoo.transport.small import read_bytes

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


@pytest.mark.parametrize("arrived", [b"", BODY[:700]])
def test_a_304_that_was_not_asked_for_is_a_refusal(server: LocalServer, target: Path, arrived: bytes) -> None:
    wrong = server.serve("/wrong", Reply(status=304))
    target.parent.mkdir()
    target.write_bytes(arrived)
    with pytest.raises(DownloadFailed, match="HTTP 304"):
        download([wrong], target, RIGHT, resume=True)
    assert target.read_bytes() == arrived
    assert download([wrong, server.serve("/x.tar.gz", BODY)], target, RIGHT, resume=True) is not None
    assert target.read_bytes() == BODY
    with pytest.raises(DownloadFailed, match="HTTP 304"):
        read_bytes(wrong)


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
    assert f"It should be sha256 {RIGHT.sha256[:12]}…." in message
    assert f"{sources[2]}: No such file or directory" in message
    assert "http://127.0.0.1:1/x: Connection refused" in message
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


# -- going on where it was cut ------------------------------------------------------------------------------------


def ranges(server: LocalServer) -> list[str | None]:
    """The Range of every request so far."""
    return [headers.get("Range") for headers in server.headers]


def test_a_cut_answer_is_gone_on_with(server: LocalServer, target: Path) -> None:
    tagged = Reply(BODY, headers={"ETag": '"a"'}, ranges=True)
    download([server.serve("/x", replace(tagged, sent=999), replace(tagged, sent=1), tagged)], target, RIGHT)
    assert target.read_bytes() == BODY
    assert ranges(server) == [None, "bytes=999-", "bytes=1000-"]
    assert [headers.get("If-Range") for headers in server.headers] == [None, '"a"', '"a"']


def test_a_source_that_keeps_bringing_something_is_not_given_up(server: LocalServer, target: Path) -> None:
    download([server.serve("/x", Reply(BODY, ranges=True, sent=len(BODY) // 20))], target, RIGHT)
    assert target.read_bytes() == BODY and len(server.asked) == 20


def test_the_next_run_goes_on(server: LocalServer, target: Path) -> None:
    url = server.serve("/x", Reply(BODY, announced=len(BODY), sent=999))
    with pytest.raises(DownloadFailed, match=r"999 bytes are kept: run again to go on from there\."):
        download([url], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY[:999]
    server.headers.clear()
    download([server.serve("/y", Reply(BODY, ranges=True))], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY and ranges(server) == ["bytes=999-"]
    server.headers.clear()
    download([url], target, RIGHT, resume=True)  # all there: nobody is asked
    assert target.read_bytes() == BODY and ranges(server) == []


@pytest.mark.parametrize("same", [True, False], ids=["the same version", "another version"])
def test_the_next_run_goes_on_by_the_etag_of_the_only_source(server: LocalServer, target: Path, same: bool) -> None:
    cut = Reply(BODY, headers={"ETag": '"a"'}, sent=999, ranges=True)
    url = server.serve("/x", cut, Reply(status=404))
    with pytest.raises(DownloadFailed, match=r"999 bytes are kept: run again to go on from there\."):
        download([url], target, resume=True)
    assert tree(target.parent) == ["x.tar.gz", "x.tar.gz.etag"]
    now = Reply(BODY, headers={"ETag": '"a"'}, ranges=True) if same else Reply(BODY[::-1], headers={"ETag": '"b"'})
    server.headers.clear()
    download([server.serve("/x", now)], target, resume=True)
    assert target.read_bytes() == now.body and tree(target.parent) == ["x.tar.gz"]
    assert [(asked["Range"], asked["If-Range"]) for asked in server.headers] == [("bytes=999-", '"a"')]


@pytest.mark.parametrize(
    "tag", [b"", b"\xff\xfe", b'"a"\r\nHost: other', b'"a\x00'], ids=["none", "odd", "lines", "null"]
)
def test_a_tag_that_no_server_sends(server: LocalServer, target: Path, tag: bytes) -> None:
    """The ETag beside a part was damaged: nobody is told it, and the file is fetched from its beginning."""
    target.parent.mkdir()
    target.write_bytes(b"x" * 999)
    target.with_name(f"{target.name}.etag").write_bytes(tag)
    download([server.serve("/x", Reply(BODY, headers={"ETag": '"a"'}, ranges=True))], target, resume=True)
    assert target.read_bytes() == BODY and ranges(server) == [None]


@pytest.mark.parametrize("lain", [b"x" * 999, b"x" * len(BODY), b"x" * (len(BODY) + 1)], ids=["part", "whole", "more"])
def test_what_lay_there_may_be_wrong(server: LocalServer, target: Path, lain: bytes) -> None:
    target.parent.mkdir()
    target.write_bytes(lain)
    download([server.serve("/x", Reply(BODY, ranges=True))], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY and ranges(server)[-1] is None


ODD_RANGES = {
    "another start": Reply(BODY[998:], 206, headers={"Content-Range": f"bytes 998-{len(BODY) - 1}/{len(BODY)}"}),
    "the beginning": Reply(BODY[:-999], 206, headers={"Content-Range": f"bytes 0-9240/{len(BODY)}"}),
    "another total": Reply(BODY[999:], 206, headers={"Content-Range": "bytes 999-1999/2000"}),
    "no range": Reply(BODY[999:], 206),
    "nonsense": Reply(BODY[999:], 206, headers={"Content-Range": "pages 1-2/3"}),
    "nothing there": Reply(status=416),
    "other bytes": Reply(b"x" * (len(BODY) - 999), 206, headers={"Content-Range": f"bytes 999-10239/{len(BODY)}"}),
    "all of it": Reply(BODY),
}


CUT = Reply(BODY, sent=5000)


@pytest.mark.parametrize("case", ODD_RANGES)
def test_a_range_that_was_not_asked_for_means_the_beginning(server: LocalServer, target: Path, case: str) -> None:
    target.parent.mkdir()
    target.write_bytes(BODY[:999])
    download([server.serve("/x", ODD_RANGES[case], Reply(BODY, ranges=True))], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY
    assert ranges(server) == ["bytes=999-", *([] if case == "all of it" else [None])]


@pytest.mark.parametrize("first", [Reply(BODY, ranges=True), Reply(status=416)], ids=["mismatch", "416"])
def test_after_a_new_beginning_a_cut_answer_is_gone_on_with(server: LocalServer, target: Path, first: Reply) -> None:
    target.parent.mkdir()
    target.write_bytes(b"x" * 9999)  # longer than what arrives before the cuts
    cuts = [Reply(BODY, ranges=True, sent=2000)] * 4
    download([server.serve("/x", first, *cuts, Reply(BODY, ranges=True))], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY
    assert ranges(server) == ["bytes=9999-", None, *(f"bytes={start}-" for start in (2000, 4000, 6000, 8000))]


def test_a_source_of_wrong_bytes_begins_only_once_more(server: LocalServer, target: Path) -> None:
    """Cut in the middle and wrong at the end, again and again: its second beginning is its last."""
    target.parent.mkdir()
    target.write_bytes(b"x" * 999)
    wrong = Reply(BODY[::-1], ranges=True)
    with pytest.raises(DigestMismatch):
        download([server.serve("/x", *[wrong, replace(CUT, body=BODY[::-1])] * 9)], target, RIGHT, resume=True)
    assert ranges(server) == ["bytes=999-", None, "bytes=5000-"]


def test_a_source_that_refuses_each_range_is_asked_for_the_whole_from_then_on(
    server: LocalServer, target: Path
) -> None:
    target.parent.mkdir()
    target.write_bytes(b"x" * 999)
    refused = Reply(status=416)
    answers = (refused, CUT, refused, CUT, Reply(BODY, ranges=True))
    download([server.serve("/x", *answers)], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY and ranges(server) == ["bytes=999-", None, "bytes=5000-", None, None]


def test_a_server_with_odd_ranges_only_is_refused(server: LocalServer, target: Path) -> None:
    for odd, words in (
        (Reply(BODY, 206), "sends no range when asked for bytes from 0 on"),
        (Reply(status=416), "HTTP 416"),
    ):
        with pytest.raises(DownloadFailed, match=words):
            download([server.serve("/x", odd)], target, RIGHT, resume=True)
        assert not target.exists()


def test_parts_of_different_versions_are_never_put_together(server: LocalServer, target: Path) -> None:
    """Without a digest only a strong ETag says that the rest belongs to the beginning."""
    with pytest.raises(ValueError, match="resume needs the digest"):
        download([server.url, server.url], target, resume=True)
    cut = Reply(BODY, sent=999)
    for tag, wanted in (('"a"', "bytes=999-"), ('W/"a"', None), ("", None)):
        server.headers.clear()
        headers = {"ETag": tag} if tag else {}
        answers = [replace(cut, headers=headers), Reply(BODY[::-1], headers={"ETag": '"b"'}, ranges=True)]
        download([server.serve("/x", *answers)], target)
        assert target.read_bytes() == BODY[::-1]
        assert ranges(server) == [None, wanted]


@pytest.mark.parametrize("case", [case for case in ODD_RANGES if case not in ("other bytes", "all of it")])
def test_without_a_digest_a_wrong_range_is_not_built_upon(server: LocalServer, target: Path, case: str) -> None:
    tag = {"ETag": '"a"'}
    odd = replace(ODD_RANGES[case], headers={**ODD_RANGES[case].headers, **tag})
    cut = Reply(BODY, headers=tag, sent=999)
    download([server.serve("/x", cut, odd, Reply(BODY, headers=tag, ranges=True))], target)
    assert target.read_bytes() == BODY and ranges(server) == [None, "bytes=999-", None]


def test_an_answer_without_a_length(server: LocalServer, target: Path) -> None:
    """Closed too early it looks finished: the size tells, or else nobody can."""
    cut = Reply(BODY, announced=NO_LENGTH, sent=999)
    download([server.serve("/x", cut, Reply(BODY, announced=NO_LENGTH))], target, RIGHT)
    assert target.read_bytes() == BODY
    with pytest.raises(DownloadFailed, match="ends after 999 of 10 240 bytes"):
        download([server.serve("/x", cut)], target, RIGHT)


def test_chunked_answers(server: LocalServer, target: Path) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:]))
    chunked = Reply(chunks + b"0\r\n\r\n", announced=NO_LENGTH, headers={"Transfer-Encoding": "chunked"})
    download([server.serve("/x", replace(chunked, sent=999), chunked)], target, RIGHT)
    assert target.read_bytes() == BODY and len(server.asked) == 2


def test_progress_knows_the_total_and_what_was_there(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[list[Any]] = []

    @contextmanager
    def bar(*facts: object) -> Iterator[Callable[[int], None]]:
        bars.append([*facts, 0])
        yield lambda count: bars[-1].append(bars[-1].pop() + count)

    monkeypatch.setattr("zoo.transport.download.progress", bar)
    url = server.serve("/y", Reply(BODY, ranges=True)) + "?sig=hush"
    download([url], target)
    target.write_bytes(BODY[:999])
    download([url], target, RIGHT, resume=True)
    label, total = "fetching x.tar.gz", len(BODY)
    assert bars == [[label, total, 0, total], [label, total, 999, total - 999]]


def test_what_servers_say_does_not_steer_the_terminal(server: LocalServer, target: Path) -> None:
    odd = Reply(BODY, 206, headers={"Content-Range": "bytes \x1b[2J" + "9" * 999})
    with pytest.raises(DownloadFailed) as caught:
        download([server.serve("/x", odd)], target, RIGHT)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


# -- slow sources -------------------------------------------------------------------------------------------------


def test_a_stalled_source_is_left_for_another(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.transport.http._TIMEOUT", (5.0, 0.3))
    stalled = server.serve("/stalled", Reply(BODY, sent=999, stall=60.0))
    silent = server.serve("/silent", Reply(BODY, delay=60.0))
    download([silent, stalled, server.serve("/x", Reply(BODY, ranges=True))], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY
    assert server.asked == ["/silent", "/stalled", "/x"] and ranges(server)[-1] == "bytes=999-"
    with pytest.raises(DownloadFailed, match=r"silent: no byte for 0\.3 seconds"):
        download([silent], target.with_name("other"), RIGHT)


def test_a_trickle_is_left_for_another_and_comes_last(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.transport.download._HURRY_SECONDS", 0.05)
    monkeypatch.setattr("zoo.transport.download._HURRY_BYTES", 10 << 20)
    slow = server.serve("/slow", Reply(BODY, ranges=True, pieces=1000, wait=0.02))
    download([slow, server.serve("/x", Reply(BODY, ranges=True))], target, RIGHT, resume=True)
    assert target.read_bytes() == BODY and server.asked == ["/slow", "/x"]
    assert str(ranges(server)[1]).startswith("bytes=")
    target.unlink()
    server.asked.clear()
    download([slow, server.url + "/missing"], target, RIGHT)  # better slow than not at all
    assert target.read_bytes() == BODY and server.asked == ["/slow", "/missing", "/slow"]
    target.unlink()
    download([slow], target, RIGHT)


# -- redirects, secrets, mirrors, proxies -------------------------------------------------------------------------


def redirect(target: str) -> Reply:
    return Reply(status=302, headers={"Location": target})


def test_secrets_of_urls_are_not_told(server: LocalServer, target: Path) -> None:
    server.serve("/there", Reply(status=403))
    server.serve("/x", redirect("/there?X-Signature=hush"))
    secret = server.url.replace("//", "//user:hush@") + "/x?token=hush"
    odd = ["http://[hush?token=hush", "ftp://host/x?token=hush", "http://127.0.0.1:1/x?token=hush"]
    server.serve("/round", redirect("/round?token=hush"))
    for source in (secret, *odd, server.url + "/round?token=hush"):
        for ask in (lambda url: download([url], target, RIGHT), read_bytes):
            with pytest.raises(DownloadFailed) as caught:
                ask(source)
            told = "".join(traceback.format_exception(caught.value))
            assert "hush" not in told.replace("//[hush", ""), told
    assert server.asked[:2] == ["/x", "/there"]


class PlainTls(HTTPAdapter):
    """Answers for https:// what the loopback server says without encryption."""

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        asked = str(request.url)
        request.url = asked.replace("https://", "http://")
        response = super().send(request, *arguments, **options)
        response.url = asked
        return response


def test_a_redirect_to_something_unencrypted_is_refused(
    server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.transport.sessions.PatientAdapter", PlainTls)
    secure = server.url.replace("http://", "https://")
    server.serve("/there", BODY)
    server.serve("/down", redirect(server.url + "/there?sig=hush"))
    with pytest.raises(DownloadFailed, match=r"from https to unencrypted http://127\.0\.0\.1:\d+/there\?…\."):
        download([secure + "/down"], target, RIGHT)
    assert server.asked == ["/down"]
    server.serve("/over", redirect(secure + "/there"))
    server.serve("/along", redirect("/there"))
    for path in ("/over", "/along"):
        download([secure + path], target, RIGHT)
        assert target.read_bytes() == BODY
    download([server.url + "/over"], target, RIGHT)  # upwards is fine


def test_a_mirror_of_the_environment_comes_first(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = ["https://host/zoo/x.tar.gz?sig=1", "https://other/y.tar.gz"]
    assert with_mirror(sources) == sources and with_mirror([]) == []
    for base in ("http://mirror/zoo", "http://mirror/zoo/"):
        monkeypatch.setenv("ZOO_MIRROR", base)
        assert with_mirror(sources) == ["http://mirror/zoo/x.tar.gz", *sources]
    (tmp_path / "x.tar.gz").write_bytes(BODY)
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path))
    download(with_mirror(sources), tmp_path / "got", RIGHT)
    assert (tmp_path / "got").read_bytes() == BODY


def test_proxies_of_the_environment(server: LocalServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", server.url)
    server.serve("/zoo/x.tar.gz", BODY)
    download(["http://models.invalid/zoo/x.tar.gz"], target, RIGHT)
    assert target.read_bytes() == BODY and server.headers[0]["Host"] == "models.invalid"


# -- versions -----------------------------------------------------------------------------------------------------


def test_an_unchanged_file_is_not_sent_again(server: LocalServer, target: Path) -> None:
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    for headers in ({"ETag": '"a"'}, {"Last-Modified": date}, {"ETag": 'W/"a"', "Last-Modified": date}):
        url = server.serve("/x", Reply(BODY, headers=headers))
        version = download([url], target)
        assert version == Version(headers.get("ETag", ""), headers.get("Last-Modified", "")) and target.exists()
        target.unlink()
        assert download([url], target, unless_version=version) is None and not target.exists()
        assert download([url], target, unless_version=Version('"older"')) == version
    silent = server.serve("/y", BODY)
    assert download([silent], target, unless_version=Version()) == Version()


def test_a_server_that_ignores_conditions(server: LocalServer, target: Path) -> None:
    """Equal tags are enough; the body need not come to its end."""
    url = server.serve("/x", Ignorant(BODY, headers={"ETag": '"a"'}, sent=0, stall=60.0))
    assert download([url], target, unless_version=Version('"a"')) is None
    assert not target.exists()


class Ignorant(Reply):
    def to(self, asked: dict[str, str]) -> Reply:
        return self


def test_small_files_have_a_limit(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.transport.small._MOST", 1000)
    assert read_bytes(server.serve("/x", BODY[:1000])) == BODY[:1000]
    with pytest.raises(DownloadFailed, match="is longer than 1,000 bytes"):
        read_bytes(server.serve("/y", BODY[:1001]))
