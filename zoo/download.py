"""HTTP (or a local path) to a file: sources in order, checked before it is moved. Nothing here knows about models."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import urllib3
from requests.adapters import HTTPAdapter

from zoo.archive import sha256_of
from zoo.card import FileDigest
from zoo.errors import DigestMismatch, DownloadFailed
from zoo.files import written_file
from zoo.progress import progress

_CHUNK = 1 << 18
_TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
_ATTEMPTS = 3  # per source, for answers that break off; urllib3 retries what fails before an answer
_PAUSE = 0.3  # seconds before the second attempt, doubled for each further one


def download(sources: Sequence[str], target: Path, expected: FileDigest | None = None) -> None:
    """Write the first source that delivers what is expected to `target`.

        download(["https://a/x.tar.gz", "https://b/x.tar.gz", "/mnt/x.tar.gz"], Path("x.tar.gz"), digest)

    Sources are http(s) or file URLs or plain paths, tried in order. The target appears complete and checked, or not
    at all. Without `expected` only the announced length is checked.

    Raises DownloadFailed, or DigestMismatch when every source delivered other bytes; both name all sources tried and
    what each said. Raises CannotWrite when the target cannot be written.
    """
    said: list[tuple[str, _Refused]] = []
    with written_file(target) as temporary, _session() as session:
        for source in sources:
            try:
                _transfer(source, temporary, session, expected)
                break
            except _Refused as refused:
                said.append((source, refused))
        else:
            raise _failure(target.name, said, expected)


def read_bytes(source: str) -> bytes:
    """Return what one small source holds. Raises DownloadFailed."""
    try:
        with _session() as session:
            return b"".join(_chunks(source, session, decode=True))
    except _Refused as refused:
        raise DownloadFailed(f"{source}: {refused}.") from None


def local_path(source: str) -> Path | None:
    """Return the path that a file URL or a plain path means, None for an http(s) URL."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return None
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(source)


def is_offline() -> bool:
    """True when the environment says ZOO_OFFLINE=1: no socket is opened then."""
    return os.environ.get("ZOO_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


# -- one source ---------------------------------------------------------------------------------------------------


class _Refused(Exception):
    """What one source said in place of the file."""


class _Cut(_Refused):
    """The answer began and broke off: worth another attempt."""


class _Mismatch(_Refused):
    """A complete answer with other bytes than promised."""


def _transfer(source: str, temporary: Path, session: requests.Session, expected: FileDigest | None) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            _receive(source, temporary, session, expected)
            break
        except _Cut:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE * 2**attempt)
    if expected is not None and (found := sha256_of(temporary)) != expected.sha256:
        size = f"{temporary.stat().st_size:,}".replace(",", " ")
        raise _Mismatch(f"is {found[:12]}… ({size} bytes)")


def _receive(source: str, temporary: Path, session: requests.Session, expected: FileDigest | None) -> None:
    """Write the source's bytes to `temporary` from its beginning. (Resuming would open it with "ab" and send Range.)"""
    size = expected.size if expected else None
    with (
        closing(_chunks(source, session)) as chunks,
        temporary.open("wb") as file,
        progress(f"fetching {source.rpartition('/')[2]}", size) as advance,
    ):
        for chunk in chunks:
            file.write(chunk)
            advance(len(chunk))
            if size is not None and file.tell() > size:
                raise _Mismatch(f"is longer than {size:,} bytes".replace(",", " "))


def _chunks(source: str, session: requests.Session, decode: bool = False) -> Generator[bytes, None, None]:
    """Yield the bytes of a source; every way this can fail is a _Refused."""
    begun = False
    try:
        if (path := local_path(source)) is not None:
            with path.open("rb") as file:
                yield from iter(partial(file.read, _CHUNK), b"")
            return
        if is_offline():
            raise _Refused("not asked, ZOO_OFFLINE is set")
        with session.get(source, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code != requests.codes.ok:
                raise _Refused(f"HTTP {response.status_code} {response.reason}")
            begun = True
            # Raw bytes: servers that label .tar.gz as "Content-Encoding: gzip" would have it unpacked on the way.
            # urllib3 compares the announced length.
            yield from response.raw.stream(_CHUNK, decode_content=decode)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise (_Cut if begun else _Refused)(_innermost(error)) from error


@contextmanager
def _session() -> Iterator[requests.Session]:
    retry = urllib3.Retry(
        total=3,
        backoff_factor=_PAUSE,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=("GET",),
        raise_on_status=False,
        respect_retry_after_header=False,  # an hour's wait is for a person to decide
    )
    with requests.Session() as session:
        session.headers.update({"User-Agent": _user_agent(), "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        yield session


def _user_agent() -> str:
    try:
        return f"bert-zoo/{version('bert-zoo')}"
    except PackageNotFoundError:  # run from a checkout
        return "bert-zoo"


# -- words --------------------------------------------------------------------------------------------------------


def _failure(name: str, said: list[tuple[str, _Refused]], expected: FileDigest | None) -> Exception:
    lines = "; ".join(f"{source}: {refused}" for source, refused in said) or "no source is known"
    if expected is None or not said or not all(isinstance(refused, _Mismatch) for _, refused in said):
        return DownloadFailed(f"{name} could not be fetched. Tried in order: {lines}.")
    found = f"{said[0][1]}, from {said[0][0]}" if len(said) == 1 else f"but from {lines}"
    return DigestMismatch(
        f"{name} should be sha256 {expected.sha256[:12]}…, {found}. "
        "The file was removed; run again or check the registry."
    )


def _innermost(error: BaseException) -> str:
    """The message a person understands is at the bottom of requests' and urllib3's wrappings."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}"
