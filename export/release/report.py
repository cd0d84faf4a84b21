"""build.json: the result of every row, and a digest of the inputs of its archive; and the table that people read."""

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

Outcome = Literal["built", "unchanged", "failed", "not begun"]  # the last one is of earlier versions


class Row(BaseModel):
    """The result of one row in the last run that built it, and the key, digest and size of its archive.

    `key` is a digest of everything that the archive was made from. It stands here and not on the card, so that
    `zoo build` and `zoo export` make the same bytes. If it is missing or another one, the archive is made again.
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


class BuildReport(BaseModel):
    """The last result of every row that was ever built in this directory; `run` names the rows of the last run."""

    model_config = ConfigDict(frozen=True)

    run: tuple[str, ...] = ()
    rows: Mapping[str, Row] = {}

    @property
    def failed(self) -> bool:
        """Whether a row of the last run failed."""
        return any(self.rows[name].outcome == "failed" for name in self.run)

    def with_rows(self, rows: Iterable[Row]) -> BuildReport:
        """Return a report with these rows too, as rows of the last run."""
        added = {row.name: row for row in rows}
        return BuildReport(run=tuple(dict.fromkeys((*self.run, *added))), rows={**self.rows, **added})

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


def failed(name: str, reason: str, before: Mapping[str, Row]) -> Row:
    """Return a row without a new archive, and the reason; key, digest and size of an earlier archive stay."""
    known = before.get(name) or Row(name=name, outcome="failed")
    return known.model_copy(update={"outcome": "failed", "reason": reason, "seconds": 0.0})


def read_report(out: Path) -> BuildReport:
    """Return the report of earlier runs, or an empty report if build.json is missing or cannot be read."""
    try:
        return BuildReport.model_validate_json((out / REPORT).read_bytes())
    except (OSError, ValidationError):
        return BuildReport()


def write_report(report: BuildReport, out: Path) -> None:
    """Write build.json."""
    with written_file(out / REPORT) as temporary:
        temporary.write_text(to_json(report.model_dump(mode="json")), encoding="utf-8")
