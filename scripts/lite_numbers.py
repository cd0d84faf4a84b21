"""Times the first vector of zoo.lite in new processes, and compares zoo.lite with the text archive on 2,000 hard texts.

    python -m scripts.lite_numbers NAME                                        # found with ZOO_REGISTRY, ZOO_CACHE
    python -m scripts.lite_numbers NAME-onnx                                   # a directory
    python -m scripts.lite_numbers NAME-onnx --archive dist/NAME.tar.gz        # the comparison, too
    python -m scripts.lite_numbers NAME --trees . ../other --processes 20      # two working trees in turn

Prints the least and the median seconds of the processes, by the clock and of CPU time; then how many texts have other
ids, and the largest difference of vectors.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from scripts.hard_texts import TEXTS

ROOT = Path(__file__).parents[1]
FIRST = "import sys; sys.path[0] = sys.argv[2]; import zoo; zoo.lite.TextEncoder(sys.argv[1])(['你好'])"


def texts(count: int) -> list[str]:
    """Return the hard texts, and random mixtures of their words of 1 to 100 words."""
    generator, words = random.Random(5), [word for text in TEXTS for word in text.split()]
    lengths = (generator.choice((1, 3, 10, 30, 100)) for _ in range(count - len(TEXTS)))
    return [*TEXTS, *(" ".join(generator.choices(words, k=length)) for length in lengths)]


def seconds(command: list[str]) -> tuple[float, float]:
    """Return the seconds of a process: by the clock, and of user and system time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def time_first_vector(model: str, trees: list[Path], processes: int) -> None:
    """Print the times of the working trees, which take turns."""
    commands = [[sys.executable, "-c", FIRST, model, str(tree.resolve())] for tree in trees]
    measured = [[seconds(command) for command in commands] for _ in range(processes)]
    for tree, values in zip(trees, zip(*measured, strict=True), strict=True):
        shown = (
            f"{min(each):.3f} s at least, {median(each):.3f} s in the median" for each in zip(*values, strict=True)
        )
        print("{}: first vector: clock {}; CPU {}".format(tree, *shown), flush=True)


def compare(model: str, archive: str) -> None:
    """Print how zoo.lite's ids and vectors differ from the text archive's."""
    import zoo
    from zoo.lite.finding import find_converted
    from zoo.lite.tokens import Tokens

    asked, read, whole = texts(2000), find_converted(model), zoo.load(archive)
    rows = Tokens(read).rows(np.array(asked, object), "")
    pieces = whole.tokenizer.tokenize(asked).merge_dims(1, 2).to_list()
    wanted = [[rows[0].ids[0], *each[: read.max_length - 2], rows[0].ids[-1]] for each in pieces]
    print(f"other ids: {sum(row.ids != ids for row, ids in zip(rows, wanted, strict=True))} of {len(asked)} texts")
    vectors, answered = zoo.lite.TextEncoder(model).passage(asked), zoo.TextEncoder(archive).passage(asked)
    print(f"largest difference: {np.abs(vectors - answered).max():.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name, or the directory that zoo convert NAME --to onnx wrote")
    parser.add_argument("--archive", help="the text archive to compare with")
    parser.add_argument("--processes", type=int, default=10, help="how many, of each working tree")
    parser.add_argument("--trees", type=Path, nargs="+", default=[ROOT], help="working trees to import zoo from")
    options = parser.parse_args()
    time_first_vector(options.model, options.trees, options.processes)
    if options.archive:
        compare(options.model, options.archive)


if __name__ == "__main__":
    main()
