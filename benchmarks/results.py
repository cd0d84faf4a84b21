"""The results: flat records in one JSON file, written after every step, so that an interrupted run loses little."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.cases import Case, flops
from zoo.basics.files import written_file

Key = tuple[str, str, int, str, str, str]


@dataclass(frozen=True)
class Record:
    """The values of one measure, one for each round.

    All peers of a case share the rounds. If a peer missed some, `rounds` names the round of each value.
    """

    section: str  # inference, growth, load, training, tokenizer, archive, machine
    model: str
    threads: int
    case: str
    peer: str
    measure: str  # the unit is its last word
    values: tuple[float, ...]
    rounds: tuple[str, ...] = ()  # unique names, so that values of two runs are never paired

    @property
    def key(self) -> Key:
        return self.section, self.model, self.threads, self.case, self.peer, self.measure

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.percentile(self.values, [25, 75])
        return float(low), float(high)


@dataclass(frozen=True)
class Absence:
    """A peer that was not measured, and why."""

    section: str
    model: str
    peer: str
    reason: str


@dataclass
class Results:
    """Records and absences by key, the versions of each peer's libraries, and in `runs` facts about each run."""

    file: Path
    runs: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    models: dict[str, dict[str, int]] = field(default_factory=dict)
    records: dict[Key, Record] = field(default_factory=dict)
    absences: dict[tuple[str, str, str], Absence] = field(default_factory=dict)

    @staticmethod
    def read(file: Path, *others: Path) -> Results:
        """Return the results of one or more files; a later file replaces records of the same key."""
        results = Results(file)
        for each in (file, *others):
            stored = json.loads(each.read_text(encoding="utf-8"))
            results.runs += stored["runs"]
            results.versions |= stored["versions"]
            results.models |= stored["models"]
            results.add(
                Record(
                    **{name: row[name] for name in _FIELDS},
                    values=tuple(row["values"]),
                    rounds=tuple(row.get("rounds", ())),
                )
                for row in stored["records"]
            )
            for row in stored["absences"]:
                results.miss(Absence(**row))
        return results

    def add(self, records: Iterable[Record]) -> None:
        """Add records; a peer that was measured is no longer absent."""
        for record in records:
            self.records[record.key] = record
            self.absences.pop((record.section, record.model, record.peer), None)

    def miss(self, absence: Absence) -> None:
        self.absences[absence.section, absence.model, absence.peer] = absence

    def get(self, section: str, model: str, threads: int, case: str, peer: str, measure: str) -> Record | None:
        return self.records.get((section, model, threads, case, peer, measure))

    def select(self, **wanted: object) -> list[Record]:
        """Return the records whose fields are as given: `select(section="inference", model="bert")`."""
        return [
            record
            for record in self.records.values()
            if all(getattr(record, name) == value for name, value in wanted.items())
        ]

    def measured(self, section: str, model: str, threads: int, case: str, peers: Iterable[str]) -> bool:
        """Return whether every one of `peers` has a record of this case."""
        found = {record.peer for record in self.select(section=section, model=model, threads=threads, case=case)}
        return set(peers) <= found

    def write(self) -> None:
        """Write the file, with medians and quartiles beside the values for people who read it."""
        stored = {
            "runs": self.runs,
            "versions": self.versions,
            "models": self.models,
            "absences": [vars(absence) for absence in self.absences.values()],
            "records": [_row(record) for record in self.records.values()],
        }
        with written_file(self.file) as temporary:
            temporary.write_text(_compact(stored), encoding="utf-8")


_FIELDS = ("section", "model", "threads", "case", "peer", "measure")


def _row(record: Record) -> dict[str, object]:
    """Return a record as it stands in the file."""
    low, high = record.quartiles
    numbers = {"median": record.median, "low": low, "high": high}
    rounded = {name: _rounded(value) for name, value in numbers.items()}
    row = {name: getattr(record, name) for name in _FIELDS} | rounded | {"values": [*map(_rounded, record.values)]}
    return row | ({"rounds": [*record.rounds]} if record.rounds else {})


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _compact(stored: dict[str, Any]) -> str:
    """One record a line: small enough to commit, readable in a diff."""
    parts = []
    for name, value in stored.items():
        if isinstance(value, list) and value:
            lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f'"{name}": [\n{lines}\n]')
        else:
            parts.append(f'"{name}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def ratio(ours: Record, theirs: Record) -> tuple[float, float, float]:
    """Return median, lower and upper quartile of theirs / ours: more than 1 means that ours is faster.

    Within a case the ratio is taken round by round: the two ran one after the other, so longer disturbances cancel
    out. For two cases, for peers without a common round, and for memory, it is the ratio of the medians, and the
    quartiles are the widest possible ones.
    """
    each = [b / a for a, b in _pairs(ours, theirs)]
    if each:
        low, high = np.percentile(each, [25, 75])
        return median(each), float(low), float(high)
    (low, high), (our_low, our_high) = theirs.quartiles, ours.quartiles
    return theirs.median / ours.median, low / our_high, high / our_low


def _pairs(ours: Record, theirs: Record) -> list[tuple[float, float]]:
    """Return the values of each round that both took part in."""
    if ours.case != theirs.case or ours.measure.endswith("MiB"):  # memory does not depend on the moment
        return []
    if ours.rounds or theirs.rounds:
        beside = dict(zip(theirs.rounds, theirs.values, strict=False))
        named = zip(ours.rounds, ours.values, strict=False)
        return [(value, beside[name]) for name, value in named if name in beside]
    return list(zip(ours.values, theirs.values, strict=True)) if len(ours.values) == len(theirs.values) else []


def gemm_rate(results: Results, threads: int, dtype: str) -> float:
    """Return the best rate that any library reached, in GFLOP/s; 0 where none was measured."""
    records = results.select(section="machine", threads=threads, measure="GFLOP/s")
    return max((record.median for record in records if record.case.endswith(dtype)), default=0.0)


def floor(results: Results, model: str, case: Case, rate: float) -> float:
    """Return the seconds that a call's matrix products take at a rate in GFLOP/s."""
    return flops(case, **{name: results.models[model][name] for name in ("layers", "hidden", "inner")}) / rate * 1e-9
