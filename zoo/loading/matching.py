"""Finds an encoder and the tokenizer with the same vocabulary, and compares them, without loading either."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.archive.card import Card, EncoderCard, ModelCard, TextCard, TokenizerCard
from zoo.archive.digests import sha256_of
from zoo.archive.kinds import KINDS
from zoo.basics.urls import local_path
from zoo.contract import CARD_FILE, VECTOR
from zoo.errors import BadArgument
from zoo.fetching.building import tokenizer_of_hub
from zoo.fetching.bundles import is_bundle, read_bundle
from zoo.fetching.hub_ids import hub_source
from zoo.fetching.places import model_name
from zoo.fetching.registries import read_registry
from zoo.loading.load import check_pair, find_model
from zoo.loading.pooling import AskedVectors, TextVectors, archive_vectors, text_vectors
from zoo.registry.registry import Registry


@dataclass(frozen=True)
class FoundModel:
    """The directory and the card of an archive with weights."""

    directory: Path
    card: ModelCard

    @property
    def name(self) -> str:
        """The name in the card."""
        return self.card.name

    @property
    def sha256(self) -> str:
        """The sha256 of the archive; of a directory outside of the cache, the sha256 of its card."""
        return _archive_sha256(self.directory)


@dataclass(frozen=True)
class FoundText(FoundModel):
    """The directory and the card of a text archive. Its tokenizer is inside."""

    card: TextCard
    tokenizer = None

    def text_vectors(self, asked: AskedVectors) -> TextVectors:
        """Return how texts become vectors. Raises BadArgument for settings that are not the archive's own."""
        return archive_vectors(asked, self.card)

    def width(self, how: TextVectors) -> int:
        """Return how many numbers a vector has."""
        dense = self.card.task.dense
        return dense[-1].outputs if dense else how.width(self.card.sizes.hidden_size)

    @property
    def prompts(self) -> Mapping[str, str]:
        """The model's prompts by their names."""
        return self.card.task.prompts

    def digests(self) -> tuple[str, None]:
        """Return the sha256 of the archive, and None for a tokenizer."""
        return self.sha256, None


@dataclass(frozen=True)
class FoundEncoder(FoundModel):
    """The directory and the card of an encoder."""

    card: EncoderCard


@dataclass(frozen=True)
class EncoderWithTokenizer(FoundEncoder):
    """Directories and cards of an encoder and of its tokenizer."""

    tokenizer_directory: Path
    tokenizer_card: TokenizerCard

    def text_vectors(self, asked: AskedVectors) -> TextVectors:
        """Return how texts become vectors: as asked for, else as the card says. Raises BadArgument."""
        return text_vectors(asked, self.card, self.tokenizer_card)

    def width(self, how: TextVectors) -> int:
        """Return how many numbers a vector has."""
        return how.width(self.card.sizes.hidden_size)

    @property
    def tokenizer(self) -> str:
        """The name of the tokenizer."""
        return self.tokenizer_card.name

    @property
    def prompts(self) -> Mapping[str, str]:
        """The model's prompts by their names."""
        return self.card.sentence.prompts if self.card.sentence else {}

    def digests(self) -> tuple[str, str]:
        """Return the sha256 of the encoder and of the tokenizer, both as `sha256` states it."""
        return self.sha256, _archive_sha256(self.tokenizer_directory)


def find_encoder(handle: str | Path, registry: Registry | str | Path | None = None) -> FoundEncoder:
    """Return an encoder, fetched if need be. Raises BadArgument for a tokenizer, and what `resolve` does."""
    return _encoder(handle, *find_model(handle, registry=registry))


def find_vectors(
    handle: str | Path, tokenizer: str | Path | None = None, registry: Registry | str | Path | None = None
) -> EncoderWithTokenizer | FoundText:
    """Return what makes vectors of texts: a text archive, or an encoder and its tokenizer. Imports no TensorFlow.

    The arguments are those of `zoo.TextEncoder`. Raises what `find_pair` does, and
    BadArgument for a tokenizer that is given with a text archive or for an archive of another task.
    """
    directory, card = find_model(handle, registry=registry)
    if not isinstance(card, TextCard):
        return _with_tokenizer(_encoder(handle, directory, card), handle, tokenizer, registry)
    if tokenizer is not None:
        raise BadArgument(f"{handle} is a text archive, which has its tokenizer inside: leave tokenizer= away.")
    if card.task.name != VECTOR:
        raise BadArgument(
            f"{handle} is a text archive of the task {card.task.name}, which gives no vectors: call it with texts, "
            f"`zoo.load({str(handle)!r})(…)`, or export its encoder: `zoo export … --kind encoder`."
        )
    return FoundText(directory, card)


def _encoder(handle: str | Path, directory: Path, card: Card) -> FoundEncoder:
    if isinstance(card, TextCard):
        raise BadArgument(
            f"{handle} is a text archive, which has its tokenizer inside: call it with texts, "
            f"`zoo.load({str(handle)!r})(['你好'])`. For vectors by other rules, export the encoder: "
            "`zoo export … --kind encoder`."
        )
    if (user := KINDS[card.kind].used_by) != "zoo.load":
        corpus = ", or `zoo embed` with `--runtime onnx`" if KINDS[card.kind].is_conversion else ""
        raise BadArgument(f"{handle} is {KINDS[card.kind].with_article} archive: call {user}({str(handle)!r}){corpus}.")
    if not isinstance(card, EncoderCard):
        raise BadArgument(f"{handle} is a {card.kind}: give the encoder first, its tokenizer as tokenizer=.")
    return FoundEncoder(directory, card)


def find_pair(
    handle: str | Path, tokenizer: str | Path | None = None, registry: Registry | str | Path | None = None
) -> EncoderWithTokenizer:
    """Return an encoder and its tokenizer, fetched if need be. Imports no TensorFlow.

        find_pair("albert_tiny").tokenizer_card.name  # "bert_tokenizer_chinese"

    The arguments are those of `zoo.TextEncoder`. Raises BadArgument, VocabularyMismatch and the errors of `resolve`.
    """
    return _with_tokenizer(find_encoder(handle, registry), handle, tokenizer, registry)


def _with_tokenizer(
    encoder: FoundEncoder, handle: str | Path, tokenizer: str | Path | None, registry: Registry | str | Path | None
) -> EncoderWithTokenizer:
    card = encoder.card
    if tokenizer is not None:
        directory, found = find_model(tokenizer, registry=registry)
    elif hub_source(handle) is not None:
        directory, found = find_model(tokenizer_of_hub(str(handle)) or _named(None, card))
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
    return EncoderWithTokenizer(encoder.directory, card, directory, found)


def _archive_sha256(directory: Path) -> str:
    """Return the sha256 of the archive that a directory was unpacked from: in the cache, the directory's name.

    Any other directory is identified by the sha256 of its card, since the card holds the sha256 of every file.
    """
    name = directory.name
    return name if re.fullmatch("[0-9a-f]{64}", name) else sha256_of(directory / CARD_FILE)


def _named(tokenizer: str | None, card: EncoderCard) -> str:
    if tokenizer is None:
        raise BadArgument(
            f"no tokenizer is known for {card.name}: give one as tokenizer=. A registry may name one; a file, a URL or "
            "a directory, also one in the current directory that has the name of a model, does not."
        )
    return tokenizer
