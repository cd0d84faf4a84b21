"""Inputs for a converted encoder, and the comparison of its outputs with those of the archive."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.convert.rebuilding import OUTPUT_KEYS
from zoo.archive.card import EncoderCard
from zoo.contract import GOLDEN_FILE, INPUT_KEYS, INPUT_MASK, INPUT_WORD_IDS
from zoo.errors import VerificationFailed

Batch = Mapping[str, NDArray[Any]]  # input or output name -> array

TOLERANCE = 1e-5  # times the largest number of an output, or times 1 if that is larger
_SHAPES = ((1, 1), (2, 33), (3, 7), (5, 13))  # (batch, length)


class NoRuntime(Exception):
    """The runtime of a format is not installed; the message names the missing part."""


@dataclass(frozen=True)
class Comparison:
    """How far two sets of answers are apart: the largest absolute difference and the least cosine of each output.

    A difference of at most `tolerance` times the output's `scale` was allowed; None: any finite difference.
    """

    batches: Sequence[tuple[int, int]]
    tolerance: float | None
    scale: Mapping[str, float]
    differences: Mapping[str, float]
    cosine: Mapping[str, float]


def batches(directory: Path, card: EncoderCard) -> list[Batch]:
    """Return the archive's golden inputs and random ones of odd shapes, with padding, holes and a text without tokens.

    batches(path, read_card(path))[0]["input_word_ids"]  # int32 (2, 9)
    """
    with np.load(directory / GOLDEN_FILE, allow_pickle=False) as file:
        stored = {name: file[name].astype(np.int32) for name in file.files if name.endswith(INPUT_KEYS)}
    cases = sorted({name.rpartition("/")[0] for name in stored})
    golden = [{key: stored[f"{case}/{key}" if case else key] for key in INPUT_KEYS} for case in cases]
    return [*golden, *_random(card)]


def _random(card: EncoderCard) -> Iterator[Batch]:
    """Yield a batch of each shape: the first row is full, the second without tokens, the last padded at its end."""
    generator, sizes = np.random.default_rng(7), card.sizes
    for rows, longest in _SHAPES:
        length = min(longest, sizes.position_limit)
        ids = generator.integers(0, sizes.vocab_size, (rows, length), np.int32)
        types = generator.integers(0, sizes.type_vocab_size, (rows, length), np.int32)
        mask = (generator.random((rows, length)) < 0.8).astype(np.int32)
        mask[0] = 1
        mask[-1, : length // 2] = 1
        mask[-1, length // 2 :] = rows == 1
        if rows > 2:
            mask[1] = 0
        yield dict(zip(INPUT_KEYS, (ids, mask, types), strict=True))


def answers(encoder: Any, asked: Sequence[Batch]) -> list[Batch]:
    """Return the two outputs that are converted, of a loaded archive for each batch."""
    import tensorflow as tf

    given = [{key: tf.constant(array) for key, array in batch.items()} for batch in asked]
    return [{key: outputs[key].numpy() for key in OUTPUT_KEYS} for outputs in map(encoder, given)]


def compare(
    asked: Sequence[Batch], expected: Sequence[Batch], found: Sequence[Batch], tolerance: float | None
) -> Comparison:
    """Return how far two sets of answers are apart.

    A batch may have outputs that others lack. Raises VerificationFailed with every wrong name, type and shape; if these
    are right, with every output that differs by more than `tolerance`. Without a tolerance, numbers only have to be
    finite.
    """
    if problems := [*dict.fromkeys(_odd_forms(expected, found))]:
        raise VerificationFailed(f"the converted model has other outputs than the archive: {'; '.join(problems)}.")
    keys = dict.fromkeys(key for batch in expected for key in batch)
    rows = [*zip(expected, found, (batch[INPUT_MASK] for batch in asked), strict=True)]
    triples = {key: [(a[key], b[key], mask) for a, b, mask in rows if key in a] for key in keys}
    compared = Comparison(
        batches=[(batch[INPUT_WORD_IDS].shape[0], batch[INPUT_WORD_IDS].shape[1]) for batch in asked],
        tolerance=tolerance,
        scale={key: max(1.0, *(float(np.abs(a).max()) for a, _, _ in each)) for key, each in triples.items()},
        differences={key: max(_difference(a, b) for a, b, _ in each) for key, each in triples.items()},
        cosine={key: min(_cosine(*each) for each in some) for key, some in triples.items()},
    )
    allowed = {key: math.inf if tolerance is None else tolerance * compared.scale[key] for key in keys}
    wrong = {
        key: value for key, value in compared.differences.items() if not value <= allowed[key] or value == math.inf
    }
    if wrong:
        amounts = ", ".join(f"{key} by {value:.3g}, allowed {allowed[key]:.3g}" for key, value in wrong.items())
        raise VerificationFailed(f"the converted model computes other numbers than the archive: {amounts}.")
    return compared


def _odd_forms(expected: Sequence[Batch], found: Sequence[Batch]) -> Iterator[str]:
    """Yield every difference in count, names, types and shapes: "pooled_output is int32 (2,), should be …"."""
    if len(expected) != len(found):
        yield f"{len(found)} answers to {len(expected)} batches"
    for a, b in zip(expected, found, strict=False):
        if missing := sorted(a.keys() - b.keys()):
            yield f"no {', '.join(missing)} (it gives {', '.join(sorted(b))})"
        for key in sorted(a.keys() & b.keys()):
            if (a[key].dtype, a[key].shape) != (b[key].dtype, b[key].shape):
                yield f"{key} is {b[key].dtype} {b[key].shape}, should be {a[key].dtype} {a[key].shape}"


def _difference(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """Return the largest absolute difference; infinity if a number of `found` is not finite."""
    return float(np.abs(expected - found).max()) if np.isfinite(found).all() else math.inf


def _cosine(expected: NDArray[Any], found: NDArray[Any], mask: NDArray[Any]) -> float:
    """Return the least cosine between two vectors of the last axis. Vectors of padding are zero and left out."""
    if expected.shape[:-1] == mask.shape:
        expected, found = expected[mask != 0], found[mask != 0]
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)
    return float(((expected * found).sum(-1) / np.maximum(lengths, np.finfo(np.float32).tiny)).min())
