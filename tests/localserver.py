"""A scripted HTTP server on loopback: every path answers what the test wrote down for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """One answer. `announced` is the Content-Length to claim when it is not the true one."""

    body: bytes = b""
    status: int = 200
    announced: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class LocalServer:
    """`server.replies["/x"] = [Reply(status=500), Reply(b"…")]`: the last reply repeats. `server.asked` is the log."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.delay = 0.0
        self._lock = threading.Lock()

    def serve(self, path: str, *replies: Reply | bytes) -> str:
        """Script a path and return its URL."""
        self.replies[path] = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        return self.url + path

    def serve_directory(self, directory: Path) -> str:
        """Serve every file of a directory and return the base URL, with a final slash."""
        for file in directory.iterdir():
            if file.is_file():
                self.serve(f"/{file.name}", file.read_bytes())
        return self.url + "/"

    def reply_to(self, path: str, headers: dict[str, str]) -> Reply:
        with self._lock:
            self.asked.append(path)
            self.headers.append(headers)
            script = self.replies.get(path) or [Reply(b"not here", 404)]
            return script.pop(0) if len(script) > 1 else script[0]


@contextmanager
def running_server() -> Iterator[LocalServer]:
    """Yield a server that runs until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply = server.reply_to(urlsplit(self.path).path, dict(self.headers))
            threading.Event().wait(server.delay)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) if reply.announced is None else reply.announced))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = LocalServer(http.server_port)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
