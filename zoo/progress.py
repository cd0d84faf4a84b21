"""The one progress bar: for people only (a terminal), and only when there is something to wait for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yield `advance(bytes)`. A bar appears on stderr after one second, if stderr is a terminal, and goes when done."""
    with tqdm(
        desc=label,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        delay=1,
        leave=False,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    ) as bar:
        yield bar.update
