"""One request to one source, a server or a local file: the answer as it arrives, or the reason why there is none."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from zoo.basics.files import open_regular
from zoo.basics.urls import is_offline, local_path
from zoo.errors import first_line
from zoo.transport.refusals import Cut, OtherRange, Refused, Slow, TooSlow

if TYPE_CHECKING:
    import requests

_CHUNK = 1 << 18  # bytes that are read at once
_PACKED_CHUNK = 1 << 14  # the same for an answer that is unpacked while it arrives: it may become 1,000 times longer
_TIMEOUT = (10.0, 30.0)  # seconds to connect, seconds without a byte
PAUSE = 0.3  # seconds before the second attempt, doubled for each further one
_OFFLINE = "not asked, ZOO_OFFLINE is set"
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True)
class Version:
    """A server's names for the bytes it sends: the headers ETag, as '"a1b2"', and Last-Modified; '' if missing."""

    etag: str = ""
    modified: str = ""

    def __bool__(self) -> bool:
        return bool(self.etag or self.modified)

    @property
    def strong(self) -> bool:
        """True when equal ETags mean equal bytes. RFC 9110 demands that before parts of a file are put together."""
        return self.etag.startswith('"')


@dataclass(frozen=True)
class Answer:
    """The bytes of a file from number `start` on. The whole file has `total` bytes, None if the source does not say."""

    start: int
    total: int | None
    version: Version
    read: Callable[[int], bytes | None]
    chunk: int = _CHUNK

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive. Raises Cut, or Slow after some seconds without a byte."""
        while True:
            with errors_become(Cut):
                piece = self.read(self.chunk)
            if not piece:
                return
            yield piece


@contextmanager
def requested(
    source: str,
    session: requests.Session | None,
    headers: Mapping[str, str] | None = None,
    start: int = 0,
    decode: bool = False,
) -> Iterator[Answer | None]:
    """Yield the answer of an http(s) URL, file URL or path; None when the server says 304, not modified.

    The answer begins at byte `start`, or at byte 0 when the server knows no ranges. With `decode`, a body that was
    compressed for the transfer is unpacked. Raises Refused.
    """
    with errors_become(Refused):
        path = local_path(source)
        file = open_regular(path) if path is not None else None
    if file is not None:
        with file:
            file.seek(start)
            yield Answer(start, None, Version(), file.read)
        return
    if is_offline():
        raise Refused(_OFFLINE)
    assert session is not None  # only a local file does without
    ranged = {"Range": f"bytes={start}-"} if start else {}
    with errors_become(Refused):
        response = session.get(source, headers={**(headers or {}), **ranged}, stream=True, timeout=_TIMEOUT)
    with response:
        asked_for_304 = headers and not start  # any other 304 is an error: there is no file to go with it
        is_same = asked_for_304 and response.status_code == HTTPStatus.NOT_MODIFIED
        yield None if is_same else _answer(response, start, decode)


def _answer(response: requests.Response, start: int, decode: bool) -> Answer:
    status, headers = response.status_code, response.headers
    length = headers.get("Content-Length", "")
    total = int(length) if _LENGTH.fullmatch(length) else None
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or int(found[1]) != start:
            raise OtherRange(f"sends {headers.get('Content-Range', 'no range')} when asked for bytes from {start} on")
        total = None if found[2] == "*" else int(found[2])
    elif status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        raise OtherRange(f"has only {start} bytes or fewer")
    elif status == HTTPStatus.OK:
        start = 0
    else:
        raise Refused(f"HTTP {status} {response.reason}")
    # Some servers label a .tar.gz as "Content-Encoding: gzip"; requests would unpack it, so the raw bytes are read.
    # read1 returns the bytes that have arrived without waiting for a full chunk, so that a slow server is noticed.
    read = partial(response.raw.read1, decode_content=decode)
    version = Version(headers.get("ETag", ""), headers.get("Last-Modified", ""))
    return Answer(start, total, version, read, _PACKED_CHUNK if decode else _CHUNK)


# -- errors -------------------------------------------------------------------------------------------------------


@contextmanager
def errors_become(kind: type[Refused]) -> Iterator[None]:
    """Translate requests, urllib3 and OS errors into `kind`. A read timeout becomes Slow, a broken connection Cut."""
    try:
        yield
    except Exception as error:
        from urllib3 import exceptions

        if not isinstance(error, (OSError, ValueError, exceptions.HTTPError, http.client.HTTPException)):
            raise  # those of requests are OSErrors
        causes = list(_causes(error))
        if slow := next((cause for cause in causes if isinstance(cause, TooSlow)), None):
            raise Slow(str(slow)) from None
        if any(isinstance(cause, exceptions.ReadTimeoutError) for cause in causes):
            raise Slow(f"no byte for {_TIMEOUT[1]:g} seconds") from None
        if any(isinstance(cause, exceptions.ProtocolError) for cause in causes):
            kind = Cut
        # requests and urllib3 wrap an error several times; the innermost message is the one that a person understands.
        # The name of a file that it may have is the source, which whoever catches this names.
        raise kind(getattr(causes[-1], "strerror", None) or first_line(causes[-1])) from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the error that caused it, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
