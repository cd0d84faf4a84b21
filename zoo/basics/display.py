"""Text for people: aligned tables, sheets of facts, sizes, without control characters. (Scripts read JSON.)"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

# Characters that steer a terminal or break its lines: control characters except tab and line feed, line separators,
# characters that turn the direction of text, halves of surrogate pairs. No letter or space of any script.
_STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)


_LEAST = 24  # columns of a last column that is cut


def printable(text: str) -> str:
    r"""Return a text with an escape for every character that steers a terminal: `printable("\x1b[2J")` is `\u001b[2J`.

    JSON uses the same escapes, so a JSON text keeps its meaning.
    """
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PrintableStream:
    """A text stream for `print` and logging that makes every text `printable` before writing it.

    `unwrapped` is the underlying stream, for a progress bar, which has to steer the terminal.
    """

    def __init__(self, stream: Any) -> None:
        self.unwrapped = stream

    def write(self, text: str) -> int:
        """Write a text and return its length."""
        self.unwrapped.write(printable(text))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write one text after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unwrapped, name)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None, optional: Sequence[str] = ()
) -> str:
    """Return lines with aligned columns, the header in capitals.

    On a terminal of `width` columns the last column is cut; where too little of it would be left, columns that are
    `optional` are left out, one after the other, and at last that column itself.
    """
    lines = [
        [column.upper() for column in header],
        *([printable(cell).replace("\n", " ") for cell in row] for row in rows),
    ]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
    kept = [*range(len(header))]
    if width is not None:
        for name in optional:
            if _room(widths, kept, width) < _LEAST:
                kept.remove(header.index(name))
        room = _room(widths, kept, width)
        kept = kept if room >= min(_LEAST, widths[-1]) else kept[:-1]
        lines = [[*line[:-1], _cut(line[-1], room)] for line in lines]
    return "\n".join("  ".join(_padded(line[at], widths[at]) for at in kept).rstrip() for line in lines)


def _room(widths: Sequence[int], kept: Sequence[int], width: int) -> int:
    """Return the columns that the other columns leave to the last one."""
    return width - sum(widths[at] + 2 for at in kept[:-1])


def _cut(text: str, width: int) -> str:
    """Return a text, or as much of it as fits into so many columns, with '…' behind it."""
    if _width(text) <= width:
        return text
    while text and _width(text) >= width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def sheet(facts: Mapping[str, str]) -> str:
    """Return one fact per line, "name  value". Facts without a value are left out; further lines are indented."""
    stated = {name: printable(value) for name, value in facts.items() if value}
    width = max(map(_width, stated), default=0)
    return "\n".join(
        f"{_padded(name, width)}  {value}".replace("\n", "\n" + " " * (width + 2)) for name, value in stated.items()
    )


def in_chinese() -> bool:
    """Whether the person reads Chinese, as LC_ALL, LC_MESSAGES or LANG says."""
    said = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, said), "").startswith("zh")


def size(count: int) -> str:
    """Return a number of bytes for people: '15.3 MiB'."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1: '1 file', '1,024 files'."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Return the number of columns on a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
