"""What both TextEncoders do with vectors: one text or many, other names, likeness, search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zoo.errors import BadArgument
from zoo.lite import TextEncoder as LiteEncoder
from zoo.text_batches import Array, batches_of_a_length
from zoo.text_encoder import TextEncoder
from zoo.vector_encoder import VectorEncoder, Vectors


class Letters(VectorEncoder):
    """Counts of the letters a, b and c; queries count their "a" for a prompt once more."""

    hidden_size = 3

    def preprocess(self, texts: Any) -> Any:
        return texts

    def embed(self, inputs: Any, batch_size: int = 32, advance: Callable[[int], object] = len) -> Vectors:
        return self._window(inputs, "", batch_size, advance)

    def _window(self, texts: Array, function: str, batch_size: int, advance: Callable[[int], object]) -> Vectors:
        rows = [[text.count(letter) for letter in "abc"] for text in texts]
        return np.array(rows, np.float32) + np.float32([function == "query", 0, 0])


encode = Letters()


def test_batches_of_equal_lengths_are_filled_up() -> None:
    lengths = np.random.default_rng(0).integers(2, 20, 300)
    batches = list(batches_of_a_length(lengths, 16, equal=True))
    assert {*np.concatenate(batches).tolist()} == {*range(300)}
    for batch in batches:
        assert len({*lengths[batch].tolist()}) == 1 and len(batch) >= 2 and lengths[batch].sum() % 8 == 0
        assert len({*batch.tolist()}) <= 16
    assert len(np.concatenate(batches)) < 300 + 18 * 8, "only the last batch of a length is filled up"
    of_texts = list(batches_of_a_length(lengths, 16, equal=True, of_texts=True))
    assert {len(batch) % 8 for batch in of_texts} == {0} and {*np.concatenate(of_texts).tolist()} == {*range(300)}
    assert not list(batches_of_a_length(lengths[:0], 16, equal=True))


def test_one_text_is_one_vector() -> None:
    np.testing.assert_array_equal(encode("aab"), [2, 1, 0])
    np.testing.assert_array_equal(encode(["aab"]), [[2, 1, 0]])
    np.testing.assert_allclose(np.linalg.norm(encode(["aab", "c", ""], normalize=True), axis=1), [1, 1, 0], rtol=1e-6)


def test_names_of_sentence_transformers() -> None:
    np.testing.assert_array_equal(encode.encode_query("b"), encode.query("b"))
    np.testing.assert_array_equal(encode.encode_query("b"), [1, 1, 0])
    np.testing.assert_array_equal(encode.encode_document(["b"]), encode.passage(["b"]))
    np.testing.assert_array_equal(encode.encode("b"), encode("b"))
    assert issubclass(TextEncoder, VectorEncoder) and issubclass(LiteEncoder, VectorEncoder)


def test_similarity_is_the_cosine() -> None:
    found = encode.similarity(["aa", "b"], ["a", "ab", "c"])
    np.testing.assert_allclose(found, [[1, 0.5**0.5, 0], [0, 0.5**0.5, 0]], atol=1e-6)
    np.testing.assert_allclose(encode.similarity(encode(["aa", "b"]), ["a", "ab", "c"]), found)


def test_search() -> None:
    corpus = ["c", "ab", "aab", "ab"]
    (hits,) = encode.search("b", corpus, k=3)  # with its prompt the query is (1, 1, 0)
    assert [hit.place for hit in hits] == [1, 3, 2] and hits[0].score == pytest.approx(1, abs=1e-6)
    many = encode.search(np.float32([[0, 0, 2]] * 5), encode(corpus), k=9)
    assert [[hit.place for hit in hits] for hits in many] == [[0, 1, 2, 3]] * 5
    assert encode.search(["a"], [], k=3) == [[]]


def test_a_search_holds_few_numbers_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, corpus = np.eye(3, dtype=np.float32), ["a", "b", "c"]
    whole = encode.search(queries, corpus)
    monkeypatch.setattr("zoo.vector_encoder._SEARCHED", 3)
    assert encode.search(queries, corpus) == whole and [hits[0].place for hits in whole] == [0, 1, 2]


def test_refusals() -> None:
    with pytest.raises(BadArgument, match="k=0: give a whole number of hits, at least 1"):
        encode.search("a", ["a"], k=0)
    with pytest.raises(BadArgument, match=r"vectors of shape \(2, 4\): those of this model are \(N, 3\)"):
        encode.similarity(np.zeros((2, 4), np.float32), ["a"])
