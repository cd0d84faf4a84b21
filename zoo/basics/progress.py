"""The one progress bar: for people only (a terminal), and only when there is something to wait for."""

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
    """Yield `advance(count)`. A bar appears on stderr after one second, if stderr is a terminal, and goes when done.

    `initial` of the total were there before and do not count for the time that remains. Without `shown` there is none.
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
