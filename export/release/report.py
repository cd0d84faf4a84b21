"""build.json: what became of every row, and of which inputs its archive is made; the table that people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.archive.card import to_json
from zoo.basics.display import table
from zoo.basics.files import written_file

REPORT = "build.json"
_TEXT_WIDTH = 100  # of a reason in the table; build.json has it whole

Outcome = Literal["built", "unchanged", "failed", "not begun"]


class Row(BaseModel):
    """What became of one row in the last run that had it, and the key, digest and size of the archive that it has.

    `key` is a digest of everything that the archive was made from. It is kept here and not on the card, so that
    `zoo build` and `zoo export` make the same bytes; without it, and after any doubt, the archive is made again.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0
    source: str = ""
    key: str = ""
    sha256: str = ""
    size: int | None = None


class Report(BaseModel):
    """Every row that `zoo build` ever had in this directory, and which of them the last run had."""

    model_config = ConfigDict(frozen=True)

    run: tuple[str, ...] = ()
    rows: Mapping[str, Row] = {}

    @property
    def failed(self) -> bool:
        """Whether anything of the last run is not as it was asked for."""
        return any(self.rows[name].outcome in ("failed", "not begun") for name in self.run)

    def with_rows(self, rows: Iterable[Row]) -> Report:
        """Return the report with further rows of this run."""
        added = {row.name: row for row in rows}
        return Report(run=tuple(dict.fromkeys((*self.run, *added))), rows={**self.rows, **added})

    def __str__(self) -> str:
        rows = [self.rows[name] for name in self.run]
        cells = [
            (
                row.name,
                row.outcome,
                "" if row.size is None else f"{row.size / 2**20:.1f}",
                f"{row.seconds:.1f}",
                row.reason if len(row.reason) <= _TEXT_WIDTH else f"{row.reason[:_TEXT_WIDTH]}…",
            )
            for row in rows
        ]
        reasons = [f"\n{row.name}: {row.reason}" for row in rows if len(row.reason) > _TEXT_WIDTH]
        return table(("name", "what", "MiB", "seconds", "reason"), cells) + "".join(reasons)


def failed(name: str, reason: str, before: Mapping[str, Row], outcome: Outcome = "failed") -> Row:
    """Return a row that came to nothing; what is known of the archive that it may have had before stays."""
    known = before.get(name) or Row(name=name, outcome=outcome)
    return known.model_copy(update={"outcome": outcome, "reason": reason, "seconds": 0.0})


def read_report(out: Path) -> Report:
    """Return the report of earlier runs; an empty one where there is none that can be read."""
    try:
        return Report.model_validate_json((out / REPORT).read_bytes())
    except (OSError, ValidationError):
        return Report()


def write_report(report: Report, out: Path) -> None:
    """Write build.json."""
    with written_file(out / REPORT) as temporary:
        temporary.write_text(to_json(report.model_dump(mode="json")), encoding="utf-8")
