"""The tokenizer.json of every built model whose tokenizer is BERT's: its card on the page tokenizes texts with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zoo.archive.card import AddedTokenRecord, Card, OnnxCard, TextCard, TokenizerCard, TokenizerFacts
from zoo.archive.saved_vocabulary import saved_vocabulary
from zoo.archive.tokenizer_json import content_of, file_of
from zoo.archive.unpack import packed_file
from zoo.contract import TOKENIZER_FILE
from zoo.errors import BadArchive
from zoo.site.dist import CheckedArchive, Dist

FOLDER = "tokenizers"
CHARACTERS_FILE = Path(__file__).parent / "characters.json"
_GRAPH_FILE = "saved_model.pb"
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class PageFile:
    """A file beside the page: its path from there, its sha256 and size."""

    file: str
    sha256: str
    size: int


@dataclass(frozen=True)
class _Rules:
    """What `content_of` reads of a card."""

    lower_case: bool
    strip_accents: bool
    tokenize_chinese_chars: bool
    special_tokens: Mapping[str, str]


def tokenizer_files(dist: Dist) -> tuple[Mapping[str, PageFile], Mapping[str, bytes]]:
    """Return the tokenizer.json of each built model that has one, and the content of each of these files.

    Models with the same tokenizer share a file, whose name is its sha256: a text archive and its conversion too, whose
    limit the page knows from its card. A model with a SentencePiece model has none, nor has an encoder: the page shows
    that of its tokenizer.
    """
    of_models: dict[str, PageFile] = {}
    contents: dict[str, bytes] = {}
    for name, built in dist.built.items():
        content = _content(dist.folder / built.file, built)
        if content is not None:
            sha256 = hashlib.sha256(content).hexdigest()
            file = PageFile(f"{FOLDER}/{sha256}.json", sha256, len(content))
            of_models[name], contents[file.file] = file, content
    return of_models, contents


def _content(archive: Path, built: CheckedArchive) -> bytes | None:
    card: Card = built.card
    if isinstance(card, OnnxCard):
        file = packed_file(archive, TOKENIZER_FILE, _MOST_BYTES)
        try:
            return None if file is None else without_limit(file)
        except (ValueError, TypeError):
            raise BadArchive(f"{archive}: {TOKENIZER_FILE} is no JSON object. Build the archive again.") from None
    facts = card.tokenizer if isinstance(card, TextCard) else card if isinstance(card, TokenizerCard) else None
    if facts is None or facts.sentencepiece is not None or card.vocabulary_sha256 is None:
        return None
    graph = packed_file(archive, _GRAPH_FILE, _MOST_BYTES)
    entries = saved_vocabulary(graph, card.vocabulary_sha256) if graph else None
    return None if entries is None else tokenizer_json(entries, facts)


def without_limit(file: bytes) -> bytes:
    """Return a tokenizer.json that does not cut."""
    return file_of({**json.loads(file), "truncation": None})


def tokenizer_json(entries: Sequence[str], facts: TokenizerFacts) -> bytes:
    """Return the tokenizer.json of a vocabulary and of the rules on a card."""
    spellings = {name: entries[number] for name, number in facts.special_tokens.items()}
    rules = _Rules(facts.lower_case, facts.strip_accents, facts.tokenize_chinese_chars, spellings)
    content = content_of(entries, rules, _whole(facts, spellings), _characters().__getitem__)
    return file_of(content)


def _whole(facts: TokenizerFacts, spellings: Mapping[str, str]) -> list[AddedTokenRecord]:
    """Return the tokens that texts hold as a whole: added ones, and where the card says so special ones too."""
    added = {token.content for token in facts.added_tokens}
    special = [
        AddedTokenRecord(content=spelling, id=facts.special_tokens[name], special=True, in_vocabulary=True)
        for name, spelling in spellings.items()
        if facts.special_tokens_in_text and spelling not in added
    ]
    return [*facts.added_tokens, *special]


@cache
def _characters() -> Any:
    return json.loads(CHARACTERS_FILE.read_text(encoding="utf-8"))
