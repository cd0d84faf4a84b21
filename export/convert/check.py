"""Inputs for a converted encoder, and the comparison of its outputs with those of the archive."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
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

TOLERANCE = 1e-5  # between two runs of one graph
_SHAPES = ((1, 1), (2, 33), (3, 7), (5, 13))  # (batch, length)


class NoRuntime(Exception):
    """The runtime of a format is not installed; the message names the missing part."""


@dataclass(frozen=True)
class Comparison:
    """How far the answers of a converted model are from those of the archive, and both from the original computation.

    `differences`, largest absolute ones, and `cosine`, the least, are those of the converted model and the archive.
    `from_original` and `archive_from_original` are their distances from what the forward pass in numpy computes, as the
    archive's certificate counts them: a `tolerance` of the first was allowed; None: any finite distance. Where nothing
    is known of the original, they are empty, and `tolerance` is of the differences from the archive. `scale` is the
    largest number of each output, or 1.
    """

    batches: Sequence[tuple[int, int]]
    tolerance: float | None
    scale: Mapping[str, float]
    differences: Mapping[str, float]
    cosine: Mapping[str, float]
    from_original: Mapping[str, float]
    archive_from_original: Mapping[str, float]


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


def as_numpy(value: Any) -> NDArray[Any]:
    """Return a tensor or an array as an array; strings of UTF-8 as texts."""
    array = np.asarray(value)
    if array.dtype.kind not in "OS":
        return array
    texts = [each.decode("utf-8", "surrogateescape") for each in array.reshape(-1).tolist()]
    return np.array(texts, str).reshape(array.shape)


def compare(
    asked: Sequence[Batch],
    archive: Sequence[Batch],
    found: Sequence[Batch],
    tolerance: float | None,
    original: Sequence[Batch] | None = None,
    relative: Collection[str] = (),
) -> Comparison:
    """Return how far the answers `found` are from those of the archive, and both from those of the original.

    A batch may have outputs that others lack. Outputs in `relative` are not normed: their distance from the original
    counts in parts of the largest number of a row, where that is above 1. Texts have to be equal.

    Raises VerificationFailed with every wrong name, type and shape; if these are right, with every output that is
    further than `tolerance` from the original, or, without an original, from the archive. Without a tolerance, numbers
    only have to be finite.
    """
    if problems := [*dict.fromkeys(_odd_forms(archive, found))]:
        raise VerificationFailed(f"the converted model has other outputs than the archive: {'; '.join(problems)}.")
    truth = archive if original is None else original
    keys = dict.fromkeys(key for batch in archive for key in batch)
    numbers = [key for key in keys if any(batch[key].dtype.kind == "f" for batch in archive if key in batch)]
    rows = [*zip(archive, found, truth, (batch.get(INPUT_MASK) for batch in asked), strict=True)]

    def all_of(key: str) -> list[tuple[Any, Any, Any, Any]]:
        return [(a[key], b[key], c[key], mask) for a, b, c, mask in rows if key in a]

    def largest(key: str, first: int, second: int, by_row: bool = False) -> float:
        return max(_difference(each[first], each[second], by_row) for each in all_of(key))

    judged, ours = ({key: largest(key, 2, of, key in relative) for key in keys} for of in (1, 0))
    compared = Comparison(
        batches=[_shape(batch) for batch in asked],
        tolerance=tolerance,
        scale={key: max(1.0, *(float(np.abs(c).max(initial=0)) for _, _, c, _ in all_of(key))) for key in numbers},
        differences={key: largest(key, 0, 1) for key in keys},
        cosine={key: min(_cosine(a, b, mask) for a, b, _, mask in all_of(key)) for key in numbers},
        from_original=judged if original is not None else {},
        archive_from_original=ours if original is not None else {},
    )
    allowed = math.inf if tolerance is None else tolerance
    wrong = {key: value for key, value in judged.items() if not value <= allowed or value == math.inf}
    if wrong:
        what = "the archive" if original is None else "the original"
        amounts = ", ".join(
            f"{key} by {value:.3g}" + ("" if original is None else f" (the archive by {ours[key]:.3g})")
            for key, value in wrong.items()
        )
        raise VerificationFailed(
            f"the converted model computes other numbers than {what}: {amounts}, allowed {allowed:.3g}."
        )
    return compared


def _shape(batch: Batch) -> tuple[int, int]:
    """Return rows and tokens of a batch of ids; of texts or pairs, rows and texts."""
    shape = batch.get(INPUT_WORD_IDS, next(iter(batch.values()))).shape
    return shape[0], shape[1] if len(shape) > 1 else 1


def _odd_forms(expected: Sequence[Batch], found: Sequence[Batch]) -> Iterator[str]:
    """Yield every difference in count, names, types and shapes: "pooled_output is int32 (2,), should be …"."""
    if len(expected) != len(found):
        yield f"{len(found)} answers to {len(expected)} batches"
    for a, b in zip(expected, found, strict=False):
        if missing := sorted(a.keys() - b.keys()):
            yield f"no {', '.join(missing)} (it gives {', '.join(sorted(b))})"
        for key in sorted(a.keys() & b.keys()):
            is_text = a[key].dtype.kind == b[key].dtype.kind == "U"  # whose type has the length of the longest
            if not (is_text or a[key].dtype == b[key].dtype) or a[key].shape != b[key].shape:
                yield f"{key} is {b[key].dtype} {b[key].shape}, should be {a[key].dtype} {a[key].shape}"


def _difference(expected: NDArray[Any], found: NDArray[Any], by_row: bool = False) -> float:
    """Return the largest absolute difference; infinity for other texts, and if a number of `found` is not finite.

    With `by_row` it counts in parts of the largest number of its row, where that is above 1.
    """
    if expected.dtype.kind == "U":
        return 0.0 if np.array_equal(expected, found) else math.inf
    if not np.isfinite(found).all():
        return math.inf
    parts = np.abs(expected.astype(np.float64) - found)
    if by_row:
        axes = tuple(range(1, expected.ndim))
        parts = parts / np.maximum(1.0, np.abs(expected).max(axis=axes, keepdims=True, initial=0.0))
    return float(parts.max(initial=0.0))


def _cosine(expected: NDArray[Any], found: NDArray[Any], mask: NDArray[Any] | None) -> float:
    """Return the least cosine between two vectors of the last axis. Vectors of padding are zero and left out."""
    if mask is not None and expected.shape[:-1] == mask.shape:
        expected, found = expected[mask != 0], found[mask != 0]
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)
    return float(((expected * found).sum(-1) / np.maximum(lengths, np.finfo(np.float32).tiny)).min(initial=1.0))
