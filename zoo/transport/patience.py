"""How long a server may take: a deadline for the headers of an answer, and a lowest speed for its body.

A socket's timeout only limits silence: a server that sends one byte every twenty seconds could keep a client for ever.
So this code replaces the lowest layer under requests, the place where bytes are received: there the time is measured.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from zoo.transport.refusals import TooSlow

HEADERS = 60.0  # seconds for the status line and the headers of one answer, or the socket's timeout if that is longer
WINDOW = 60.0  # seconds of waiting over which the speed of a body is measured
LEAST = 1 << 10  # bytes a second: the lowest speed of a body; a mobile phone of the nineties was faster


class _Timed(io.RawIOBase):
    """The bytes that a socket receives. Raises TooSlow when they come too slowly.

    Only the time spent waiting for the server counts, not the time in which the reader does something else.
    """

    def __init__(self, raw: Any, sock: Any) -> None:
        self._raw, self._sock, self._silence = raw, sock, sock.gettimeout()
        self._in_headers, self._patience = True, max(HEADERS, self._silence or 0)
        self._deadline = time.monotonic() + self._patience
        self._waited, self._received = 0.0, 0

    def headers_end(self) -> None:
        """The headers have arrived: from now on measure the speed instead of the deadline."""
        self._in_headers = False
        self._sock.settimeout(self._silence)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        began = time.monotonic()
        if self._in_headers:
            self._sock.settimeout(self._left(began))
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            if self._in_headers:
                self._left(time.monotonic())
            raise TooSlow(f"no byte for {self._silence or self._patience:g} seconds") from None
        if count and not self._in_headers:
            self._measure(time.monotonic() - began, count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _left(self, now: float) -> float:
        """Return the seconds that the next byte of the headers may take. Raises TooSlow after the deadline."""
        left = self._deadline - now
        if left <= 0:
            raise TooSlow(f"its headers took longer than {self._patience:g} seconds")
        return left if self._silence is None else min(left, self._silence)

    def _measure(self, seconds: float, count: int) -> None:
        """Count bytes that took so many seconds. Raises TooSlow at the end of a window that was too slow."""
        self._waited += seconds
        self._received += count
        if self._waited >= WINDOW:
            if problem := too_slow(self._received, self._waited):
                raise TooSlow(problem)
            self._waited, self._received = 0.0, 0


def too_slow(received: int, seconds: float) -> str:
    """Return '' if so many bytes in so many seconds are fast enough, else the reason: "sends 7 bytes a second; …"."""
    if received >= LEAST * seconds:
        return ""
    return f"sends {received / seconds:.0f} bytes a second; given up below {LEAST:,} over {WINDOW:g} seconds"


class _Response(http.client.HTTPResponse):
    """An answer whose bytes pass through `_Timed`."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._timed = _Timed(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._timed, 1 << 16)

    def begin(self) -> None:
        super().begin()
        self._timed.headers_end()
        if self.status >= http.client.MULTIPLE_CHOICES:
            # A redirect or a refusal: only its headers matter. requests would read its body, which may never end, so
            # the body is declared empty.
            self.will_close, self.chunked, self.length = True, False, 0
            for name in ("Content-Length", "Transfer-Encoding"):
                del self.headers[name]


class _HttpConnection(HTTPConnection):
    response_class = _Response


class _HttpsConnection(HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class PatientAdapter(HTTPAdapter):
    """The adapter of requests, with connections that measure the time. Those through a SOCKS proxy do not measure."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if type(manager) is urllib3.ProxyManager:
            manager.pool_classes_by_scheme = _POOLS
        return manager
