"""Shows the progress of other processes: their output files are counted as they appear."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from zoo.embed.output import Output
from zoo.embed.parts import CorpusPart

_PATIENCE = 0.5  # seconds between two looks at the directory


@contextmanager
def watched(output: Output, parts: Sequence[CorpusPart], advance: Callable[[int], object]) -> Iterator[None]:
    """Call `advance` with the rows of every part whose file appears while the block runs."""
    done, left = threading.Event(), list(parts)

    def look() -> None:
        for part in [each for each in left if output.part(each.number).is_file()]:
            left.remove(part)
            advance(part.rows)

    def watch() -> None:
        while not done.wait(_PATIENCE):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        look()
