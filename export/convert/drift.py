"""How far an int8 model is from the same model in float32, on texts: cosines of vectors, and the order of likeness.

The vector of a text is the output `vector`, or the mean of `sequence_output` over its real tokens; of other tasks, a
row of scores or logits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.convert.check import Batch
from zoo.contract import INPUT_MASK, SEQUENCE_OUTPUT, VECTOR

LEAST_COSINE = LEAST_SPEARMAN = 0.995
_PAIRS = 5000


@dataclass(frozen=True)
class Drift:
    """The least and the mean cosine of `texts` vectors with those of float32, and the rank agreement of likeness.

    `spearman` is of the cosines of up to 5,000 pairs of texts, None for what has no vectors of texts or for fewer than
    four texts. `least` is what was asked of both. `by_row` are the matrices whose activations have a scale for each
    row, `kept` those that stayed in float32. `costs` is the drift of each product if it alone is in int8 at one scale:
    the mean of 1 - cosine of the texts that fared worst, the largest first; empty if one scale was enough for all.
    """

    texts: int
    least: float
    cosine: float
    mean_cosine: float
    spearman: float | None
    by_row: Sequence[str]
    kept: Sequence[str]
    costs: dict[str, float]

    @property
    def is_small(self) -> bool:
        return self.cosine >= LEAST_COSINE and (self.spearman is None or self.spearman >= LEAST_SPEARMAN)

    def __str__(self) -> str:
        ranks = "" if self.spearman is None else f", order of likeness {self.spearman:.4f} (Spearman)"
        rows = f"; {len(self.by_row)} products with a scale for each row" if self.by_row else ""
        kept = f"; in float32: {', '.join(self.kept)}" if self.kept else ""
        return (
            f"int8 against float32 on {self.texts} texts: least cosine {self.cosine:.4f}, mean {self.mean_cosine:.4f}"
            f"{ranks}; at least {self.least} was asked{rows}{kept}"
        )


def drift(
    asked: Sequence[Batch],
    exact: Sequence[Batch],
    found: Sequence[Batch],
    kept: Collection[str],
    costs: dict[str, float],
    by_row: Collection[str],
) -> Drift:
    """Return how far the answers `found` are from the `exact` ones, both to the batches `asked`."""
    expected, ours = (_all_vectors(asked, answers) for answers in (exact, found))
    near = _cosines(expected, ours)
    compares = {VECTOR, SEQUENCE_OUTPUT} & exact[0].keys() and len(expected) > 3
    return Drift(
        texts=sum(len(batch[INPUT_MASK]) for batch in asked),
        least=LEAST_COSINE,
        cosine=float(near.min(initial=1.0)),
        mean_cosine=float(near.mean()) if len(near) else 1.0,
        spearman=_spearman(expected, ours) if compares else None,
        by_row=sorted(by_row),
        kept=sorted(kept),
        costs=dict(sorted(costs.items(), key=lambda item: -item[1])),
    )


def cosines(asked: Sequence[Batch], exact: Sequence[Batch], found: Sequence[Batch]) -> NDArray[Any]:
    """Return the cosine of each vector of the answers `found` with that of the `exact` ones."""
    return _cosines(_all_vectors(asked, exact), _all_vectors(asked, found))


def _all_vectors(asked: Sequence[Batch], answers: Sequence[Batch]) -> NDArray[Any]:
    return np.concatenate([*map(_vectors, asked, answers)])


def _vectors(question: Batch, outputs: Batch) -> NDArray[Any]:
    """Return rows that can be compared, of texts that have a token."""
    mask = question[INPUT_MASK] != 0
    if VECTOR in outputs:
        return outputs[VECTOR][mask.any(1)]
    if SEQUENCE_OUTPUT in outputs:
        means = outputs[SEQUENCE_OUTPUT].sum(1) / np.maximum(mask.sum(1, keepdims=True), 1)
        return np.asarray(means[mask.any(1)])
    first = outputs[min(outputs)]
    return first[mask] if first.shape[:-1] == mask.shape else first


def _cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(-1) / np.maximum(lengths, np.finfo(np.float32).tiny))


def _spearman(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the rank correlation of the likeness of pairs, drawn with a fixed seed."""
    first, second = np.triu_indices(len(a), 1)
    if len(first) > _PAIRS:
        chosen = np.random.default_rng(3).choice(len(first), _PAIRS, replace=False)
        first, second = first[chosen], second[chosen]
    ranks = [np.argsort(np.argsort(_cosines(each[first], each[second]), kind="stable")) for each in (a, b)]
    centred = [each - each.mean() for each in ranks]
    return float(_cosines(*centred))
