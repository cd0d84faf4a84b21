"""Answers in a context and tokens for [MASK], in plain Python, from logits in float64. One text at a time.

It shares nothing with the exporter. Source: the question-answering and fill-mask pipelines of transformers, with
max_answer_len=30 and top_k=5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from export.oracle.wordpiece import ReferenceTokenizer

_MOST_TOKENS = 30
_SPANS = 12  # 2 * top_k + 10 in the pipeline
_TOKENS = 5


def answer_in_context(
    tokenizer: ReferenceTokenizer, context: str, logits: np.ndarray, first: int, count: int
) -> dict[str, np.ndarray]:
    """Return the answer to a question. The tokens of the context are rows `first` to `first + count - 1` of `logits`.

    Every pair of a start and an end is tried. A span reaches from the begin of its first word to the end of its last.
    Spans with the same text, whatever its case, add their scores.
    """
    source = context.encode()
    inside = range(first, first + count)
    allowed = [0, *inside]
    begins, ends = (dict(zip(allowed, _softmax(logits[allowed, side]), strict=True)) for side in (0, 1))
    spans = [
        (begins[start] * ends[end], start - first, end - first)
        for start in inside
        for end in inside
        if start <= end < start + _MOST_TOKENS
    ]
    places = [(word[0][1], word[-1][2]) for word in tokenizer.offsets(source) for _ in word]
    found: dict[str, list[float]] = {}
    for score, start, end in sorted(spans, key=lambda span: -span[0])[:_SPANS]:
        begin, limit = places[start][0], places[end][1]
        text = source[begin:limit].decode().lower()
        found.setdefault(text, [0.0, begin, limit])[0] += score
    score, *place = max(found.values(), key=lambda each: each[0], default=[0.0, 0, 0])
    first, behind = map(int, place)
    return {
        "answer": np.array(source[first:behind].decode()),
        "start": np.array(first, np.int32),
        "limit": np.array(behind, np.int32),
        "score": np.array(score),
        "null_score": np.array(begins[0] * ends[0]),
        "logits": logits,
    }


def tokens_for_masks(entries: Sequence[str], logits: np.ndarray) -> dict[str, np.ndarray]:
    """Return the five best tokens and their scores, (M, 5) each, of logits (M, V)."""
    best = np.argsort(-logits[:, : len(entries)], axis=1, kind="stable")[:, :_TOKENS]
    scores = np.array([_softmax(row)[chosen] for row, chosen in zip(logits, best, strict=True)])
    names = np.array([[entries[number] for number in row] for row in best], dtype=str)
    return {"token": names.reshape(best.shape), "score": scores.reshape(best.shape)}


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
