"""Chooses the vocabulary of an encoder, checks that it fits the weights, and finds the padding id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.options import NO_VOCABULARY
from tokenizer.source import VocabularySource, read_vocabulary
from tokenizer.vocabulary import PAD, STANDARD, Vocabulary
from zoo.contract import HEADS, MASKED_POSITIONS
from zoo.errors import BadConfig, BadVocabulary, Unsupported

# Rows without a token are usual: someone made the number of rows a multiple of 8, 64 or 128, or kept room for more
# tokens. If more than this part of all rows is spare, the vocabulary is probably that of another model.
_MOST_SPARE = 0.2
NONE = "--vocab none"
_WITHOUT = f"export the encoder without string tokens: `{NONE}`"


@dataclass(frozen=True)
class ChosenVocabulary:
    """The vocabulary of an encoder, None without string tokens; the files it was read from; notes for the card."""

    vocabulary: Vocabulary | None
    files: tuple[Path, ...]
    padding_id: int
    notes: tuple[str, ...]


def choose_vocabulary(asked: Path | None, checkpoint: Path, config: Mapping[str, Any], rows: int) -> ChosenVocabulary:
    """Return the vocabulary of a checkpoint whose word table has `rows` rows.

        choose_vocabulary(None, Path("chinese_L-12_H-768_A-12"), {}, 21128).padding_id  # 0

    `asked` is the value of --vocab; without one the vocabulary beside the checkpoint is taken. `config` is the
    checkpoint's own. Raises BadVocabulary, BadConfig, Unsupported; each message names an option that works.
    """
    stated = _stated_padding(config, rows)
    if asked == NO_VOCABULARY:
        note = f"exported with {NONE}: the encoder takes ids alone, no string tokens"
        return ChosenVocabulary(None, (), stated or 0, (note,))
    try:
        found = read_vocabulary(asked or checkpoint)
    except (BadConfig, BadVocabulary, Unsupported) as error:
        raise type(error)(f"{error} Name the vocabulary file with --vocab FILE, or {_WITHOUT}.") from None
    vocabulary = found.vocabulary
    notes = [*vocabulary.notes, *_about_rows(found, rows)]
    padding = vocabulary.special_tokens[PAD]
    if padding:
        notes.append(f"the padding id is {padding}, that of {vocabulary.entries[padding]}")
    if stated not in (None, padding):
        notes.append(f"pad_token_id={stated} in the config does not count: {vocabulary.entries[padding]} is {padding}")
    return ChosenVocabulary(vocabulary, _files(found), padding, tuple(notes))


def check_heads(heads: tuple[str, ...], vocabulary: Vocabulary | None) -> None:
    """Raise BadVocabulary if a head predicts masked tokens, but the vocabulary has no token for a masked one."""
    rest = heads_without_mask(heads)
    if rest != heads and vocabulary is not None and not vocabulary.has_mask:
        masked = next(head for head in heads if head not in rest)
        raise BadVocabulary(
            f"The head {masked} predicts masked tokens, but the vocabulary has no [MASK] to mask them with. Export "
            f"without it: --heads {','.join(rest) or 'none'}."
        )


def heads_without_mask(heads: tuple[str, ...]) -> tuple[str, ...]:
    """Return the heads that need no [MASK] in their inputs."""
    return tuple(head for head in heads if MASKED_POSITIONS not in HEADS[head].inputs)


def _about_rows(found: VocabularySource, rows: int) -> list[str]:
    """Return a note about rows that no token has. Raises BadVocabulary for a vocabulary of another model."""
    vocabulary, place = found.vocabulary, found.files[0]
    spare = rows - len(vocabulary)
    if spare == 0:
        return []
    if spare < 0:
        beyond = [token.content for token in found.added_tokens if token.id >= rows]
        move = "Name the vocabulary that the model was trained with by --vocab FILE"
        if beyond and len(vocabulary) - len(beyond) <= rows:
            move = f"The tokens {', '.join(beyond[:5])} were added without rows. Leave them out by --vocab {place}"
        raise BadVocabulary(
            f"{place} has {len(vocabulary):,} entries, but the model has {rows:,} rows, its 'vocab_size'. {move}, or "
            f"{_WITHOUT}."
        )
    if spare > _MOST_SPARE * rows:
        raise BadVocabulary(
            f"{place} has {len(vocabulary):,} entries, but the model has {rows:,} rows, its 'vocab_size': {spare:,} "
            "rows would have no token, so this is hardly its vocabulary. Name the vocabulary that the model was "
            f"trained with by --vocab FILE, or {_WITHOUT}."
        )
    return [f"spare rows: the ids from {len(vocabulary):,} to {rows - 1:,} have weights, but no text reaches them"]


def _stated_padding(config: Mapping[str, Any], rows: int) -> int | None:
    """Return `pad_token_id` of a config, None if it states none."""
    stated = config.get("pad_token_id")
    if stated is None or stated == -1:
        return None
    if not isinstance(stated, int) or isinstance(stated, bool) or not 0 <= stated < rows:
        raise BadConfig(
            f"pad_token_id={stated!r:.40} in the config is no id: the model has {rows:,} rows. Correct the config."
        )
    return stated


def _files(found: VocabularySource) -> tuple[Path, ...]:
    """Return the files that decided the ids: the first, and the others if they add or rename tokens."""
    others = found.added_tokens or dict(found.vocabulary.spellings) != STANDARD
    return found.files if others else found.files[:1]
