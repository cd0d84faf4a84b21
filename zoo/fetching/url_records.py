"""What URLs gave last, kept in the cache for when they cannot be asked or have nothing else to give."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.archive.card import to_json
from zoo.basics.files import written_file
from zoo.errors import DownloadFailed
from zoo.fetching.cache import cache_directory, damage
from zoo.transport.http import Version, is_offline, read_bytes, shown

_HEADER = re.compile(r"([!-~\x80-\xff][\t -~\x80-\xff]*)?")  # what a request may send back

_log = logging.getLogger("zoo")


def read_remembered(url: str, check: Callable[[bytes], object], most: int) -> bytes:
    """Return what a file of at most `most` bytes at a URL holds, or what it held last when it cannot be asked.

    Remembered and returned is only what `check` raises nothing about. Raises DownloadFailed, and what `check` raises.
    """
    copy = cache_directory() / f"registry-{_key(url)}.json"
    try:
        content = read_bytes(url, most)
    except DownloadFailed as error:
        if not copy.is_file():
            raise
        if not is_offline():
            _log.warning("%s Using what it said last.", error)
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
    """Return where the signature of what a URL gave is kept. It goes by the content, so that the two always fit."""
    return cache_directory() / f"registry-{_key(url)}.{hashlib.sha256(content).hexdigest()[:16]}.minisig"


def _forget_signatures(url: str, content: bytes) -> None:
    """Remove the signatures of what is remembered no longer."""
    kept = signature_of(url, content)
    for path in kept.parent.glob(f"registry-{_key(url)}.*.minisig"):
        if path != kept:
            with suppress(OSError):
                path.unlink()


class Given(BaseModel):
    """The archive that a URL gave: its digest, which names its directory, and what the server calls this version."""

    model_config = ConfigDict(frozen=True)

    url: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")  # it becomes a path
    etag: str
    modified: str

    @property
    def version(self) -> Version:
        """What to compare with what the server has."""
        return Version(self.etag, self.modified)


def record_of(url: str, root: Path) -> Path:
    """Return where the record of a URL lies in a cache directory, whether there is one or not."""
    return root / f"url-{_key(url)}.json"


def given(record: Path, thorough: bool) -> Given | None:
    """Return what a record says, None when there is none or the directory it names is not whole."""
    try:
        last = Given.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None
    if not all(_HEADER.fullmatch(text) for text in (last.etag, last.modified)):
        return None  # no server has sent that
    return last if damage(record.with_name(last.sha256), thorough) is None else None


def remember(record: Path, url: str, sha256: str, version: Version) -> None:
    """Write a record, the secrets of the URL left out."""
    last = Given(url=shown(url), sha256=sha256, etag=version.etag, modified=version.modified)
    with written_file(record) as temporary:
        temporary.write_text(to_json(last.model_dump()), encoding="utf-8")


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:32]
