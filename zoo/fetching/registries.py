"""Reads a registry from a path or a URL and checks signature, expiry and number. The cache keeps the last one read."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from zoo.basics.files import read_regular, written_file
from zoo.basics.urls import is_offline, local_path
from zoo.errors import BadRegistry, DownloadFailed
from zoo.fetching.freshness import check_expiry, check_number
from zoo.fetching.installed import with_installed
from zoo.fetching.places import cache_directory
from zoo.fetching.url_records import key_of
from zoo.fetching.wheels import with_wheels
from zoo.registry.registry import MOST_REGISTRY, PACKAGED, Registry
from zoo.registry.writing import placed, readable
from zoo.transport.small import read_bytes
from zoo.trust.signatures import check_registry_signature, read_twice

_log = logging.getLogger("zoo")


def read_registry(place: str | Path | None = None) -> Registry:
    """Return the registry at a path or URL.

        read_registry("https://host/zoo/registry.json").entry("albert_tiny").layers  # 4

    Without `place` it is the registry that ZOO_REGISTRY names; if that is not set, the packaged registry together with
    the models that were installed from bundles, or by pip as wheels. Raises BadRegistry, which lists its problems;
    Untrusted when no key of ZOO_TRUSTED_KEY has signed it; Stale when it has expired, or a later one of that URL and
    key was trusted before.
    """
    given = place or os.environ.get("ZOO_REGISTRY")
    source = str(given or PACKAGED)
    try:
        path = local_path(source)
    except ValueError as error:
        raise BadRegistry(
            f"{source!r} is neither a path nor a URL: {error}. Check --registry and ZOO_REGISTRY."
        ) from None
    with readable(source, " Check --registry and ZOO_REGISTRY."):
        registry = read_twice(lambda: _read_local(path, source) if path else _read_remote(source))
    return registry if given else with_wheels(with_installed(registry, read_local))


def read_local(path: Path) -> Registry:
    """Return the registry in a file, once it has passed all checks. Raises BadRegistry, Untrusted, Stale."""
    with readable(str(path)):
        return read_twice(lambda: _read_local(path, str(path)))


def _read_local(path: Path, source: str) -> Registry:
    """Return the registry in a file, once it has passed all checks."""
    content = read_regular(path, MOST_REGISTRY)
    if path != PACKAGED:  # the packaged registry was installed together with this code
        check_registry_signature(content, str(path))
    registry = placed(content, str(path.absolute()), source)
    check_expiry(registry.expires, source)
    return registry


def _read_remote(url: str) -> Registry:
    """Return the registry that a URL sends, or sent last, once it has passed all checks."""
    found: dict[bytes, Registry] = {}

    def check(content: bytes) -> None:
        key = check_registry_signature(content, url, signature_of(url, content))
        registry = placed(content, url, url)
        check_expiry(registry.expires, url)
        check_number(registry.number, url, key)
        found[content] = registry

    return found[read_remembered(url, check, MOST_REGISTRY)]


def read_remembered(url: str, check: Callable[[bytes], object], most: int) -> bytes:
    """Return the bytes at a URL, at most `most`; if the URL does not answer, the bytes that it sent last.

    `check` is called with the bytes and raises an error when they must not be used; then they are not remembered
    either. Raises DownloadFailed, and the errors of `check`.
    """
    copy = cache_directory() / f"registry-{key_of(url)}.json"
    try:
        content = read_bytes(url, most)
    except DownloadFailed as error:
        if not copy.is_file():
            raise
        if not is_offline():
            _log.warning("%s Using the registry that it sent last.", error)
        last = copy.read_bytes()
        check(last)
        return last
    check(content)
    if not copy.is_file() or copy.read_bytes() != content:
        with suppress(OSError), written_file(copy) as temporary:
            temporary.write_bytes(content)
        _forget_signatures(url, content)
    return content


def signature_of(url: str, content: bytes) -> Path:
    """Return the cache's file for the signature of `content`, which a URL sent.

    Its name is made of the content's digest, so that it never belongs to another version of the registry.
    """
    return cache_directory() / f"registry-{key_of(url)}.{hashlib.sha256(content).hexdigest()[:16]}.minisig"


def _forget_signatures(url: str, content: bytes) -> None:
    """Remove the signatures of all versions but `content`."""
    kept = signature_of(url, content)
    for path in kept.parent.glob(f"registry-{key_of(url)}.*.minisig"):
        if path != kept:
            with suppress(OSError):
                path.unlink()
