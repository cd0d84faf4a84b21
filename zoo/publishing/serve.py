"""A directory over http, read only: ranges, versions and right content types. Knows nothing of models."""

from __future__ import annotations

import contextlib
import html
import os
import re
import socket
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from zoo.errors import CannotServe

INDEX = "index.html"
_TEXT = "text/plain; charset=utf-8"
# Archives have no Content-Encoding: a client would unpack them on the way.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".minisig": _TEXT,
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tar": "application/x-tar",
    "": _TEXT,
}
# Connections that may wait to be accepted. Python's own 5 keep everybody waiting for a second, and for two, and for
# four, when twenty clients begin at once; the system cuts the number down to what it allows.
_WAITING = 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def server(directory: Path, host: str = "127.0.0.1", port: int = 8500) -> ThreadingHTTPServer:
    """Return a server of a directory that listens already; port 0 takes a free one.

        with server(Path("dist")) as http:
            print(f"http://127.0.0.1:{http.server_port}/")
            http.serve_forever()

    What is hidden, and what a link leads to outside of the directory, is not there. Queries are ignored: tensorflow_hub
    appends one. Raises CannotServe when there is no such directory or the address cannot be had.
    """
    if not directory.is_dir():
        raise CannotServe(f"{directory} is no directory. `zoo build --out DIR` and `zoo export --out DIR` fill one.")
    root = directory.resolve()

    class Handler(_Handler):
        folder = root

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = _WAITING
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        return Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise CannotServe(
            f"cannot listen at {host}, port {port}: {getattr(error, 'strerror', None) or error}. "
            "--port 0 takes a free one."
        ) from error


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `end`, the last one excluded. Where `start` is not below `end` there are none to be had."""

    start: int
    end: int


def asked_part(header: str, total: int) -> Part | None:
    """Return what a Range header asks for; None where it is to be ignored: other units, several ranges, nonsense.

    asked_part("bytes=-3", 10)  # Part(7, 10)
    """
    found = _RANGE.fullmatch(header)
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return Part(max(total - int(last), 0), total)
    if last and int(last) < int(first):
        return None
    return Part(int(first), min(int(last) + 1, total) if last else total)


class _Handler(BaseHTTPRequestHandler):
    """One connection. `folder` is what it may read, resolved."""

    folder: Path
    protocol_version = "HTTP/1.1"
    server_version = "zoo"
    sys_version = ""
    timeout = 60  # seconds that a silent client holds its thread

    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # the client had enough
            self._answer()

    do_HEAD = do_GET

    def _answer(self) -> None:
        asked = self.path.partition("?")[0]
        names = [name for name in unquote(asked).split("/") if name]
        path = self._path(names)
        if path is None:
            self._send_text(HTTPStatus.NOT_FOUND, _TEXT, "404 Not Found\n")
        elif path.is_file():
            self._send_file(path)
        elif not asked.endswith("/"):  # or the links on its page would start one level too high
            self._send_head(HTTPStatus.MOVED_PERMANENTLY, {"Location": quote(f"/{'/'.join(names)}/")}, 0)
        elif self._path([*names, INDEX]):
            self._send_file(path / INDEX)
        else:
            self._send_text(HTTPStatus.OK, _TYPES[".html"], _listing(path))

    def _path(self, names: list[str]) -> Path | None:
        """Return the file or directory that is asked for, None for what is not there or not to be had."""
        if any(name.startswith(".") or {"\\", "\0", ":"} & set(name) for name in names):
            return None
        try:
            path = self.folder.joinpath(*names).resolve()
            there = path.is_relative_to(self.folder) and (path.is_file() or path.is_dir()) and os.access(path, os.R_OK)
            return path if there else None
        except (OSError, RuntimeError):  # a name that is too long, links in a circle
            return None

    def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            headers = {
                "Content-Type": _TYPES.get(path.suffix, "application/octet-stream"),
                "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}"',
                "Last-Modified": formatdate(stat.st_mtime, usegmt=True),
                "Accept-Ranges": "bytes",
                "Cache-Control": "no-cache",  # asked again each time, answered by 304
            }
            self._send_version(file, headers, stat.st_size)

    def _send_version(self, file: BinaryIO, headers: dict[str, str], size: int) -> None:
        """Send a file, or the part of it, that the conditions of the request ask for."""
        tags, date = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
        if headers["ETag"] in tags if tags else date == headers["Last-Modified"]:
            self._send_head(HTTPStatus.NOT_MODIFIED, headers, None)
            return
        part = asked_part(self.headers.get("Range", ""), size)
        if part is None or self.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
            self._send_head(HTTPStatus.OK, headers, size)
            self._send_body(file, 0, size)
        elif part.start >= part.end:
            self._send_head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"}, 0)
        else:
            content_range = f"bytes {part.start}-{part.end - 1}/{size}"
            self._send_head(
                HTTPStatus.PARTIAL_CONTENT, {**headers, "Content-Range": content_range}, part.end - part.start
            )
            self._send_body(file, part.start, part.end - part.start)

    def _send_text(self, status: HTTPStatus, content_type: str, text: str) -> None:
        content = text.encode()
        self._send_head(status, {"Content-Type": content_type}, len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_head(self, status: HTTPStatus, headers: dict[str, str], length: int | None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def _send_body(self, file: BinaryIO, start: int, count: int) -> None:
        if self.command != "HEAD" and count and self.connection.sendfile(file, start, count) < count:
            self.close_connection = True  # the file became shorter; the client sees that bytes are missing


def _listing(folder: Path) -> str:
    """Return a page with the names in a folder that are not hidden, for a zoo without a catalogue."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith("."))
    lines = "".join(f'<li><a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    title = html.escape(folder.name)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n<ul>\n{lines}</ul>\n</html>\n'
    )
