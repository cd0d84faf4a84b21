"""URLs and paths: which of both a text means, whether the network may be used, and URLs without their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_FORBIDDEN = ContextVar("_FORBIDDEN", default=False)


def local_path(source: str) -> Path | None:
    """Return the path that a file URL or a plain path means, None for an http(s) URL."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return None
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(source)


def is_offline() -> bool:
    """True when the environment says ZOO_OFFLINE=1, and inside of `offline()`: no socket is opened then."""
    return _FORBIDDEN.get() or os.environ.get("ZOO_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


@contextmanager
def offline() -> Iterator[None]:
    """Open no socket in the block, whatever the environment says; other threads go on as they were."""
    token = _FORBIDDEN.set(True)
    try:
        yield
    finally:
        _FORBIDDEN.reset(token)


def shown(text: str) -> str:
    """Return a URL, or a message with URLs, without what may be secret in them: queries (signatures) and passwords."""
    return re.sub(r"\?[^\s'\")]+", "?…", re.sub(r"://[^/@\s]+@", "://", text))


def with_mirror(sources: Sequence[str]) -> list[str]:
    """Return the sources, and before them the same file name below ZOO_MIRROR, which is a base URL or a directory.

    Use it only for a file whose digest is known: a mirror may have another file of that name.
    """
    base = os.environ.get("ZOO_MIRROR", "").strip()
    return [*([f"{base.rstrip('/')}/{file_name(sources[0])}"] if base and sources else []), *sources]


def file_name(source: str) -> str:
    """Return the last part of a source's path."""
    return urlsplit(source).path.rpartition("/")[2] or "archive.tar.gz"
