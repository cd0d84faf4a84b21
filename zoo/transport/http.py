"""One request to one source, a server or a local file: the answer as it arrives, or the reason why there is none."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from zoo.basics.files import open_regular
from zoo.basics.urls import is_offline, local_path, shown
from zoo.errors import DownloadFailed
from zoo.transport.patience import PatientAdapter, TooSlow
from zoo.transport.refusals import Cut, OtherRange, Refused, Slow
from zoo.version import __version__

_CHUNK = 1 << 18  # bytes that are read at once
_PACKED_CHUNK = 1 << 14  # the same for an answer that is unpacked while it arrives: it may become 1,000 times longer
_TIMEOUT = (10.0, 30.0)  # seconds to connect, seconds without a byte
PAUSE = 0.3  # seconds before the second attempt, doubled for each further one
_SMALL = 64 << 20  # bytes that `read_bytes` reads, if not told otherwise
_SMALL_SECONDS = 300.0  # that `read_bytes` takes
_REDIRECTS = 10
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
    session: requests.Session,
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
    ranged = {"Range": f"bytes={start}-"} if start else {}
    with errors_become(Refused):
        response = session.get(source, headers={**(headers or {}), **ranged}, stream=True, timeout=_TIMEOUT)
    with response:
        asked_for_304 = headers and not start  # any other 304 is an error: there is no file to go with it
        is_same = asked_for_304 and response.status_code == requests.codes.not_modified
        yield None if is_same else _answer(response, start, decode)


def _answer(response: requests.Response, start: int, decode: bool) -> Answer:
    status, headers = response.status_code, response.headers
    length = headers.get("Content-Length", "")
    total = int(length) if _LENGTH.fullmatch(length) else None
    if status == requests.codes.partial_content:
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if found is None or int(found[1]) != start:
            raise OtherRange(f"sends {headers.get('Content-Range', 'no range')} when asked for bytes from {start} on")
        total = None if found[2] == "*" else int(found[2])
    elif status == requests.codes.requested_range_not_satisfiable and start:
        raise OtherRange(f"has only {start} bytes or fewer")
    elif status == requests.codes.ok:
        start = 0
    else:
        raise Refused(f"HTTP {status} {response.reason}")
    # Some servers label a .tar.gz as "Content-Encoding: gzip"; requests would unpack it, so the raw bytes are read.
    # read1 returns the bytes that have arrived without waiting for a full chunk, so that a slow server is noticed.
    read = partial(response.raw.read1, decode_content=decode)
    version = Version(headers.get("ETag", ""), headers.get("Last-Modified", ""))
    return Answer(start, total, version, read, _PACKED_CHUNK if decode else _CHUNK)


def read_bytes(source: str, most: int | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a small file at a source, at most `most`, by default 64 MiB. Raises DownloadFailed.

    `headers` are those of `session`.
    """
    content, most, began = bytearray(), _SMALL if most is None else most, time.monotonic()
    try:
        with session(headers) as connection, requested(source, connection, decode=True) as answer:
            for chunk in answer.chunks() if answer else ():
                content += chunk
                if len(content) > most:
                    raise Refused(f"is longer than {most:,} bytes")
                if time.monotonic() - began > _SMALL_SECONDS:
                    raise Slow(f"sent {len(content):,} bytes in {_SMALL_SECONDS:g} seconds and had not finished")
    except Refused as refused:
        raise DownloadFailed(f"{shown(source)}: {refused}.") from None
    return bytes(content)


# -- requests -----------------------------------------------------------------------------------------------------


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the URL that a redirect leads to. Raises Refused when the redirect gives up encryption."""
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https" and urlsplit(urljoin(resp.url, target)).scheme != "https":
            resp.close()
            raise Refused(f"not followed, it leads from https to unencrypted {urljoin(resp.url, target)}")
        return target


@contextmanager
def session(headers: Mapping[str, str] | None = None) -> Iterator[requests.Session]:
    """Yield a session that repeats a request after a failed connection or a busy server.

    `headers` go with every request; Authorization not with one that a redirect leads to another host.

    It uses the proxies that the environment names (https_proxy, no_proxy, …).
    """
    retry = urllib3.Retry(
        total=3,
        connect=1,
        read=False,  # `download` repeats these: it keeps the bytes that arrived, and may try another source
        backoff_factor=PAUSE,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET", "HEAD"),
        raise_on_status=False,
        respect_retry_after_header=False,  # it may say an hour; a person should decide to wait that long
    )
    with _Session() as made:
        made.headers.update({"User-Agent": f"bert-zoo/{__version__}", "Accept-Encoding": "identity", **(headers or {})})
        made.max_redirects = _REDIRECTS
        for scheme in ("http://", "https://"):
            made.mount(scheme, PatientAdapter(max_retries=retry))
        yield made


# -- errors -------------------------------------------------------------------------------------------------------


@contextmanager
def errors_become(kind: type[Refused]) -> Iterator[None]:
    """Translate requests, urllib3 and OS errors into `kind`. A read timeout becomes Slow, a broken connection Cut."""
    try:
        yield
    except (OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:  # requests' too
        causes = list(_causes(error))
        if slow := next((cause for cause in causes if isinstance(cause, TooSlow)), None):
            raise Slow(str(slow)) from None
        if any(isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in causes):
            raise Slow(f"no byte for {_TIMEOUT[1]:g} seconds") from None
        if any(isinstance(cause, urllib3.exceptions.ProtocolError) for cause in causes):
            kind = Cut
        # requests and urllib3 wrap an error several times; the innermost message is the one that a person understands.
        raise kind(f"{type(causes[-1]).__name__}: {causes[-1]}") from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the error that caused it, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
