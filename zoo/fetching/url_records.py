"""Which archive each URL gave last, and which version of it the server named: kept in the cache."""

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

_HEADER = re.compile(r"([!-~\x80-\xff][\t -~\x80-\xff]*)?")  # what a request may send back

_log = logging.getLogger("zoo")


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
    return root / f"url-{key_of(url)}.json"


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


def key_of(url: str) -> str:
    """Return what files of the cache that belong to a URL have in their names."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]
