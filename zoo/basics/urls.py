"""URLs and paths: tells one from the other, forbids the network, hides the secrets in URLs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from zoo.errors import BadArgument

HUB_SCHEMES = ("hf://", "ms://")
ID_SCHEMES = ("zoo://", *HUB_SCHEMES)  # which no URL or path begins with
_FORBIDDEN = ContextVar("_FORBIDDEN", default=False)


def local_path(source: str) -> Path | None:
    """Return the path of a file URL or of a plain path; None for an http(s) URL, and for zoo:// and the hubs' ids.

    Raises BadArgument for what begins like a URL and is none.
    """
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise BadArgument(f"{shown(source)} is no URL: {error}.") from None
    if parts.scheme in ("http", "https") or source.startswith(ID_SCHEMES):
        return None
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(source)


def is_offline() -> bool:
    """Return whether no socket may be opened: with ZOO_OFFLINE=1 in the environment, or inside `offline()`."""
    return _FORBIDDEN.get() or os.environ.get("ZOO_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


@contextmanager
def offline() -> Iterator[None]:
    """Forbid sockets in the block, whatever the environment says. Other threads are not affected."""
    token = _FORBIDDEN.set(True)
    try:
        yield
    finally:
        _FORBIDDEN.reset(token)


def shown(text: str) -> str:
    """Return a URL, or a message with URLs, without passwords and queries (?signature=…), which may be secret."""
    return re.sub(r"\?[^\s'\")]+", "?…", re.sub(r"://[^/@\s]+@", "://", text))


def with_mirror(sources: Sequence[str]) -> list[str]:
    """Return the sources, and before them the same file name below ZOO_MIRROR, which is a base URL or a directory.

    Use it only for a file whose digest is known: a mirror may have another file of that name.
    """
    base = os.environ.get("ZOO_MIRROR", "").strip()
    return [*([f"{base.rstrip('/')}/{file_name(sources[0])}"] if base and sources else []), *sources]


def file_name(source: str) -> str:
    """Return the last part of a source's path: "https://host/a/bert.tar.gz?x=1" -> "bert.tar.gz"."""
    return urlsplit(source).path.rpartition("/")[2] or "archive.tar.gz"
