"""What a source sent when it was first used: the digest of every file, and the commit of a hub's revision.

Publishers rarely state digests. So the first download is recorded in the cache, beside the checkpoints, and every later
one has to be the same: a model that is built again, or a truncation of it, comes from the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.archive.card import to_json
from zoo.basics.files import cannot_write, written_file
from zoo.basics.locks import locked
from zoo.errors import DigestMismatch


class _Upstream(BaseModel):
    """The record of one source; `revision` is '' where the source has none, or the hub does not say its commit."""

    model_config = ConfigDict(frozen=True)

    source: str
    revision: str
    files: Mapping[str, str]


def known_revision(record: Path) -> str:
    """Return the commit from which a source's files were taken at first, '' if none is recorded."""
    known = _read(record)
    return known.revision if known else ""


def compared(record: Path, source: str, files: Mapping[str, str], revision: str) -> None:
    """Record files that were not seen before; raise DigestMismatch if one differs from what the source sent first."""
    with cannot_write(record), locked(record.with_name(f".{record.name}.lock")):
        known = _read(record) or _Upstream(source=source, revision=revision, files={})
        if wrong := [name for name in sorted(files) if known.files.get(name, files[name]) != files[name]]:
            name = wrong[0]
            raise DigestMismatch(
                f"{', '.join(wrong)} of {source} should be what was first used here, sha256 {known.files[name][:12]}…, "
                f"is {files[name][:12]}…: its publisher has changed it, or it is damaged. It was removed; run again. "
                f"If you trust the new file, remove {record} first."
            )
        if files.keys() - known.files.keys() or not record.exists():
            after = known.model_copy(update={"files": {**known.files, **files}})
            with written_file(record) as temporary:
                temporary.write_text(to_json(after.model_dump()), encoding="utf-8")


def _read(record: Path) -> _Upstream | None:
    try:
        return _Upstream.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None
