"""A small file as bytes: a registry, a signature, a listing. Of this machine or of a server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from zoo.basics.urls import local_path, shown
from zoo.errors import DownloadFailed
from zoo.transport.http import errors_become, requested
from zoo.transport.refusals import Refused, Slow

if TYPE_CHECKING:
    import requests

_MOST = 64 << 20  # bytes, if not told otherwise
_SECONDS = 300.0  # that it may take


def read_bytes(source: str, most: int | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a small file at a source, at most `most`, by default 64 MiB. Raises DownloadFailed.

    `headers` are those of `zoo.transport.sessions.session`.
    """
    content, most, began = bytearray(), _MOST if most is None else most, time.monotonic()
    try:
        with _connection(source, headers) as connection, requested(source, connection, decode=True) as answer:
            for chunk in answer.chunks() if answer else ():
                content += chunk
                if len(content) > most:
                    raise Refused(f"is longer than {most:,} bytes")
                if time.monotonic() - began > _SECONDS:
                    raise Slow(f"sent {len(content):,} bytes in {_SECONDS:g} seconds and had not finished")
    except Refused as refused:
        raise DownloadFailed(f"{shown(source)}: {refused}.") from None
    return bytes(content)


def _connection(
    source: str, headers: Mapping[str, str] | None
) -> AbstractContextManager[requests.Session] | nullcontext[None]:
    """Return what `requested` needs for a source: a session, or nothing for a local file."""
    with errors_become(Refused):
        if local_path(source) is not None:
            return nullcontext()
    from zoo.transport.sessions import session

    return session(headers)
