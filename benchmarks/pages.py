"""The pages of docs/ that the commands write: Markdown of a title, paragraphs and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.machine import facts


@dataclass(frozen=True)
class Page:
    """A page with one table: docs/NAME.md."""

    name: str
    title: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    below: str = ""

    def text(self, command: str) -> str:
        """Return the Markdown, which begins with the command and the machine it ran on."""
        on = "on {cores} cores of {processor}, Python {python}, load average {load_average}.".format(**facts())
        first = f"Written by `python -m benchmarks {command} --out docs`\n{on}\n{self.about}"
        return markdown(self.title, first, table(self.head, self.rows), self.below)


def markdown(title: str, *parts: str) -> str:
    """Return a page of these parts, without the empty ones."""
    return "\n\n".join(part for part in (f"# {title}", *parts) if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; nothing without rows."""
    body = [[*map(str, row)] for row in rows]
    lines = [head, ["-"] * len(head), *body] if body else []
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
