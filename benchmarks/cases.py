"""The inputs of all measurements: batches of token ids, and texts, made from fixed seeds by numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.int32]  # [3, B, T]: ids, mask, types

FIRST_WORD = 110  # ids below are special or unused in scripts.random_checkpoint's vocabulary
PADDED = 128  # what real-length rows are padded to
REAL_BATCHES = 2  # batches of real lengths in a case; of a single one, the longest row would decide the time
LENGTHS, BATCHES = (16, 64, 128, 512), (1, 8, 32)
GROWTH_LENGTHS, GROWTH_BATCHES = (16, 32, 64, 128, 256, 512), (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Case:
    """Batches of one shape. `kind` is dense (no padding), real (padded to 128) or trimmed (padded to the longest)."""

    kind: str
    batch: int
    length: int

    @property
    def name(self) -> str:
        return f"{self.kind} {self.batch} x {self.length}"

    @staticmethod
    def parse(name: str) -> Case:
        """Return the case of a name: "dense 8 x 128"."""
        kind, batch, _, length = name.split()
        return Case(kind, int(batch), int(length))

    def batches(self, vocabulary: int) -> list[Batch]:
        """Return the batches; the real ones and the trimmed ones hold the same tokens."""
        count = 1 if self.kind == "dense" else REAL_BATCHES
        return [self._one(np.random.default_rng([self.batch, self.length, i]), vocabulary) for i in range(count)]

    def _one(self, generator: np.random.Generator, vocabulary: int) -> Batch:
        """Return one batch: ids, mask, types."""
        if self.kind == "dense":
            lengths = np.full(self.batch, self.length)
        else:
            lengths = real_lengths(generator, self.batch, self.length)
        mask = np.arange(self.length)[None, :] < lengths[:, None]  # [B, T]
        ids = generator.integers(FIRST_WORD, vocabulary, mask.shape) * mask
        batch = np.stack([ids, mask, np.zeros_like(ids)]).astype(np.int32)
        return batch[:, :, : lengths.max()] if self.kind == "trimmed" else batch


def real_lengths(generator: np.random.Generator, rows: int, longest: int = PADDED) -> NDArray[np.int64]:
    """Return token counts of short Chinese texts: 8 to `longest`, mean about 30, a long tail."""
    lengths = 8 + generator.gamma(2.0, 11.0, rows)
    return np.minimum(lengths, longest).astype(np.int64)


def inference_cases(batches: Sequence[int] = BATCHES, lengths: Sequence[int] = LENGTHS) -> list[Case]:
    """Return the dense shapes, then real lengths padded and trimmed, for batches of more than one row."""
    dense = [Case("dense", batch, length) for length in lengths for batch in batches]
    return dense + [Case(kind, batch, PADDED) for batch in batches if batch > 1 for kind in ("real", "trimmed")]


def growth_cases(batches: Sequence[int] = GROWTH_BATCHES, lengths: Sequence[int] = GROWTH_LENGTHS) -> list[Case]:
    """Return one row of every length, then every batch of 128 tokens a row."""
    return [Case("dense", 1, length) for length in lengths] + [
        Case("dense", batch, PADDED) for batch in batches if batch > 1
    ]


def check_cases() -> list[Case]:
    """Return the small batches on which a peer has to agree with ours before it is timed."""
    return [Case("dense", 2, 16), Case("real", 4, 64)]


def texts(count: int, seed: int = 1) -> list[str]:
    """Return Chinese sentences of 5 to 60 characters with punctuation, some with digits or English words."""
    generator = np.random.default_rng(seed)
    frequent = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
    return [_text(generator, frequent) for _ in range(count)]


def _text(generator: np.random.Generator, characters: Sequence[str]) -> str:
    parts: list[str] = []
    for _ in range(generator.integers(1, 4)):
        parts += [characters[i] for i in generator.integers(0, len(characters), generator.integers(4, 18))]
        if generator.random() < 0.2:
            parts.append(
                str(generator.choice(["2024", "3.14", "BERT", "Wi-Fi", "the model", "（注）", "“引文”", "《书》"]))
            )
        parts.append(str(generator.choice(["，", "。", "！", "？", "；", "……", "、"])))
    return "".join(parts)


def flops(case: Case, layers: int, hidden: int, inner: int) -> float:
    """Return the floating-point operations of matrix products in one call: an add and a multiplication count as two."""
    tokens = case.batch * case.length
    layer = 4 * hidden * hidden + 2 * hidden * inner + 2 * case.length * hidden
    return 2.0 * tokens * layers * layer + 2.0 * case.batch * hidden * hidden
