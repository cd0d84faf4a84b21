"""Records in the cache: which archive a URL sent last, and which version of it the server named."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.archive.card import to_json
from zoo.basics.files import written_file
from zoo.basics.urls import shown
from zoo.fetching.cache import damage
from zoo.transport.http import Version

_HEADER = re.compile(r"([!-~\x80-\xff][\t -~\x80-\xff]*)?")  # a value that is allowed in a request's header

_log = logging.getLogger("zoo")


class Given(BaseModel):
    """The archive that a URL sent: its sha256, which names its directory, and the server's names for this version."""

    model_config = ConfigDict(frozen=True)

    url: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")  # it becomes a path
    etag: str
    modified: str

    @property
    def version(self) -> Version:
        """The version that the archive had, to ask the server whether it has another one now."""
        return Version(self.etag, self.modified)


def record_of(url: str, root: Path) -> Path:
    """Return the path of a URL's record in a cache directory, whether there is one or not."""
    return root / f"url-{key_of(url)}.json"


def given(record: Path, thorough: bool) -> Given | None:
    """Return a record; None when it is missing or damaged, or when the archive that it names is not whole."""
    try:
        last = Given.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None
    if not all(_HEADER.fullmatch(text) for text in (last.etag, last.modified)):
        return None  # no server can have sent these
    return last if damage(record.with_name(last.sha256), thorough) is None else None


def remember(record: Path, url: str, sha256: str, version: Version) -> None:
    """Write a record, without the secrets of the URL."""
    last = Given(url=shown(url), sha256=sha256, etag=version.etag, modified=version.modified)
    with written_file(record) as temporary:
        temporary.write_text(to_json(last.model_dump()), encoding="utf-8")


def key_of(url: str) -> str:
    """Return 32 characters, made of a URL, for the names of the cache's files that belong to this URL."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]
