"""The server: parts of files, versions, types, nothing outside of its directory; and clients that use it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.zoo.small import SmallZoo, fetch
from tests.zoo.toyzoo import ToyZoo
from zoo.archive.card import FileDigest
from zoo.command import main
from zoo.commands.serve import usage
from zoo.errors import CannotServe
from zoo.fetching.registries import read_registry
from zoo.publishing.serve import asked_part, server
from zoo.transport.download import download


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """Yield the address of a directory that is served as long as the block lasts."""
    with server(directory, port=0) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http_server.server_port}/"
        finally:
            http_server.shutdown()
            thread.join()


def test_a_burst_of_clients(folder: Path) -> None:
    """All of them are connected at once, before the server has accepted a single one, and all are answered."""
    clients: list[socket.socket] = []
    with server(folder, port=0) as http_server:
        try:
            for _ in range(min(200, socket.SOMAXCONN)):
                clients.append(socket.create_connection(("127.0.0.1", http_server.server_port), timeout=0.5))
            thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                for client in clients:
                    client.settimeout(10)
                    client.sendall(b"GET /abc.tar.gz HTTP/1.0\r\n\r\n")
                for client in clients:
                    with client.makefile("rb") as answer:
                        assert answer.read().endswith(b"\r\n\r\n0123456789")
            finally:
                http_server.shutdown()
                thread.join()
        finally:
            for client in clients:
                client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secret" / "dist"
    (made / "cards").mkdir(parents=True)
    (made / "abc.tar.gz").write_bytes(b"0123456789")
    (made / "cards" / "a<b>.json").write_text("{}")
    (made / "page.html").write_text("<p>你好")
    (made / ".hidden").write_text("hidden")
    (made / "empty").write_text("")
    (made.parent / "outside").write_text("secret")
    (made / "link").symlink_to(made.parent / "outside")
    return made


@pytest.fixture
def base(folder: Path) -> Iterator[str]:
    with served(folder) as address:
        yield address


def raw(base: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask for exactly this path, which a better client would put in order first."""
    connection = http.client.HTTPConnection(base.split("/")[2], timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


# -- files --------------------------------------------------------------------------------------------------------


def test_a_file(base: str) -> None:
    for query in ("", "?tf-hub-format=compressed", "?a=/../.."):
        status, headers, body = raw(base, "/abc.tar.gz" + query)
        assert (status, body) == (200, b"0123456789")
        assert headers["Content-Type"] == "application/gzip" and headers["Content-Length"] == "10"
        assert "Content-Encoding" not in headers and headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/page.html", "text/html; charset=utf-8"),
        ("/cards/a%3Cb%3E.json", "application/json"),
        ("/empty", "text/plain; charset=utf-8"),
    ],
)
def test_types(path: str, content_type: str, base: str) -> None:
    assert raw(base, path)[1]["Content-Type"] == content_type


def test_head_says_what_get_says(base: str) -> None:
    for path in ("/abc.tar.gz", "/", "/nothing"):
        got, told = raw(base, path), raw(base, path, "HEAD")
        assert told[0] == got[0] and told[2] == b""
        assert {**told[1], "Date": ""} == {**got[1], "Date": ""}


def test_other_methods_are_refused(base: str) -> None:
    assert raw(base, "/abc.tar.gz", "DELETE")[0] == 501


def test_a_connection_is_kept(base: str) -> None:
    with requests.Session() as session:
        first = session.get(base + "abc.tar.gz", stream=True)
        port = first.raw.connection.sock.getsockname()[1]
        assert first.content == b"0123456789"
        second = session.get(base + "nothing", stream=True)
        assert second.raw.connection.sock.getsockname()[1] == port and second.status_code == 404


# -- parts and versions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-", range(0, 10)),
        ("bytes=3-5", range(3, 6)),
        ("bytes=9-", range(9, 10)),
        ("bytes=3-99", range(3, 10)),
        ("bytes=-4", range(6, 10)),
        ("bytes=-99", range(0, 10)),
        ("bytes=10-", range(10, 10)),
        ("bytes=-0", range(10, 10)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=a-", None),
        ("bytes=" + "9" * 99 + "-", None),
        ("", None),
    ],
)
def test_ranges(header: str, part: range | None, base: str) -> None:
    assert asked_part(header, 10) == part
    status, headers, body = raw(base, "/abc.tar.gz", Range=header)
    if part is None:
        assert (status, body) == (200, b"0123456789")
    elif part:
        assert (status, body) == (206, b"0123456789"[part.start : part.stop])
        assert headers["Content-Range"] == f"bytes {part.start}-{part.stop - 1}/10"
    else:
        assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */10")


def test_nothing_of_an_empty_file(base: str) -> None:
    assert raw(base, "/empty")[::2] == (200, b"")
    assert raw(base, "/empty", Range="bytes=0-")[0] == 416


