"""Text for people: aligned tables, sheets of facts, sizes; nothing of it steers a terminal. Scripts read JSON."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

# Control characters save tab and line feed, separators of lines, what turns the direction of text, halves of
# characters. Letters and spaces of every script are not among them.
_STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return a text with every character that steers a terminal spelled out: `printable("\x1b[2J")` is `\u001b[2J`.

    That is how JSON writes them, too: JSON text stays the JSON it was.
    """
    return _STEERS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class PrintableStream:
    """A text stream to which `print` and logging write, and which passes on `printable` text alone.

    `unwrapped` is the stream itself, for a progress bar, which has to steer the terminal.
    """

    def __init__(self, stream: Any) -> None:
        self.unwrapped = stream

    def write(self, text: str) -> int:
        """Write a text and return its length, as streams do."""
        self.unwrapped.write(printable(text))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """Write one text after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unwrapped, name)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with aligned columns, the header in capitals."""
    lines = [
        [column.upper() for column in header],
        *([printable(cell).replace("\n", " ") for cell in row] for row in rows),
    ]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join("  ".join(_padded(*cell) for cell in zip(line, widths, strict=True)).rstrip() for line in lines)


def sheet(facts: Mapping[str, str]) -> str:
    """Return one fact per line; facts without a value are left out, further lines of a value are indented."""
    stated = {name: printable(value) for name, value in facts.items() if value}
    width = max(map(_width, stated), default=0)
    return "\n".join(
        f"{_padded(name, width)}  {value}".replace("\n", "\n" + " " * (width + 2)) for name, value in stated.items()
    )


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
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
