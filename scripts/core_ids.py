"""Compares the tokenizer of core operations with the published algorithm, in plain Python, on texts without end.

    python -m scripts.core_ids --texts 500000                     # with a vocabulary that shows every character
    python -m scripts.core_ids --texts 500000 --vocab vocab.txt   # with another one
    python -m scripts.core_ids --texts 500000 --first 200000      # goes on where a run was stopped
    python -m scripts.core_ids --texts 500000 --case cased        # one half, for two processes

Compares every assigned code point in three contexts, words around the limits, and random texts, with and without lower
case. Prints how many texts of each kind were compared and how many got other ids, and fails if any did. Texts come
in blocks of 5,000, each from a seed of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tqdm import tqdm

from export.oracle.wordpiece import ReferenceTokenizer
from tests.tokenizer.editions import newer, without_ordered_marks
from tests.tokenizer.texts import assigned, long_words, mixtures, trap_vocabulary
from tokenizer.core_graph import CoreGraph
from tokenizer.rules import TokenizerRules
from tokenizer.vocabulary import Vocabulary

BLOCK = 5_000
CASES = ("uncased", "cased")
SHOWN = 3  # texts of a kind with other ids
CONTEXTS = ("{0}", "a{0}b 中{0}{0} ing{0}", "aΣ{0}b aΣ{0}")
LIMITS = (66, 67, 99, 100, 101, 199, 200, 201)  # of characters; 100 is that of other tokenizers, some count bytes
LETTERS = ("x", "é", "ж", "ก", "가", "𐐀", "e\u0301", "İ", "７", "😀")
IDEOGRAPHS = [chr(code) for code in (*range(0x4E00, 0x4E00 + 3000), *range(0x3400, 0x3420), *range(0x20000, 0x20020))]
POOLS: Mapping[str, Sequence[str]] = {
    "emoji": ("😀", "🇨🇳", "👩\u200d👩\u200d👧", "👍🏽", "☺️", "✓", "→", " ", "ok", "好", "!"),
    "full width": tuple("，。！？（）、；：“”《》【】…—～￥％＆＠ＡＢｃｄ１２３　 好天气Aa1"),
    "control": tuple("ab 好é,Σ\x00\x01\x07\x0b\x1b\x1c\x7f\x80\x85\x9f\u00ad\u200b\u200d\u2028\ufeff\ufffd\t\r\n"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=500_000, help="how many random texts")
    parser.add_argument("--first", type=int, default=0, help="leave out so many of them, and the characters")
    parser.add_argument("--vocab", type=Path, help="the vocab.txt; if not given, one that shows every character")
    parser.add_argument("--case", choices=CASES, nargs="+", default=CASES)
    options = parser.parse_args()
    vocabulary = Vocabulary.read(options.vocab) if options.vocab else without_ordered_marks(trap_vocabulary())
    different = 0
    for case in options.case:
        pair = Pair(vocabulary, case)
        blocks = range(options.first // BLOCK, -(-options.texts // BLOCK))
        try:
            if not options.first:
                pair.compare(f"every assigned code point in {len(CONTEXTS)} contexts", in_context())
                pair.compare("words around the limits", around_limits())
            for block in tqdm(blocks, f"{pair.name}, blocks of {BLOCK:,} texts", disable=None):
                for kind, texts in random_texts(block, vocabulary.entries).items():
                    pair.compare(kind, texts)
        finally:
            pair.report()
        different += pair.different.total()
    return int(different > 0)


class Pair:
    """The graph and the plain-Python algorithm of one vocabulary, and the counts of what was compared."""

    def __init__(self, vocabulary: Vocabulary, case: str) -> None:
        self.name, lower_case = case, case == "uncased"
        self._graph = CoreGraph(vocabulary, TokenizerRules.original(lower_case), False)
        self._oracle = ReferenceTokenizer(vocabulary.entries, lower_case)
        self.compared, self.different = Counter[str](), Counter[str]()

    def compare(self, kind: str, texts: Sequence[str]) -> None:
        """Compare the ids of all texts in one call, and those of every hundredth text alone: other branches run."""
        tokenize = self._graph.tokenize
        for first in range(0, len(texts), BLOCK):
            block = texts[first : first + BLOCK]
            found, expected = tokenize(block).to_list(), [self._oracle.ids(text) for text in block]
            found += [tokenize([text]).to_list()[0] for text in block[::100]]
            for text, ids, wanted in zip([*block, *block[::100]], found, expected + expected[::100], strict=True):
                if ids != wanted:
                    self.different[kind] += 1
                    if self.different[kind] <= SHOWN:
                        tqdm.write(f"{self.name}, {kind}: {text!r} gives {ids}, not {wanted}")
            self.compared[kind] += len(block)

    def report(self) -> None:
        for kind, count in self.compared.items():
            print(f"{self.name}: {kind}: {count:,} texts, {self.different[kind]:,} with other ids")
        total = self.compared.total()
        print(f"{self.name}: {total:,} texts, {self.different.total():,} with other ids", flush=True)


@cache
def known() -> list[str]:
    """Return the assigned characters that TensorFlow's tables know."""
    return [char for char in assigned() if char not in newer()]


