"""The progress bar of all commands. It appears only on a terminal, and only for work of more than a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from zoo.basics.display import printable


@contextmanager
def progress(
    label: str, total: int | None, initial: int = 0, unit: str = "B", shown: bool = True
) -> Iterator[Callable[[int], object]]:
    """Yield `advance(count)`. The bar appears on stderr after one second, if that is a terminal, and goes at the end.

    `initial` units of `total` were done before the start, and do not count as speed. With shown=False there is no bar.
    """
    with tqdm(
        desc=printable(label),
        total=total,
        initial=initial,
        unit=unit,
        unit_scale=True,
        unit_divisor=1024 if unit == "B" else 1000,
        delay=1,
        leave=False,
        file=getattr(sys.stderr, "unwrapped", sys.stderr),  # see zoo.basics.display.PrintableStream
        disable=not (shown and sys.stderr.isatty()),
    ) as bar:
        yield bar.update
