"""The progress of all commands: a bar on a terminal, a line every ten seconds in a log. Short work shows neither."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    on_terminal = sys.stderr.isatty()
    with tqdm(
        desc=printable(label),
        total=total,
        initial=initial,
        unit=unit,
        unit_scale=unit == "B",
        unit_divisor=1024 if unit == "B" else 1000,
        delay=1,
        leave=False,
        file=getattr(sys.stderr, "unwrapped", sys.stderr),  # see zoo.basics.display.PrintableStream
        disable=not (shown and on_terminal),
    ) as bar:
        yield bar.update if on_terminal or not shown else _lines(printable(label), total, initial, unit)


def _lines(label: str, total: int | None, initial: int, unit: str) -> Callable[[int], object]:
    """Return a function that counts what is done, and writes a line about it every ten seconds."""
    began = last = time.monotonic()
    done = initial

    def advance(count: int) -> None:
        nonlocal last, done
        done += count
        now = time.monotonic()
        if now - last >= _BETWEEN_LINES:
            last = now
            line = tqdm.format_meter(
                done,
                total or 0,
                now - began,
                prefix=label,
                unit=unit,
                unit_scale=unit == "B",
                unit_divisor=1024 if unit == "B" else 1000,
                initial=initial,
                bar_format="{desc}: {percentage:3.0f}%, {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"
                if total
                else None,
            )
            print(line.strip(), file=sys.stderr, flush=True)

    return advance