def in_context() -> list[str]:
    """Return a text for each character and context, without the characters that TensorFlow's tables do not know."""
    print(f"of {len(assigned()):,} assigned code points, {len(newer())} are left out: newer than TensorFlow's tables")
    return [context.format(char) for context in CONTEXTS for char in known()]


def around_limits() -> list[str]:
    words = [letter * (size // len(letter.encode()) + more) for letter in LETTERS for size in LIMITS for more in (0, 1)]
    words += [letter * size for letter in LETTERS for size in LIMITS]
    return [*long_words(), *words, *(f"中{word},{word[:99]} un{word}，{word}able" for word in words)]


def random_texts(block: int, entries: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts of one block by their kind."""
    rng = random.Random(block)
    entries = [entry for entry in entries if newer().isdisjoint(entry)]
    words = [entry for entry in entries if entry.isalpha() and not "\u3400" <= entry[0] < "\ua000"]
    parts = [entry[2:] for entry in entries if entry.startswith("##") and entry[2:].isalpha()]
    makers = {
        "Chinese": lambda: "".join(_chinese(rng)),
        "English": lambda: " ".join(_english(rng, words, parts)),
        "mixed": lambda: rng.choice(("", " ")).join([*_chinese(rng), *_english(rng, words, parts), *_chinese(rng)]),
        **{kind: lambda pool=pool: "".join(rng.choices(pool, k=rng.randint(0, 30))) for kind, pool in POOLS.items()},
        "long words": lambda: " ".join(_long_word(rng, parts) for _ in range(rng.randint(1, 3))),
    }
    kinds = Counter(rng.choices([*makers, "any character"], (6, 6, 6, 2, 2, 2, 1, 6), k=BLOCK))
    texts = {kind: [maker() for _ in range(kinds[kind])] for kind, maker in makers.items()}
    return texts | {"any character": [*mixtures(kinds["any character"], block, known())]}


def _chinese(rng: random.Random) -> Iterator[str]:
    for _ in range(rng.randint(1, 3)):
        yield "".join(rng.choices(IDEOGRAPHS, k=rng.randint(2, 12)))
        yield rng.choice(("2024", "3.14", "BERT", "Wi-Fi", "（注）", "“引”", "，", "。", "！", "……", "、", " "))


def _english(rng: random.Random, words: Sequence[str], parts: Sequence[str]) -> Iterator[str]:
    for _ in range(rng.randint(1, 16)):
        word = rng.choice(words) + "".join(rng.choices(parts, k=rng.choice((0, 0, 0, 1, 2, 3))))
        word = rng.choice((word, word, word.capitalize(), word.upper(), "".join(rng.choices("aeinorst", k=6))))
        yield word + rng.choice(("", "", "", ",", ".", "!", "-", "'s", "\u0301", "7"))


def _long_word(rng: random.Random, parts: Sequence[str]) -> str:
    size = rng.choice(LIMITS) + rng.randint(-2, 2)
    made = rng.choice(LETTERS) * size if rng.random() < 0.3 else "".join(rng.choices(parts, k=size))
    return made[:size]


if __name__ == "__main__":
    sys.exit(main())
