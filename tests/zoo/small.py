"""Makes small archives and zoos without a model in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.archive.card import FileDigest, GoldenText, Source, TokenizerCard, write_card
from zoo.archive.digests import file_digests
from zoo.archive.pack import pack
from zoo.fetching.resolve import resolve
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.registry import Registry
from zoo.registry.writing import update_registry


def make_tokenizer_card(directory: Path, name: str = "small", **changes: object) -> TokenizerCard:
    """Return a card for whatever files lie in `directory`."""
    facts = {
        "kind": "tokenizer",
        "name": name,
        "lower_case": True,
        "lower_case_reason": "given",
        "special_tokens": {"[UNK]": 1, "[CLS]": 2, "[SEP]": 3},
        "special_tokens_in_text": False,
        "vocab_size": 99,
        "vocabulary_sha256": "a" * 64,
        "source": Source(format="vocabulary", files={"vocab.txt": FileDigest(sha256="b" * 64, size=7)}),
        "needs": [],
        "ops": ["Add"],
        "versions": {"tensorflow": "2.21.0"},
        "files": file_digests(directory),
        "certificate": [GoldenText(text=["你好"], ids=[2, 7, 8, 3])],
    }
    return TokenizerCard.model_validate(facts | changes)


def built_archive(out: Path, name: str, content: bytes = b"graph") -> ArchiveRecord:
    """Pack an archive without a model in it into `out`."""
    directory = out / "built" / name
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(content + name.encode())
    write_card(make_tokenizer_card(directory, name), directory)
    digest = pack(directory, out / f"{name}.tar.gz")
    return ArchiveRecord(urls=[f"{name}.tar.gz"], sha256=digest.sha256, size=digest.size)


@dataclass(frozen=True)
class SmallZoo:
    """A registry with one built model, `small` (alias `old-small`), and one unbuilt, `later`."""

    registry: Path
    archive: Path
    digest: FileDigest


def make_zoo(directory: Path, out: Path, kind: str = "tokenizer") -> SmallZoo:
    archive = out / "small.tar.gz"
    digest = pack(directory, archive)
    record = ArchiveRecord(urls=["small.tar.gz"], sha256=digest.sha256, size=digest.size)
    entries = {
        "small": Entry(kind=kind, description="for tests", vocab_size=21128, aliases=["old-small"], archive=record),
        "later": Entry(kind="encoder", family="albert", layers=4, hidden_size=312, tokenizer="small"),
    }
    update_registry(out / "registry.json", entries)
    return SmallZoo(out / "registry.json", archive, digest)


def fetch(name: str, registry: Registry, **options: Any) -> Path:
    """Return the directory of a model of a registry."""
    return resolve(f"zoo://{name}", registry=registry, **options)


def tree(directory: Path) -> list[str]:
    """Return every name below a directory; of a cache the locks and the remembered registries are left out."""
    names = (path.relative_to(directory).as_posix() for path in directory.rglob("*"))
    return sorted(name for name in names if not (name.endswith(".lock") or name.startswith("registry-")))
