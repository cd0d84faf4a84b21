"""One directory over http, read only, with ranges and ETags. Knows nothing of models.

The standard library's SimpleHTTPRequestHandler finds the file of a path and the content type of a file. Added here are
ranges, ETags, a 404 for everything hidden or outside of the directory, and room for many clients at once.
"""

from __future__ import annotations

import contextlib
import html
import os
import re
import socket
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from zoo.errors import CannotServe

INDEX = "index.html"
_TEXT, _HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # How many connections may wait to be accepted; the system lowers 1024 to its own limit. With the 5 of the standard
    # library, twenty clients that connect at once have to try again after one, two and four seconds.
    request_queue_size = 1024


class _ServerIPv6(_Server):
    address_family = socket.AF_INET6


def server(directory: Path, host: str = "127.0.0.1", port: int = 8500) -> ThreadingHTTPServer:
    """Return a server of a directory that listens already; port 0 takes a free one.

        with server(Path("dist")) as http:
            print(f"http://127.0.0.1:{http.server_port}/")
            http.serve_forever()

    Hidden files, and links to files outside of the directory, are answered with 404. A query such as
    "?tf-hub-format=compressed", which tensorflow_hub appends, is ignored. Raises CannotServe if the directory does not
    exist or the address cannot be used.
    """
    if not directory.is_dir():
        raise CannotServe(f"{directory} is no directory. `zoo build --out DIR` and `zoo export --out DIR` fill one.")
    try:
        return (_ServerIPv6 if ":" in host else _Server)((host, port), partial(_Handler, directory=directory.resolve()))
    except (OSError, OverflowError) as error:
        raise CannotServe(
            f"cannot listen at {host}, port {port}: {getattr(error, 'strerror', None) or error}. "
            "--port 0 takes a free one."
        ) from error


def asked_part(header: str, total: int) -> range | None:
    """Return the positions of the bytes that a Range header asks for, of a file with `total` bytes.

        asked_part("bytes=-3", 10)  # range(7, 10)
        asked_part("bytes=10-", 10)  # range(10, 10): empty, the answer is 416

    None means that the header is ignored: it names another unit or several ranges, or is malformed.
    """
    found = _RANGE.fullmatch(header)
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        return range(max(total - int(last), 0), total)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, total) if last else total)


class _Handler(SimpleHTTPRequestHandler):
    """One connection to `directory`, which is an absolute path without links."""

    protocol_version = "HTTP/1.1"
    server_version = "zoo"
    sys_version = ""
    timeout = 60  # seconds after which a client that sends nothing loses its thread
    # Archives are sent without Content-Encoding: with it, clients would unpack them on the way.
    extensions_map = {  # noqa: RUF012
        ".css": "text/css; charset=utf-8",
        ".gz": "application/gzip",
        ".html": _HTML,
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".minisig": _TEXT,
        "": _TEXT,
    }

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):  # the client went away
            self.close_connection = True

    def send_head(self) -> BinaryIO | None:
        """Send status and headers. Return the body, at its first byte, or None if there is none to send."""
        path = Path(self.translate_path(self.path))
        if not self._may_be_read(path):
            return self._send_page(HTTPStatus.NOT_FOUND, _TEXT, "404 Not Found\n")
        if path.is_file():
            return self._send_file(path)
        if not self.path.partition("?")[0].endswith("/"):  # else a browser resolves the page's links one level too high
            location = quote(f"/{path.relative_to(self.directory).as_posix()}/")
            self._send_head(HTTPStatus.MOVED_PERMANENTLY, {"Location": location}, 0)
            return None
        if self._may_be_read(index := path / INDEX) and index.is_file():
            return self._send_file(index)
        return self._send_page(HTTPStatus.OK, _HTML, _listing(path))

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send `_count` bytes of the body, from where it stands."""
        if self._count and self.connection.sendfile(source, source.tell(), self._count) < self._count:
            self.close_connection = True  # the file became shorter: the client has to see that bytes are missing

    def _may_be_read(self, path: Path) -> bool:
        """Return False for a file or directory that is missing, hidden, unreadable or leads outside."""
        try:
            target = path.resolve()
            is_hidden = any(name.startswith(".") for name in path.relative_to(self.directory).parts)
            is_there = (target.is_file() or target.is_dir()) and os.access(target, os.R_OK)
            return is_there and not is_hidden and target.is_relative_to(self.directory)
        except (OSError, RuntimeError, ValueError):  # a name that is too long, links in a circle, a NUL in the name
            return False

    def _send_file(self, path: Path) -> BinaryIO | None:
        """Answer with a file, or with the part of it that the request's conditions ask for."""
        with contextlib.ExitStack() as unless_sent:
            file = unless_sent.enter_context(path.open("rb"))
            stat = os.fstat(file.fileno())
            headers = {
                "Content-Type": self.guess_type(path),
                "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}"',
                "Last-Modified": self.date_time_string(int(stat.st_mtime)),
                "Accept-Ranges": "bytes",
                "Cache-Control": "no-cache",  # clients ask each time whether their copy is current; if so, 304
            }
            tags, date = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
            part = asked_part(self.headers.get("Range", ""), stat.st_size)
            if headers["ETag"] in tags if tags else date == headers["Last-Modified"]:
                self._send_head(HTTPStatus.NOT_MODIFIED, headers, None)
                return None
            if part is None or self.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
                self._send_head(HTTPStatus.OK, headers, stat.st_size)
            elif part:
                file.seek(part.start)
                headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{stat.st_size}"
                self._send_head(HTTPStatus.PARTIAL_CONTENT, headers, len(part))
            else:
                headers = {"Content-Range": f"bytes */{stat.st_size}"}
                self._send_head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, 0)
            unless_sent.pop_all()  # from here on do_GET closes the file
            return file

    def _send_page(self, status: HTTPStatus, content_type: str, text: str) -> BinaryIO:
        content = text.encode()
        self._send_head(status, {"Content-Type": content_type}, len(content))
        return BytesIO(content)

    def _send_head(self, status: HTTPStatus, headers: dict[str, str], length: int | None) -> None:
        self._count = length or 0
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()


def _listing(folder: Path) -> str:
    """Return a page with the names in a folder that are not hidden, for a zoo without a catalogue."""
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith("."))
    lines = "".join(f'<li><a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    title = html.escape(folder.name)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n<ul>\n{lines}</ul>\n</html>\n'
    )
