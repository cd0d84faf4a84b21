"""What every TextEncoder does with vectors of texts, whatever computes them: prompts, batches, likeness, search.

Imports no TensorFlow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.basics.progress import progress
from zoo.basics.side_by_side import side_by_side
from zoo.contract import ROOT
from zoo.errors import BadArgument
from zoo.text_batches import WINDOW, Array, Texts, checked_batch_size, checked_texts

Vectors = NDArray[np.float32]
MANY = 8  # batches: from so many on it pays to compute several at once
_MORE = 8  # windows at a time where only texts of one length share a batch, so that batches become full
_SEARCHED = 1 << 24  # numbers of similarities that are held at a time


class Hit(NamedTuple):
    """A text that a search found: its place in the corpus, and the cosine of its vector and the query's."""

    place: int
    score: float


class VectorEncoder(ABC):
    """Texts to vectors; a subclass says how a window of texts is computed."""

    hidden_size: int
    batch_invariant = False
    digests: tuple[str, str | None]  # sha256 of the model, and of its tokenizer if that is another file

    @abstractmethod
    def preprocess(self, texts: Any) -> Any:
        """Return what `embed` takes, of texts (N,) or pairs (N, 2), with the model's prompt."""

    @abstractmethod
    def embed(
        self, inputs: Any, batch_size: int = 32, advance: Callable[[int], object] = lambda count: None
    ) -> Vectors:
        """Return the vectors (N, H) of what `preprocess` gives. `advance` gets the numbers of texts that are done."""

    @abstractmethod
    def _window(self, texts: Array, function: str, batch_size: int, advance: Callable[[int], object]) -> Vectors:
        """Return the vectors (N, H) of texts (N,) or pairs (N, 2), with the prompt of `function`."""

    def __call__(
        self, texts: Texts | str, batch_size: int = 32, show_progress: bool = True, normalize: bool = False
    ) -> Vectors:
        """Return one vector for each text or pair, (N, H) float32, in their order; (H,) for a single text.

        Texts of similar length go through the model together, `batch_size` at a time. A bar shows on a terminal when it
        takes more than a second. With `normalize` the vectors get the length 1, if the model does not see to that.

        `encode` is another name of this. Raises BadArgument for anything that is not a text, a list of texts or of
        pairs, and for a batch of less than one text.
        """
        return self._vectors(texts, ROOT, batch_size, show_progress, normalize)

    def query(
        self, texts: Texts | str, batch_size: int = 32, show_progress: bool = True, normalize: bool = False
    ) -> Vectors:
        """Return vectors as a call does, with the model's prompt for queries before each text, if it has one.

        `encode_query` is another name of this.
        """
        return self._vectors(texts, "query", batch_size, show_progress, normalize)

    def passage(
        self, texts: Texts | str, batch_size: int = 32, show_progress: bool = True, normalize: bool = False
    ) -> Vectors:
        """Return vectors as a call does, with the model's prompt for passages before each text, if it has one.

        `encode_document` is another name of this.
        """
        return self._vectors(texts, "passage", batch_size, show_progress, normalize)

    encode, encode_query, encode_document = __call__, query, passage  # as in sentence-transformers

    def similarity(self, first: Texts | str | Vectors, second: Texts | str | Vectors) -> Vectors:
        """Return the cosines of two lots of texts, or of vectors (N, H), float32 (N, M).

        encode.similarity(["你好"], ["您好", "再见"])  # (1, 2)
        """
        return self._unit(first, ROOT) @ self._unit(second, ROOT).T

    def search(self, queries: Texts | str | Vectors, corpus: Texts | Vectors, k: int = 10) -> list[list[Hit]]:
        """Return for each query its `k` nearest of the corpus by cosine, the nearest first; equal ones in their order.

            vectors = encode.passage(corpus)
            [[best, *others]] = encode.search("好吗", vectors, k=3)
            corpus[best.place], best.score

        Texts get the model's prompts for queries and passages. Every vector of the corpus is compared with every query;
        for millions of texts take a vector database. Raises BadArgument for k below 1.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise BadArgument(f"k={k!r}: give a whole number of hits, at least 1.")
        asked, known = self._unit(queries, "query"), self._unit(corpus, "passage")
        rows = max(1, _SEARCHED // max(1, len(known)))
        return [
            hits for start in range(0, len(asked), rows) for hits in _nearest(asked[start : start + rows] @ known.T, k)
        ]

    def _computed(
        self,
        count: int,
        batches: Sequence[Array],
        compute: Callable[[Array], Vectors],
        at_a_time: int,
        advance: Callable[[int], object],
    ) -> Vectors:
        """Return the vectors of `count` texts. A batch is the places of its texts.

        Two threads that compute one batch wait for each other in every operation. With a batch each they wait less.
        """
        vectors = np.zeros((count, self.hidden_size), np.float32)

        def embed(chosen: Array) -> int:
            vectors[chosen] = compute(chosen)
            return len({*chosen.tolist()})

        for done in side_by_side(embed, batches[::-1], at_a_time):  # the longest first: threads end together
            advance(done)
        return vectors

    def _unit(self, given: Texts | str | Vectors, function: str) -> Vectors:
        """Return vectors (N, H) of the length 1, of texts or of vectors."""
        if isinstance(given, np.ndarray) and given.dtype.kind == "f":
            vectors = np.atleast_2d(np.asarray(given, np.float32))
            if vectors.ndim != 2 or vectors.shape[1] != self.hidden_size:
                raise BadArgument(f"vectors of shape {given.shape}: those of this model are (N, {self.hidden_size}).")
            return _of_length_one(vectors)
        return np.atleast_2d(self._vectors(given, function, 32, True, True))

    def _vectors(
        self, texts: Texts | str, function: str, batch_size: int, show_progress: bool, normalize: bool
    ) -> Vectors:
        single = isinstance(texts, str)
        rows, batch_size = checked_texts([texts] if single else texts), checked_batch_size(batch_size)
        vectors = np.zeros((len(rows), self.hidden_size), np.float32)
        with progress("encoding", len(rows), unit="texts", shown=show_progress) as advance:
            window = _MORE * WINDOW if self.batch_invariant else WINDOW
            for start in range(0, len(rows), window):
                chosen = slice(start, start + window)
                vectors[chosen] = self._window(rows[chosen], function, batch_size, advance)
        vectors = _of_length_one(vectors) if normalize else vectors
        return vectors[0] if single else vectors


def _of_length_one(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))


def _nearest(scores: Vectors, k: int) -> list[list[Hit]]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[Hit(int(place), float(row[place])) for place in places] for row, places in zip(scores, order, strict=True)]
