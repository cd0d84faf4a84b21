"""One source asked once: what a server (or a local file) begins to send, and its refusals in words. Writes nothing."""

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
from zoo.version import __version__

_CHUNK = 1 << 18
_PACKED_CHUNK = 1 << 14  # of what is unpacked on the way: it may become a thousand times as much
_TIMEOUT = (10.0, 30.0)  # seconds to connect, seconds without a byte
PAUSE = 0.3  # seconds before the second attempt, doubled for each further one
_SMALL = 64 << 20  # bytes of what is read at once
_SMALL_SECONDS = 300.0  # for all of it
_REDIRECTS = 10
_OFFLINE = "not asked, ZOO_OFFLINE is set"
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


class Refused(Exception):
    """What a source said in place of the file, fit to be printed: no secrets, nothing that steers a terminal."""

    def __init__(self, said: str) -> None:
        super().__init__("".join(character for character in shown(said) if character.isprintable())[:500])


class Cut(Refused):
    """It broke off or never began: worth another attempt."""


class Slow(Cut):
    """It let us wait: another mirror may be quicker."""


class OtherRange(Refused):
    """It does not go on where we stopped: the file has to be asked for from its beginning."""


@dataclass(frozen=True)
class Version:
    """What a server calls the bytes it sends; empty where it does not say."""

    etag: str = ""
    modified: str = ""

    def __bool__(self) -> bool:
        return bool(self.etag or self.modified)

    @property
    def strong(self) -> bool:
        """True when equal tags mean equal bytes, which RFC 9110 asks for before parts are put together."""
        return self.etag.startswith('"')


@dataclass(frozen=True)
class Answer:
    """Bytes from `start` on, up to `total` where the source says so."""

    start: int
    total: int | None
    version: Version
    read: Callable[[int], bytes | None]
    chunk: int = _CHUNK

    def chunks(self) -> Iterator[bytes]:
        """Yield what arrives as it arrives. Raises Cut, or Slow after seconds without a byte."""
        while True:
            with told(Cut):
                piece = self.read(self.chunk)
            if not piece:
                return
            yield piece


@contextmanager
def asked(
    source: str,
    session: requests.Session,
    headers: Mapping[str, str] | None = None,
    start: int = 0,
    decode: bool = False,
) -> Iterator[Answer | None]:
    """Yield the answer of an http(s) URL, file URL or path; None when the server says that nothing has changed.

    `start` is where to begin; an answer that begins at 0 all the same is given as it is. Raises Refused.
    """
    with told(Refused):
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
    with told(Refused):
        response = session.get(source, headers={**(headers or {}), **ranged}, stream=True, timeout=_TIMEOUT)
    with response:
        yield None if response.status_code == requests.codes.not_modified else _answer(response, start, decode)


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
        raise OtherRange(f"has nothing after {start} bytes")
    elif status == requests.codes.ok:
        start = 0
    else:
        raise Refused(f"HTTP {status} {response.reason}")
    # Raw bytes: servers that label .tar.gz as "Content-Encoding: gzip" would have it unpacked on the way.
    # read1 gives what has arrived, so that a trickle is seen as one.
    read = partial(response.raw.read1, decode_content=decode)
    version = Version(headers.get("ETag", ""), headers.get("Last-Modified", ""))
    return Answer(start, total, version, read, _PACKED_CHUNK if decode else _CHUNK)


def read_bytes(source: str, most: int | None = None) -> bytes:
    """Return what one small source of at most `most` bytes holds. Raises DownloadFailed."""
    content, most, began = bytearray(), _SMALL if most is None else most, time.monotonic()
    try:
        with session() as http, asked(source, http, decode=True) as answer:
            for chunk in answer.chunks() if answer else ():
                content += chunk
                if len(content) > most:
                    raise Refused(f"is longer than {most:,} bytes")
                if time.monotonic() - began > _SMALL_SECONDS:
                    raise Slow(f"sent {len(content):,} bytes in {_SMALL_SECONDS:g} seconds and was not done")
    except Refused as refused:
        raise DownloadFailed(f"{shown(source)}: {refused}.") from None
    return bytes(content)


# -- requests -----------------------------------------------------------------------------------------------------


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https" and urlsplit(urljoin(resp.url, target)).scheme != "https":
            resp.close()
            raise Refused(f"not followed, it leads from https to unencrypted {urljoin(resp.url, target)}")
        return target


@contextmanager
def session() -> Iterator[requests.Session]:
    """Yield a session that asks again after a failed connection or a busy server; proxies as the environment says."""
    retry = urllib3.Retry(
        total=3,
        connect=1,
        read=False,  # ours to repeat: what has arrived is kept, and another mirror may be quicker
        backoff_factor=PAUSE,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET", "HEAD"),
        raise_on_status=False,
        respect_retry_after_header=False,  # an hour's wait is for a person to decide
    )
    with _Session() as made:
        made.headers.update({"User-Agent": f"bert-zoo/{__version__}", "Accept-Encoding": "identity"})
        made.max_redirects = _REDIRECTS
        for scheme in ("http://", "https://"):
            made.mount(scheme, PatientAdapter(max_retries=retry))
        yield made


# -- words --------------------------------------------------------------------------------------------------------


@contextmanager
def told(kind: type[Refused]) -> Iterator[None]:
    """Turn every way a source can fail into `kind`, or into what is known better."""
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
        # The message a person understands is at the bottom of requests' and urllib3's wrappings.
        raise kind(f"{type(causes[-1]).__name__}: {causes[-1]}") from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
