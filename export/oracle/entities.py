"""Entities of a text in plain Python, from the logits of its tokens in float64; Viterbi in numpy. One text at a time.

It shares nothing with the exporter. Source: the token-classification pipeline of transformers with
aggregation_strategy="simple"; `decode` of pytorch-crf.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Piece = tuple[str, int, int]  # with its bytes


def entities_of(
    pieces: Sequence[Piece], logits: np.ndarray, labels: Sequence[str], crf: Sequence[np.ndarray] = ()
) -> dict[str, np.ndarray]:
    """Return the entities and what is said of each token. Row 0 of `logits` is of [CLS], the last one of [SEP].

    `crf` has the scores of a label behind another, [from, to], and perhaps those of the first and the last label.
    """
    chances = _marginals(logits, crf) if crf else np.array([_softmax(row) for row in logits])
    chosen = _viterbi(logits, crf) if crf else [int(np.argmax(row)) for row in logits]
    names = [labels[number] for number in chosen]
    scores = [float(row[number]) for row, number in zip(chances, chosen, strict=True)]
    groups: list[list[int]] = []
    for number in range(1, len(logits) - 1):
        if groups and _continues(names[number - 1], names[number], labels):
            groups[-1].append(number)
        else:
            groups.append([number])
    named = [(group, _kind(names[group[0]], labels)) for group in groups]
    found = [(group, kind) for group, kind in named if kind != "O"]
    return {
        "label": np.array([kind for _, kind in found], dtype=str),
        "start": np.array([pieces[group[0] - 1][1] for group, _ in found], np.int32),
        "limit": np.array([pieces[group[-1] - 1][2] for group, _ in found], np.int32),
        "score": np.array([np.mean([scores[number] for number in group]) for group, _ in found]),
        "token_label": np.array(names, dtype=str),
        "token_score": np.array(scores),
        "logits": logits,
    }


# -- labels -----------------------------------------------------------------------------------------------------------


def _continues(before: str, label: str, labels: Sequence[str]) -> bool:
    """Whether a token goes on with the entity of the token before it."""
    if _kind(before, labels) != _kind(label, labels):
        return False
    return _mark(label, labels) not in ("B", "S") and _mark(before, labels) not in ("E", "S")


def _kind(label: str, labels: Sequence[str]) -> str:
    return label[2:] if _mark(label, labels) else label


def _mark(label: str, labels: Sequence[str]) -> str:
    """Return the letter in front: "B" of B-PER, and of a B alone if all labels are single letters; else ""."""
    letters_alone = "B" in labels and all(each in ("B", "I", "M", "E", "S", "O") for each in labels)
    if letters_alone:
        return "" if label == "O" else label
    marks = {each[0] for each in labels if len(each) > 1 and each[1] == "-" and each[0] in "BIMES"}
    is_marked = bool(marks & {"B", "I"}) and len(label) > 1 and label[1] == "-" and label[0] in "BIMES"
    return label[0] if is_marked else ""


# -- conditional random fields ----------------------------------------------------------------------------------------


def _viterbi(logits: np.ndarray, crf: Sequence[np.ndarray]) -> list[int]:
    """Return the labels of the best sequence."""
    between, first, last = _scores(logits, crf)
    best, back = first + logits[0], []
    for row in logits[1:]:
        ways = best[:, None] + between
        back.append(ways.argmax(0))
        best = ways.max(0) + row
    path = [int(np.argmax(best + last))]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return path[::-1]


def _marginals(logits: np.ndarray, crf: Sequence[np.ndarray]) -> np.ndarray:
    """Return the chance of each label of each token over all sequences, (T, C)."""
    between, first, last = _scores(logits, crf)
    before, behind = [first + logits[0]], [last]
    for row in logits[1:]:
        before.append(np.logaddexp.reduce(before[-1][:, None] + between, 0) + row)
    for row in logits[:0:-1]:
        behind.append(np.logaddexp.reduce(between + row + behind[-1], 1))
    return np.array([_softmax(ahead + rest) for ahead, rest in zip(before, behind[::-1], strict=True)])


def _scores(logits: np.ndarray, crf: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    between, *ends = (each.astype(np.float64) for each in crf)
    first, last = ends or (np.zeros(logits.shape[1]), np.zeros(logits.shape[1]))
    return between, first, last


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
