"""The directory of vectors: finds the parts that exist, checks that they belong to this job, and finishes the run.

    part-000000.parquet …   ids and vectors, in the order of the input
    _job.json               the settings of the run: a run with other settings does not continue here
    _manifest.json          the same settings and the numbers of rows; written last
    _bad_rows.jsonl         the rows without a vector, if there are any
    _bad/000000.jsonl       the bad rows of one part, until the run is finished
    _lock                   held while a run writes

Readers of Parquet ignore names that begin with `_`. Every file may be damaged, so a part counts as done only if its
vectors and its bad rows together are as many as its rows. A part that was emptied or cut is computed again, and a
manifest with wrong numbers is written again.
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.archive.card import to_json
from zoo.basics.files import cannot_write, written_file
from zoo.basics.locks import delete, locked_if_free
from zoo.embed.manifest import Manifest, parsed, read_json_or_none, read_manifest
from zoo.embed.needs import parquet
from zoo.embed.parts import CorpusPart
from zoo.errors import CannotWrite, ZooError


@dataclass(frozen=True)
class Output:
    """A directory of vectors: `Output("vectors").missing(parts)`."""

    directory: str

    @property
    def path(self) -> Path:
        """The directory."""
        return Path(self.directory)

    @property
    def bad_rows(self) -> Path:
        """The file of all rows without a vector, written when the run is finished."""
        return self.path / "_bad_rows.jsonl"

    def part(self, number: int) -> Path:
        """Return the file for the vectors of a part."""
        return self.path / f"part-{number:06d}.parquet"

    def bad(self, number: int) -> Path:
        """Return the file for the bad rows of a part until the run is finished."""
        return self.path / "_bad" / f"{number:06d}.jsonl"

    def missing(self, parts: Sequence[CorpusPart]) -> list[CorpusPart]:
        """Return the parts that are not done: missing, damaged, or with too few or too many rows."""
        found = zip(parts, self._counts(parts), strict=True)
        return [part for part, (vectors, bad) in found if vectors is None or vectors + bad != part.rows]

    def _counts(self, parts: Sequence[CorpusPart]) -> Iterator[tuple[int | None, int]]:
        """Yield, for every part, the number of its vectors and of its bad rows.

        The number of vectors is None if the file is missing or damaged.
        """
        kept = Counter(part.number for part, _ in self._kept_bad(parts))
        for part in parts:
            path, own = self.part(part.number), self.bad(part.number)
            bad = own.read_bytes().count(b"\n") if own.is_file() else kept[part.number]
            yield parquet().count_own(path) if path.is_file() else None, bad

    def _kept_bad(self, parts: Sequence[CorpusPart]) -> Iterator[tuple[CorpusPart, bytes]]:
        """Yield (part, line) for the lines of `_bad_rows.jsonl`. The `row` of a line decides its part.

        Lines without a `row` of this input, and a line that was cut, are skipped.
        """
        if not self.bad_rows.is_file() or not parts:
            return
        starts = [part.first for part in parts]
        with self.bad_rows.open("rb") as lines:
            for line in lines:
                row = parsed(line)
                number = row.get("row") if isinstance(row, dict) else None
                if type(number) is int and 0 <= number < parts[-1].first + parts[-1].rows and line.endswith(b"\n"):
                    yield parts[bisect_right(starts, number) - 1], line

    def reopen(self, parts: Sequence[CorpusPart], missing: Sequence[CorpusPart] = ()) -> None:
        """Turn a finished run into an unfinished one, so that the `missing` parts are computed again.

        Removes the manifest, and writes the bad rows back into one file for every part.
        """
        with cannot_write(self.path):
            (self.path / "_manifest.json").unlink(
                missing_ok=True
            )  # first, so that the run no longer counts as finished
            for part in missing:
                self.part(part.number).unlink(missing_ok=True)
            if not self.bad_rows.exists():
                return
            lines: dict[int, list[bytes]] = {}
            for part, line in self._kept_bad(parts):
                lines.setdefault(part.number, []).append(line)
            for number, own in lines.items():
                if not self.bad(number).is_file():
                    with written_file(self.bad(number)) as temporary:
                        temporary.write_bytes(b"".join(own))
            self.bad_rows.unlink()

    def check(self, identity: Mapping[str, Any]) -> None:
        """Raise CannotWrite, which lists the differences, if the directory belongs to another job."""
        job = self.path / "_job.json"
        if not job.is_file():
            there = sorted(each.name for each in self._entries())
            if there:
                raise CannotWrite(f"{self.path} holds other files ({', '.join(there[:5])}): choose another directory.")
            return
        if not self._is_begun():
            return
        before = read_json_or_none(job)
        if not isinstance(before, dict) and (last := self.manifest()) is not None:
            before = last.job  # the manifest holds the same settings
        if not isinstance(before, dict):
            raise CannotWrite(
                f"{job} is damaged, so the settings of the existing parts are unknown. Begin anew with --restart."
            )
        asked = json.loads(to_json(identity))
        differences = [
            f"{name} {_shown(before.get(name), asked.get(name))}"
            for name in sorted({*before, *asked})
            if before.get(name) != asked.get(name)
        ]
        if differences:
            raise CannotWrite(
                f"{self.path} was begun with other settings: {'; '.join(differences)}. Use the same settings to go on, "
                "choose another directory, or begin anew with --restart."
            )

    @contextmanager
    def begun(self, identity: Mapping[str, Any], restart: bool) -> Iterator[None]:
        """Lock the directory for one run. Remove the temporary files of a killed run, or all files with `restart`."""
        with ExitStack() as stack:
            with cannot_write(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                is_free = stack.enter_context(locked_if_free(self.path / "_lock"))
            if not is_free:
                raise CannotWrite(f"another run writes to {self.path}: wait for it, or choose another place.")
            if restart:
                self._clear()
            self.check(identity)
            if not self._is_begun():
                shutil.rmtree(self.path / "_bad", ignore_errors=True)
            for left in [*self.path.glob(".*.tmp"), *(self.path / "_bad").glob(".*.tmp")]:
                delete(left)
            with written_file(self.path / "_job.json") as temporary:
                temporary.write_text(to_json(identity), encoding="utf-8")
            yield

    def finish(self, parts: Sequence[CorpusPart], identity: Mapping[str, Any], hidden_size: int) -> Manifest:
        """Check all parts, write bad rows and manifest, and return the manifest. A second call changes nothing.

        Raises ZooError, which names the parts that are missing or have a wrong number of rows.
        """
        counts = list(self._counts(parts))
        wrong = [
            self.part(part.number).name
            for part, (vectors, bad) in zip(parts, counts, strict=True)
            if vectors is None or vectors + bad != part.rows
        ]
        if wrong:
            raise ZooError(
                f"{self.path}: {', '.join(wrong[:5])} ({len(wrong)} of {len(parts)} parts) are missing or have a wrong "
                "number of rows. Run the command again: it computes these parts again."
            )
        vectors, bad = sum(found or 0 for found, _ in counts), sum(bad for _, bad in counts)
        manifest = Manifest(vectors + bad, vectors, bad, len(parts), hidden_size, identity)
        said = read_json_or_none(self.path / "_manifest.json")
        if said != json.loads(to_json(manifest.to_dict())) or (self.path / "_bad").exists():
            self.reopen(parts)
            with written_file(self.bad_rows) as temporary, temporary.open("wb") as file:
                for part in parts:
                    file.write(self.bad(part.number).read_bytes() if self.bad(part.number).is_file() else b"")
            if not bad:
                self.bad_rows.unlink()
            with written_file(self.path / "_manifest.json") as temporary:
                temporary.write_text(to_json(manifest.to_dict()), encoding="utf-8")
        shutil.rmtree(self.path / "_bad", ignore_errors=True)
        return manifest

    def manifest(self) -> Manifest | None:
        """Return the manifest, or None if the run is not finished or the manifest is damaged."""
        return read_manifest(self.path / "_manifest.json")

    def _is_begun(self) -> bool:
        """Return whether the directory holds a result, so that its settings matter."""
        return (self.path / "_manifest.json").is_file() or any(self.path.glob("part-*.parquet"))

    def _entries(self) -> list[Path]:
        if not self.path.exists():
            return []
        if not self.path.is_dir():
            raise CannotWrite(f"{self.path} is a file: choose another place.")
        return [each for each in self.path.iterdir() if each.name != "_lock" and not each.name.startswith(".")]

    def _clear(self) -> None:
        """Remove the files of an earlier run, the manifest first. Without `_job.json` nothing is removed."""
        if not (self.path / "_job.json").is_file():
            return
        for path in (self.path / "_manifest.json", self.bad_rows, *self.path.glob("part-*.parquet")):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path / "_bad", ignore_errors=True)
        (self.path / "_job.json").unlink()


def _shown(before: Any, asked: Any) -> str:
    """Return the difference of one setting, in words: "was 64, is 32"."""
    if isinstance(before, list) and isinstance(asked, list):  # the files of the input
        both = [each for each in [*before, *asked] if isinstance(each, dict)]
        changed = [str(each.get("path")) for each in both if (each in before) != (each in asked)]
        names = list(dict.fromkeys(Path(path).name for path in changed))
        return f"of the input were changed, added or removed ({', '.join(names[:5])})"
    return f"was {before!r}, is {asked!r}"