def test_versions(base: str, folder: Path) -> None:
    headers = raw(base, "/abc.tar.gz")[1]
    tag, date = headers["ETag"], headers["Last-Modified"]
    assert tag.startswith('"')
    assert raw(base, "/abc.tar.gz", If_None_Match=f'"other", {tag}')[::2] == (304, b"")
    assert raw(base, "/abc.tar.gz", If_Modified_Since=date)[0] == 304
    assert raw(base, "/abc.tar.gz", If_None_Match='"other"', If_Modified_Since=date)[0] == 200
    assert raw(base, "/abc.tar.gz", If_Range=tag, Range="bytes=4-")[2] == b"456789"
    assert raw(base, "/abc.tar.gz", If_Range='"other"', Range="bytes=4-")[::2] == (200, b"0123456789")
    (folder / "abc.tar.gz").write_bytes(b"9876543210")
    os.utime(folder / "abc.tar.gz", ns=(1, 1))
    assert raw(base, "/abc.tar.gz", If_Range=tag, Range="bytes=4-")[::2] == (200, b"9876543210")


def test_a_client_that_goes_away(base: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "large.tar").write_bytes(bytes(64 << 20))
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", int(base.rstrip("/").rpartition(":")[2])), timeout=10) as client:
            client.sendall(b"GET /large.tar HTTP/1.1\r\n\r\n")
            client.recv(1000)
    assert raw(base, "/large.tar", Range="bytes=-3")[2] == bytes(3)
    assert "Traceback" not in capfd.readouterr().err


# -- what is not there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../outside",
        "/%2e%2e/outside",
        "/cards/../../outside",
        "/cards/..%2f..%2foutside",
        "/..%5coutside",
        "//etc/passwd",
        "/.hidden",
        "/./.hidden",
        "/link",
        "/abc.tar.gz%00",
        "/" + "x" * 5000,
        "/abc.tar.gz/x",
        "/%ff",
        "*",
    ],
)
def test_paths_that_lead_nowhere(path: str, base: str) -> None:
    status, _, body = raw(base, path)
    assert status == 404 and b"secret" not in body and b"hidden" not in body


def test_a_listing_where_there_is_no_page(base: str, folder: Path) -> None:
    status, headers, body = raw(base, "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'<a href="abc.tar.gz">' in body and b"hidden" not in body
    assert b'<a href="a%3Cb%3E.json">a&lt;b&gt;.json</a>' in raw(base, "/cards/")[2]
    assert raw(base, "//cards")[1]["Location"] == "/cards/"
    (folder / "index.html").write_text("the page")
    assert raw(base, "/")[2] == b"the page"
    (folder / "index.html").unlink()
    (folder / "index.html").symlink_to(folder.parent / "outside")
    assert b"secret" not in raw(base, "/")[2]


# -- clients ------------------------------------------------------------------------------------------------------


def test_fetch_goes_on_where_it_stopped(small_zoo: SmallZoo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with served(small_zoo.registry.parent) as base:
        assert main(["fetch", "small", "--registry", base + "registry.json"]) == 0
        assert Path(capfd.readouterr().out.strip()).name == small_zoo.digest.sha256
        part, whole = tmp_path / "small.tar.gz", small_zoo.archive.read_bytes()
        part.write_bytes(whole[:100])
        digest = FileDigest(sha256=small_zoo.digest.sha256, size=len(whole))
        assert download([base + "small.tar.gz"], part, digest, resume=True)
        assert part.read_bytes() == whole
        assert '"GET /small.tar.gz HTTP/1.1" 206' in capfd.readouterr().err


def test_hub_loads_from_it(toy_zoo: ToyZoo) -> None:
    import tensorflow_hub as hub

    with served(toy_zoo.directory) as base:
        assert hub.load(f"{base}toy.tar.gz")([[2, 5, 6, 3]])["pooled_output"].shape == (1, 32)
        fetch("toy", read_registry(base + "registry.json"))


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_says_how_and_ends_with_ctrl_c(small_zoo: SmallZoo) -> None:
    dist = small_zoo.registry.parent
    command = [sys.executable, "-m", "zoo", "serve", str(dist), "--port", "0"]
    as_from_a_terminal = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's `&` has it ignored
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=as_from_a_terminal
    ) as process:
        assert process.stdout
        lines = [process.stdout.readline().rstrip() for _ in range(3)]
        base = lines[0].removeprefix(f"{dist} is at ")
        assert lines[1:] == [f"hub.load('{base}small.tar.gz')", f"zoo fetch small --registry {base}registry.json"]
        assert raw(base, "/small.tar.gz", "HEAD")[1]["Content-Length"] == str(small_zoo.digest.size)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in errors


def test_a_directory_without_a_registry_has_no_names(folder: Path) -> None:
    assert usage(folder, "http://h/")[0].startswith("no names: no registry to read")


def test_what_cannot_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path / "none")]) == 2
    assert "is no directory" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f"port {port}: .* --port 0 takes a free one"):
            server(tmp_path, port=port)
    with pytest.raises(CannotServe, match="65536"):
        server(tmp_path, port=65536)
