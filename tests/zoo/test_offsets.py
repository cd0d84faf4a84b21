"""Places of pieces in Python's strings, against slices of the bytes themselves."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from tests.zoo.toyzoo import ToyZoo
from zoo.errors import BadArgument

TEXTS = ["你好", "a é 你\U0001f600好 w1", "", "\u0301x", "Ｗ１，好。"]


def by_bytes(text: str, offset: int) -> int:
    return len(text.encode()[:offset].decode())


def test_bytes_become_characters() -> None:
    offsets = [[len(text[:count].encode()) for count in range(len(text) + 1)] for text in TEXTS]
    expected = [[by_bytes(text, offset) for offset in row] for text, row in zip(TEXTS, offsets, strict=True)]
    assert expected[1][-1] == len(TEXTS[1]) < offsets[1][-1]
    assert zoo.character_offsets(TEXTS, offsets) == expected


def test_every_nesting() -> None:
    import tensorflow as tf

    text = "你好 a"
    assert zoo.character_offsets([text, "b"], tf.ragged.constant([[[0, 3], [7]], [[1]]])) == [[[0, 1], [3]], [[1]]]
    assert zoo.character_offsets([text], np.array([[3, -1]])) == [[1, -1]]
    assert zoo.character_offsets([text, text], tf.constant([6, 8])) == [2, 4]
    with pytest.raises(BadArgument, match="offset 9 in a text of 8 bytes, '你好 a': of another text"):
        zoo.character_offsets([text], [[9]])
    with pytest.raises(BadArgument, match="1 texts and 2 rows of offsets"):
        zoo.character_offsets([text], [[1], [2]])


def test_pieces(toy_zoo: ToyZoo) -> None:
    tokenizer = zoo.load(toy_zoo.unpacked("toy_tokenizer"))
    found = zoo.pieces_of(tokenizer, TEXTS)
    [[first, second], mixed, nothing, _, _] = found
    assert (first, second) == ((5, 0, 1), (6, 1, 2)) and nothing == []
    text = TEXTS[1]
    assert [text[piece.start : piece.limit] for piece in mixed][-1] == "w1"
    assert {text[piece.start : piece.limit] for piece in mixed} >= {"你", "好", "\U0001f600"}
    assert [piece.id for pieces in found for piece in pieces] == tokenizer.tokenize(TEXTS).flat_values.numpy().tolist()
    encode = zoo.TextEncoder(toy_zoo.unpacked(), toy_zoo.unpacked("toy_tokenizer"))
    assert encode.pieces(TEXTS) == found
    with pytest.raises(BadArgument, match="has no tokenize_with_offsets: give a tokenizer"):
        zoo.pieces_of(zoo.load(toy_zoo.unpacked()), TEXTS)
    with pytest.raises(BadArgument, match="pairs have no common offsets"):
        zoo.pieces_of(tokenizer, [("a", "b")])


def test_pieces_of_a_text_archive(text_zoo: ToyZoo) -> None:
    [[first, second]] = zoo.TextEncoder(text_zoo.unpacked("vectors")).pieces(["你好"])
    assert (first[1:], second[1:]) == ((0, 1), (1, 2))
