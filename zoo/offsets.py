"""Bytes of texts to characters of Python's strings; the pieces of texts with their places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from zoo.errors import BadArgument
from zoo.text_batches import Texts, checked_texts


class Piece(NamedTuple):
    """A piece of a text: its id, and where it lies. `text[piece.start:piece.limit]` is what it was made of."""

    id: int
    start: int
    limit: int


def character_offsets(texts: Iterable[str], offsets: Any) -> list[Any]:
    """Return byte offsets of texts as offsets in Python's strings, nested as they were given.

        ids, starts, limits = tokenizer.tokenize_with_offsets(texts)
        zoo.character_offsets(texts, limits)  # of "你好": [[1], [2]] in place of [[3], [6]]
        found = zoo.load("uer_ner_cluener")(texts)
        zoo.character_offsets(texts, found["start"])  # entities; answers of the task span too

    `offsets` is a tensor, ragged or not, an array or lists, with one entry for each text. A negative offset stays: it
    says that there is nothing. Raises BadArgument for an offset that no text of that many bytes has.
    """
    texts, rows = list(texts), _nested(offsets)
    if len(rows) != len(texts):
        raise BadArgument(f"{len(texts)} texts and {len(rows)} rows of offsets: give the offsets of these texts.")
    return [_of_text(text, row) for text, row in zip(texts, rows, strict=True)]


def pieces_of(tokenizer: Any, texts: Texts) -> list[list[Piece]]:
    """Return the pieces of each text, words not apart, with the places of their characters.

        for piece in zoo.pieces_of(zoo.load("bert_tokenizer_chinese"), ["Hello 你好"])[0]:
            print(piece.id, "Hello 你好"[piece.start : piece.limit])  # 8701 Hello, 872 你, 1962 好

    `tokenizer` is what `zoo.load` gives for a tokenizer or preprocess archive, or `model.tokenizer` of a text archive.
    [CLS] and [SEP] are not among the pieces. Raises BadArgument for what is no tokenizer, and for pairs.
    """
    if (tokenize := getattr(tokenizer, "tokenize_with_offsets", None)) is None:
        raise BadArgument(
            f"a {type(tokenizer).__name__} has no tokenize_with_offsets: give a tokenizer, or `.tokenizer` of a text "
            "archive."
        )
    rows = checked_texts(texts)
    if rows.ndim != 1:
        raise BadArgument("pairs have no common offsets: give the first texts, then the second ones.")
    import tensorflow as tf  # which the tokenizer has imported

    ids, starts, limits = (_flat(each) for each in tokenize(tf.constant(rows, tf.string)))
    starts, limits = character_offsets(rows, starts), character_offsets(rows, limits)
    return [[Piece(*each) for each in zip(*row, strict=True)] for row in zip(ids, starts, limits, strict=True)]


def _flat(ragged: Any) -> list[list[int]]:
    """Return (B, (words), (pieces)) as one list of numbers for each text."""
    return [[number for word in words for number in word] for words in ragged.to_list()]


def _nested(offsets: Any) -> list[Any]:
    if hasattr(offsets, "to_list"):  # a ragged tensor
        return list(offsets.to_list())
    if hasattr(offsets, "numpy"):
        offsets = offsets.numpy()
    return list(offsets.tolist() if isinstance(offsets, np.ndarray) else offsets)


def _of_text(text: str, offsets: Any) -> Any:
    content = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    begins = np.append(np.flatnonzero((content & 0xC0) != 0x80), len(content))  # byte at which each character begins

    def convert(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [convert(each) for each in value]
        if value > len(content):
            raise BadArgument(f"offset {value} in a text of {len(content)} bytes, {text!r:.60}: of another text?")
        return value if value < 0 else int(np.searchsorted(begins, value))

    return convert(offsets)
