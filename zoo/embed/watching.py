"""Progress of what other processes do: their files are looked for as they appear."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from zoo.embed.output import Output
from zoo.embed.parts import Part

_PATIENCE = 0.5  # seconds between two looks at what workers have finished


@contextmanager
def watched(output: Output, parts: Sequence[Part], advance: Callable[[int], object]) -> Iterator[None]:
    """Tell `advance` of the rows of parts that other processes finish, as their files appear."""
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
