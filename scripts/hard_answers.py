"""Writes what transformers and sentence-transformers answer to many hard texts, with tiny models of every task.

    PYTHONPATH=. /path/to/python/with/torch -m scripts.hard_answers hard.json.gz 2000

Cases are as in scripts/text_answers.py, and have the texts and their ids, too; tests/runtimes/test_hard_texts.py
compares them with text models made here. A run that was stopped goes on with the next case. Texts are drawn from hard
characters, and from words that the tokenizer knows.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from scripts.hard_texts import TEXTS as HARD
from scripts.span_answers import masks, spans
from scripts.text_answers import CLASSIFIERS, _tokenizer, classifier, vectors
from scripts.token_answers import CLASSIFIERS as OF_TOKENS, classifier as token_classifier

FAMILIES = ("bert", "albert", "electra")
POOLINGS = ("cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_LIMIT = 40  # tokens; neither pipeline cuts a context or a text with [MASK] as archives do
Ask = Callable[[Sequence[Any]], dict[str, Any]]


def main(file: Path, count: int) -> None:
    texts = hard(count, 29)
    cases = json.loads(gzip.decompress(file.read_bytes())) if file.exists() else {}
    for name, ask, asked in _cases(texts):
        if cases.get(name, {}).get("texts") != asked:
            cases[name] = {**ask(asked), "texts": asked, "ids": ids(asked)}
            file.write_bytes(gzip.compress(json.dumps(cases, ensure_ascii=False).encode(), mtime=0))
        print(f"{name}: {len(asked):,} texts", flush=True)


def ids(texts: Sequence[Any]) -> list[list[int]]:
    """Return the ids of texts and pairs, cut as the libraries cut them."""
    tokenizer = _tokenizer()
    pairs = [text if isinstance(text, list) else [text] for text in texts]
    return [tokenizer(*pair, truncation=True)["input_ids"] for pair in pairs]


def _cases(texts: list[str]) -> Iterator[tuple[str, Ask, list[Any]]]:
    short, questions = hard(len(texts), 12, seed=6), hard(len(texts), 2, seed=7)
    masked = _that_fit([f"{text}[MASK]{other}" for text, other in zip(short, questions, strict=True)])
    asked = _that_fit([list(pair) for pair in zip(questions, short, strict=True)])
    pairs = [list(pair) for pair in zip(texts[::4], texts[1::4], strict=False)]
    for family in FAMILIES:
        yield f"classifier: {family}", partial(classifier, *CLASSIFIERS[family]), [*texts, *pairs]
        yield f"tokens: {family}", partial(token_classifier, *OF_TOKENS[family]), texts
        yield f"span: {family}", partial(spans, family), asked
        yield f"masks: {family}", partial(masks, family), masked
    for pooling, dense, normalised in product(POOLINGS, (None, (24, "Tanh")), (False, True)):
        words = " ".join([pooling, *(["dense"] if dense else []), *(["normalised"] if normalised else [])])
        yield f"vector: {words}", partial(vectors, [pooling], dense, normalised), texts


def hard(count: int, most: int, seed: int = 5) -> list[str]:
    """Return texts of at most so many parts, in random order: hard characters, words and marks of the vocabulary."""
    random = np.random.default_rng(seed)
    parts = [*"你好北京，。！?a1", "the ", "hotel", " was ", "un", "aff", "able", *(f" w{n} " for n in range(68))]
    parts += ["  ", "\t", "\u3000", *(each for text in HARD for each in text.split() if len(each) < 40)]
    return ["".join(random.choice(parts, random.integers(1, most + 1))) for _ in range(count)]


def _that_fit(texts: list[Any]) -> list[Any]:
    """Return the texts or pairs that need not be cut, and pairs whose second text has a token."""
    tokenizer, found = _tokenizer(), []
    for text in texts:
        parts = text if isinstance(text, list) else [text]
        has_tokens = len(tokenizer(parts[-1])["input_ids"]) > 2 and all(part.strip() for part in parts)
        if has_tokens and len(tokenizer(*parts)["input_ids"]) <= _LIMIT:
            found.append(text)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
