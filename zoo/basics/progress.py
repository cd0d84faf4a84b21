"""The progress of all commands: a bar on a terminal, a line every ten seconds in a log. Short work shows neither."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from zoo.basics.display import printable

_BETWEEN_LINES = 10.0  # seconds


@contextmanager
def progress(
    label: str, total: int | None, initial: int = 0, unit: str = "B", shown: bool = True
) -> Iterator[Callable[[int], object]]:
    """Yield `advance(count)`. What is shown goes to stderr.

    On a terminal a bar appears after one second and goes at the end. Anywhere else `advance` writes a line when ten
    seconds have passed since the last, such as "fetching bert:  42%, 163M/389M [00:20<00:28, 7.9MB/s]".

    `initial` units of `total` were done before the start, and do not count as speed. With shown=False nothing appears.
    """
    label, is_terminal = printable(label), sys.stderr.isatty()
    scale: dict[str, Any] = {
        "initial": initial,
        "unit": unit,
        "unit_scale": unit == "B",
        "unit_divisor": 1024 if unit == "B" else 1000,
    }
    if shown and not is_terminal:
        yield _lines(label, total, scale)
        return
    stream = getattr(sys.stderr, "unwrapped", sys.stderr)  # see zoo.basics.display.PrintableStream
    with tqdm(desc=label, total=total, delay=1, leave=False, file=stream, disable=not shown, **scale) as bar:
        yield bar.update


def _lines(label: str, total: int | None, scale: dict[str, Any]) -> Callable[[int], object]:
    """Return a function that counts what is done, and writes a line about it every ten seconds."""
    began = last = time.monotonic()
    done = scale["initial"]
    form = "{desc}: {percentage:3.0f}%, {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]" if total else None

    def advance(count: int) -> None:
        nonlocal last, done
        done += count
        now = time.monotonic()
        if now - last >= _BETWEEN_LINES:
            last = now
            line = tqdm.format_meter(done, total or 0, now - began, prefix=label, bar_format=form, **scale)
            print(line.strip(), file=sys.stderr, flush=True)

    return advance
