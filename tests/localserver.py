"""A scripted HTTP server on loopback: every path answers what the test wrote down for it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

NO_LENGTH = -1


@dataclass(frozen=True)
class Reply:
    """One answer.

    `announced` is the Content-Length to claim when it is not the true one, NO_LENGTH for none. With `ranges` a Range is
    answered, if If-Range names this ETag, by 206 or 416. Equal If-None-Match or If-Modified-Since are answered by 304.
    After `delay` seconds `sent` bytes of what was announced are sent, `pieces` at a time with `wait` seconds before
    each; then `stall` seconds pass before the connection closes. With `hangs_up` it closes without a word. `raw` is
    sent, in such pieces, in place of status, headers and body.
    """

    body: bytes = b""
    status: int = 200
    announced: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = False
    delay: float = 0.0
    sent: int | None = None
    pieces: int = 1 << 20
    wait: float = 0.0
    stall: float = 0.0
    hangs_up: bool = False
    raw: bytes | None = None

    def to(self, asked: dict[str, str]) -> Reply:
        """Return what a server makes of this for a request with the headers `asked`."""
        known = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
        if any(theirs in asked and asked[theirs] == self.headers.get(ours) for theirs, ours in known.items()):
            return Reply(status=304)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("Range", ""))
        if not (self.ranges and found) or asked.get("If-Range", self.headers.get("ETag")) != self.headers.get("ETag"):
            return self
        start, end = int(found[1]), len(self.body)
        if start >= end:
            return Reply(status=416, headers={"Content-Range": f"bytes */{end}"})
        stop = min(end, int(found[2]) + 1) if found[2] else end
        headers = {**self.headers, "Content-Range": f"bytes {start}-{stop - 1}/{end}"}
        return replace(self, body=self.body[start:stop], status=206, headers=headers)


class LocalServer:
    """`server.replies["/x"] = [Reply(status=500), Reply(b"…")]`: the last reply repeats. `server.asked` is the log.

    A script for "/x?y=1" counts for that query alone, one for "/x" for every other.

    HEAD is answered as GET is, without the body, unless "HEAD /x" has a script of its own.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.delay = 0.0
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def serve(self, path: str, *replies: Reply | bytes) -> str:
        """Script a path and return its URL."""
        self.replies[path] = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        return self.url + path

    def serve_directory(self, directory: Path) -> str:
        """Serve every file of a directory and return the base URL, with a final slash."""
        for file in directory.iterdir():
            if file.is_file():
                self.serve(f"/{file.name}", Reply(file.read_bytes(), ranges=True))
        return self.url + "/"

    def reply_to(self, path: str, headers: dict[str, str]) -> Reply:
        with self._lock:
            self.asked.append(path)
            self.headers.append(headers)
            script = self.replies.get(path) or self.replies.get(path.removeprefix("HEAD ")) or [Reply(b"not here", 404)]
            return (script.pop(0) if len(script) > 1 else script[0]).to(headers)


@contextmanager
def running_server() -> Iterator[LocalServer]:
    """Yield a server that runs until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = self.path if self.path in server.replies else urlsplit(self.path).path
            reply = server.reply_to(place, dict(self.headers))
            self._answer(reply, reply.body[: reply.sent])

        def do_HEAD(self) -> None:
            self._answer(server.reply_to("HEAD " + urlsplit(self.path).path, dict(self.headers)), b"")

        def _answer(self, reply: Reply, body: bytes) -> None:
            server.closing.wait(server.delay + reply.delay)
            if not reply.hangs_up:
                with suppress(ConnectionError):  # the client had enough
                    self._send(reply, body)
            server.closing.wait(reply.stall)

        def _send(self, reply: Reply, body: bytes) -> None:
            if reply.raw is not None:
                self.close_connection = True
                self._in_pieces(reply, reply.raw)
                return
            self.send_response(reply.status)
            if reply.announced != NO_LENGTH:
                length = len(reply.body) if reply.announced is None else reply.announced
                self.send_header("Content-Length", str(length))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self._in_pieces(reply, body)

        def _in_pieces(self, reply: Reply, data: bytes) -> None:
            for start in range(0, len(data), reply.pieces):
                server.closing.wait(reply.wait)
                self.wfile.write(data[start : start + reply.pieces])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = LocalServer(http.server_port)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            http.shutdown()
            thread.join()
