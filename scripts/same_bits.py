"""Counts the vectors whose bits change when other texts are encoded with the text, and with which number of threads.

    python -m scripts.same_bits archive dist/NAME.tar.gz --pairs 20000
    python -m scripts.same_bits batch_invariant dist/NAME.tar.gz --pairs 20000 --vectors FILE.npy
    python -m scripts.same_bits sentence_transformers DIRECTORY    # in an environment that has it
    python -m scripts.same_bits onnx NAME-onnx

The texts are of a seed, 1 to 200 words. Every text is encoded alone first; then batches of 1 to 64 texts are drawn, and
every (text, batch) is a pair whose vector is compared with that of the text alone. `--vectors` writes those of the
texts alone, or compares with a file that is there: run it again with other threads (TF_NUM_INTRAOP_THREADS=1).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.hard_texts import TEXTS as HARD

Encode = Callable[[list[str]], np.ndarray]
SIZES = (1, 2, 3, 5, 8, 17, 32, 64)
OFTEN = [*"aeiou", "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on"]


class Count(NamedTuple):
    """How many of how many pairs have other bits than the text alone, of how many texts, and by how much at most."""

    pairs: int
    other: int
    texts: int
    largest: float


def texts_of(count: int, mean: float = 20.0, most: int = 200) -> list[str]:
    """Return texts of words, most of them English, of 1 to `most` words, from a fixed seed."""
    generator = np.random.default_rng(1)
    words = sorted({word for text in HARD for word in text.split() if len(word) < 20}) + OFTEN * 8
    lengths = np.minimum(1 + generator.gamma(1.5, mean / 1.5, count), most).astype(int)
    return [" ".join(generator.choice(words, length)) for length in lengths]


def batches(texts: int, pairs: int) -> Iterator[np.ndarray]:
    """Yield the places of texts in batches of mixed sizes, from a fixed seed, `pairs` places in all."""
    generator, left = np.random.default_rng(2), pairs
    while left > 0:
        size = min(left, int(generator.choice(SIZES)))
        left -= size
        yield generator.integers(0, texts, size)


def count(encode: Encode, texts: list[str], alone: np.ndarray, pairs: int) -> Count:
    """Return how many pairs of a text and a batch have other bits than the vector of the text alone."""
    other, changed, largest = 0, set(), 0.0
    for batch in batches(len(texts), pairs):
        vectors = encode([texts[place] for place in batch])
        for place, vector in zip(batch.tolist(), vectors, strict=True):
            if vector.tobytes() != alone[place].tobytes():
                other += 1
                changed.add(place)
                largest = max(largest, float(np.abs(vector - alone[place]).max()))
    return Count(pairs, other, len(changed), largest)


def _archive(handle: str) -> Encode:
    """The archive itself, called with each batch as it is."""
    import zoo

    model = zoo.load(handle)
    return lambda texts: model(texts).numpy()


def _encoder(invariant: bool) -> Callable[[str], Encode]:
    def load(handle: str) -> Encode:
        import zoo

        encode = zoo.TextEncoder(handle, batch_invariant=invariant)
        return lambda texts: encode(texts, show_progress=False)

    return load


def _onnx(handle: str) -> Encode:
    import zoo.lite

    encode = zoo.lite.TextEncoder(handle)
    return lambda texts: encode(texts, len(texts), show_progress=False)


def _sentence_transformers(handle: str) -> Encode:
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(handle, device="cpu")
    return lambda texts: model.encode(texts, batch_size=len(texts), show_progress_bar=False)


ENGINES: Mapping[str, Callable[[str], Encode]] = {
    "archive": _archive,
    "text_encoder": _encoder(False),
    "batch_invariant": _encoder(True),
    "onnx": _onnx,
    "sentence_transformers": _sentence_transformers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("handle")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--vectors", type=Path, metavar="FILE.npy", help="of the texts alone: written, or compared")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    encode, texts = ENGINES[options.engine](options.handle), texts_of(options.texts)
    started = time.process_time()
    alone = np.stack([encode([text])[0] for text in texts])
    if options.vectors and options.vectors.exists():
        known = np.load(options.vectors)
        print(f"{options.vectors}: {sum(a.tobytes() != b.tobytes() for a, b in zip(alone, known, strict=True))} differ")
    elif options.vectors:
        np.save(options.vectors, alone)
    found = count(encode, texts, alone, options.pairs)
    print(
        f"| {options.engine} | {found.pairs:,} | {found.other:,} | {found.texts} of {len(texts)} "
        f"| {found.largest:.1g} | {time.process_time() - started:.0f} |"
    )


if __name__ == "__main__":
    main()
