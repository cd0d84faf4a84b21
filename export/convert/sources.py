"""What is converted: an encoder's archive and, unless nobody wants it, the tokenizer of its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zoo.archive.card import EncoderCard, TokenizerCard
from zoo.errors import BadArgument
from zoo.loading.load import find_model
from zoo.loading.matching import find_tokenizer, identity
from zoo.registry.registry import Registry

NO_TOKENIZER = "none"


@dataclass(frozen=True)
class Source:
    """Directories and cards of an encoder and of its tokenizer, None without one."""

    directory: Path
    card: EncoderCard
    tokenizer_directory: Path | None = None
    tokenizer_card: TokenizerCard | None = None

    @property
    def sha256(self) -> str:
        """Digest of the archive; of a directory that lies outside of the cache, that of its card."""
        return identity(self.directory)


def find_source(
    handle: str | Path, tokenizer: str | None = None, registry: Registry | str | Path | None = None
) -> Source:
    """Return an encoder and its tokenizer, fetched if need be. Imports no TensorFlow.

        find_source("albert_tiny").tokenizer_card.lower_case  # True

    A handle is a name, an archive or a directory. The tokenizer is the one the registry names, another that is given,
    or "none". Raises BadArgument for anything but an encoder and where no tokenizer is known, and what `resolve` does.
    """
    directory, card = find_model(handle, registry=registry)
    if not isinstance(card, EncoderCard):
        raise BadArgument(
            f"{handle} is a {card.kind}; `zoo convert` takes an encoder and writes the tokenizer that goes with it. "
            "`zoo list` shows which is which."
        )
    if tokenizer == NO_TOKENIZER:
        return Source(directory, card)
    try:
        return Source(directory, card, *find_tokenizer(card, handle, tokenizer, registry))
    except BadArgument as error:
        raise BadArgument(f"{error} On the command line: --tokenizer NAME_OR_PATH, or --tokenizer none.") from None
