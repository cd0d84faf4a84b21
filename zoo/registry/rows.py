"""The registry row of an archive, filled from its card."""

from __future__ import annotations

from operator import attrgetter

from zoo.archive.card import Card, FileDigest
from zoo.archive.kinds import KINDS
from zoo.registry.entry import ArchiveRecord, Entry


def registry_row(card: Card, digest: FileDigest, tokenizer: str | None) -> Entry:
    """Return the row that an export writes of an archive; `tokenizer` is that of the same export, if it made one."""
    archive = ArchiveRecord(urls=[f"{card.name}.tar.gz"], sha256=digest.sha256, size=digest.size)
    kind = KINDS[card.kind]
    facts = {field: attrgetter(place)(card) for field, place in kind.facts.items()}
    facts |= {"tokenizer": tokenizer} if kind.tokenized_by else {}
    return Entry.model_validate({"kind": card.kind, **facts, "licence": card.licence, "archive": archive})
