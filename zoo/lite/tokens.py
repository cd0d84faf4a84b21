"""Texts and pairs to ids, as the text archive packs them: prompt, lower case, tokenizer.json, the limit.

B texts of a batch, T tokens. The archive's rule cuts, not that of tokenizer.json, which has none for every archive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from zoo.contract import INPUT_KEYS, TOKENIZER_FILE
from zoo.errors import BadArchive, BadArgument, first_line
from zoo.lite.converted import TokenRules
from zoo.text_batches import Array

# Truncation -> how many tokens of the first text of a pair stay, of two lengths and the room for both. The second text
# gets the room that is left. tokenizer/packing.py has the same in TensorFlow.
_KEPT: Mapping[str, Callable[[int, int, int], int]] = {
    "round_robin": lambda first, second, room: min(first, max(room - room // 2, room - second)),
    "longest_first": lambda first, second, room: min(
        first, room - min(second, room // 2) if first > second else room // 2
    ),
    "only_second": lambda first, second, room: min(first, room),
}


@dataclass(frozen=True)
class Row:
    """The ids of a text or a pair, special tokens included, and its types: 0, or 1 in the second text of a pair."""

    ids: list[int]
    types: list[int]


class Tokens:
    """tokenizer.json, with the limit of the archive."""

    def __init__(self, rules: TokenRules) -> None:
        self._rules = rules
        try:
            self._tokenizer = Tokenizer.from_file(str(rules.directory / TOKENIZER_FILE))
        except Exception as error:  # the library raises Exception itself
            raise BadArchive(f"{rules.directory / TOKENIZER_FILE} cannot be read: {first_line(error)}.") from error
        if rules.truncation not in _KEPT:
            raise BadArchive(f"{rules.name} cuts pairs by {rules.truncation!r}, unknown here: update bert-zoo.")
        self._tokenizer.no_truncation()
        self._frames = self._tokenizer.encode(""), self._tokenizer.encode("", "")

    def rows(self, texts: Array, prompt: str) -> list[Row]:
        """Return one row for each of texts (N,) or pairs (N, 2), of at most `max_length` tokens.

        `prompt` is put before each text, or before the first of a pair. Raises BadArgument for a text that is none, as
        half of a surrogate pair is.
        """
        width = 1 if texts.ndim == 1 else 2
        flat = [prompt * (place % width == 0) + text for place, text in enumerate(texts.reshape(-1))]
        if self._rules.lower_case:
            flat = [text.replace("\0", "").lower() for text in flat]
        try:
            ids = [each.ids for each in self._tokenizer.encode_batch(flat, add_special_tokens=False)]
        except TypeError:
            odd = next(place for place, text in enumerate(flat) if not _is_unicode(text))
            raise BadArgument(
                f"text {odd // width} holds half of a surrogate pair, which is no text: remove it."
            ) from None
        return [self._row(ids[place : place + width]) for place in range(0, len(ids), width)]

    def _row(self, texts: Sequence[list[int]]) -> Row:
        """Wrap ids as tokenizer.json does: [CLS] a [SEP], or [CLS] a [SEP] b [SEP]."""
        frame = self._frames[len(texts) - 1]
        room = self._rules.max_length - len(frame.ids)
        (begin, *between), ends = frame.ids, frame.type_ids[-1]
        if len(texts) == 1:
            ids = [begin, *texts[0][:room], *between]
            return Row(ids, [0] * len(ids))
        first, second = texts
        kept = _KEPT[self._rules.truncation](len(first), len(second), room)
        head = [begin, *first[:kept], *between[:-1]]
        tail = [*second[: room - kept], between[-1]]
        return Row([*head, *tail], [0] * len(head) + [ends] * len(tail))


def batch_of(rows: Sequence[Row]) -> dict[str, Array]:
    """Return the three inputs of a model, int32 (B, T), T the longest row."""
    ids, mask, types = np.zeros((3, len(rows), max(len(row.ids) for row in rows)), np.int32)
    for place, row in enumerate(rows):
        length = len(row.ids)
        ids[place, :length], mask[place, :length], types[place, :length] = row.ids, 1, row.types
    return dict(zip(INPUT_KEYS, (ids, mask, types), strict=True))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)
