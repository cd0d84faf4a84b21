"""Compares zoo.lite with the text archive on 2,000 hard texts, and times its first vector in new processes.

    python -m scripts.lite_numbers dist/NAME.tar.gz NAME-onnx

Prints how many texts have other ids, the largest difference of vectors, and the least CPU seconds of ten processes.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from scripts.hard_texts import TEXTS

FIRST = "import sys, zoo; zoo.lite.TextEncoder(sys.argv[1])(['你好'])"


def texts(count: int) -> list[str]:
    """Return the hard texts, and random mixtures of their words of 1 to 100 words."""
    generator, words = random.Random(5), [word for text in TEXTS for word in text.split()]
    lengths = (generator.choice((1, 3, 10, 30, 100)) for _ in range(count - len(TEXTS)))
    return [*TEXTS, *(" ".join(generator.choices(words, k=length)) for length in lengths)]


def cpu_seconds(command: list[str]) -> float:
    """Return user and system time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    import zoo
    from zoo.lite.converted import read_converted
    from zoo.lite.tokens import Tokens

    archive, converted = sys.argv[1:]
    seconds = min(cpu_seconds([sys.executable, "-c", FIRST, converted]) for _ in range(10))
    print(f"first vector: {seconds:.2f} s of CPU")
    asked, read, model = texts(2000), read_converted(Path(converted)), zoo.load(archive)
    rows = Tokens(read).rows(np.array(asked, object), "")
    pieces = model.tokenizer.tokenize(asked).merge_dims(1, 2).to_list()
    wanted = [[rows[0].ids[0], *each[: read.max_length - 2], rows[0].ids[-1]] for each in pieces]
    print(f"other ids: {sum(row.ids != ids for row, ids in zip(rows, wanted, strict=True))} of {len(asked)} texts")
    vectors, answered = zoo.lite.TextEncoder(converted).passage(asked), zoo.TextEncoder(archive).passage(asked)
    print(f"largest difference: {np.abs(vectors - answered).max():.2g}")


if __name__ == "__main__":
    main()
