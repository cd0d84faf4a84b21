"""Text for people: aligned tables, sheets of facts, sizes. What scripts read is JSON."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with aligned columns, the header in capitals."""
    lines = [[column.upper() for column in header], *rows]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join("  ".join(_padded(*cell) for cell in zip(line, widths, strict=True)).rstrip() for line in lines)


def sheet(facts: Mapping[str, str]) -> str:
    """Return one fact per line; facts without a value are left out, further lines of a value are indented."""
    stated = {name: value for name, value in facts.items() if value}
    width = max(map(_width, stated), default=0)
    return "\n".join(
        f"{_padded(name, width)}  {value}".replace("\n", "\n" + " " * (width + 2)) for name, value in stated.items()
    )


def size(count: int) -> str:
    """Return a number of bytes for people: '15.3 MiB'."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
