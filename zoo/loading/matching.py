"""Finds an encoder and the tokenizer with the same vocabulary, and compares them, without loading either."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from zoo.archive.card import EncoderCard, TokenizerCard
from zoo.archive.digests import sha256_of
from zoo.archive.kinds import KINDS
from zoo.basics.urls import local_path
from zoo.contract import CARD_FILE
from zoo.errors import BadArgument
from zoo.fetching.bundles import is_bundle, read_bundle
from zoo.fetching.registries import read_registry
from zoo.fetching.resolve import model_name
from zoo.loading.load import check_pair, find_model
from zoo.registry.registry import Registry

_MAX_LENGTH = 128
_SHORTEST = 3  # [CLS], one token, [SEP]


@dataclass(frozen=True)
class Pair:
    """The directories and cards of an encoder and of its tokenizer."""

    directory: Path
    card: EncoderCard
    tokenizer_directory: Path
    tokenizer_card: TokenizerCard

    def max_length(self, asked: int | None) -> int:
        """Return the length to which texts are cut: `asked`, or 128, or fewer if the model takes fewer."""
        limit = self.card.sizes.position_limit
        if asked is not None and not _SHORTEST <= asked <= limit:
            raise BadArgument(f"max_length={asked}: {self.card.name} takes {_SHORTEST} to {limit} tokens.")
        return asked or min(_MAX_LENGTH, limit)

    def digests(self) -> tuple[str, str]:
        """Return the `identity` of the encoder and of the tokenizer."""
        return identity(self.directory), identity(self.tokenizer_directory)


def find_pair(
    handle: str | Path, tokenizer: str | Path | None = None, registry: Registry | str | Path | None = None
) -> Pair:
    """Return an encoder and its tokenizer, fetched if necessary. Imports no TensorFlow.

        find_pair("albert_tiny").tokenizer_card.name  # "bert_tokenizer_chinese"

    The arguments are those of `zoo.TextEncoder`. Raises BadArgument, VocabularyMismatch and the errors of `resolve`.
    """
    directory, card = find_model(handle, registry=registry)
    if not isinstance(card, EncoderCard):
        raise BadArgument(f"{handle} is a {card.kind}: give the encoder first, its tokenizer as tokenizer=.")
    return Pair(directory, card, *find_tokenizer(card, handle, tokenizer, registry))


def identity(directory: Path) -> str:
    """Return a sha256 that identifies an unpacked archive.

    A directory of the cache is named after the sha256 of its archive, which is returned. For any other directory it is
    the sha256 of card.json, which holds the digest of every file.
    """
    name = directory.name
    return name if re.fullmatch("[0-9a-f]{64}", name) else sha256_of(directory / CARD_FILE)


def find_tokenizer(
    card: EncoderCard,
    handle: str | Path,
    tokenizer: str | Path | None = None,
    registry: Registry | str | Path | None = None,
) -> tuple[Path, TokenizerCard]:
    """Return directory and card of the tokenizer for an encoder, whose card is given and whose name was `handle`.

    The other arguments and the errors are those of `find_pair`.
    """
    if tokenizer is not None:
        directory, found = find_model(tokenizer, registry=registry)
    elif (model := model_name(handle)) is not None:
        known = registry if isinstance(registry, Registry) else read_registry(registry)
        directory, found = find_model(_named(known.tokenizer(model), card), registry=known)
    elif (path := local_path(os.fspath(handle))) is not None and is_bundle(path):
        directory, found = find_model(handle, name=_named(read_bundle(path).tokenizer(card.name), card))
    else:
        directory, found = find_model(_named(None, card))
    if not isinstance(found, TokenizerCard):
        raise BadArgument(f"tokenizer={found.name!r} is {KINDS[found.kind].with_article}.")
    check_pair(card, found)
    return directory, found


def _named(tokenizer: str | None, card: EncoderCard) -> str:
    if tokenizer is None:
        raise BadArgument(f"no tokenizer is known for {card.name}: give one as tokenizer=.")
    return tokenizer
