"""The directory of vectors: which of its parts are there, whose they are, and what is written when all are.

    part-000000.parquet …   ids and vectors, in the order of the input
    _job.json               what was asked for: a run with anything else does not go on here
    _manifest.json          the same and how many rows there were; written last
    _bad_rows.jsonl         the rows without a vector, if there are any
    _bad/000000.jsonl       those of one part, until the end
    _lock                   held while a run writes

Readers of Parquet pass over names that begin with `_`. No file is believed to be whole: a part counts when its rows and
its bad ones add up; another one, emptied or cut, is computed again, and so is a manifest that does not say the truth.
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
from zoo.embed.parts import Part
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
        """Where all rows without a vector are in the end."""
        return self.path / "_bad_rows.jsonl"

    def part(self, number: int) -> Path:
        """Return where the vectors of a part go."""
        return self.path / f"part-{number:06d}.parquet"

    def bad(self, number: int) -> Path:
        """Return where the bad rows of a part are kept until the end."""
        return self.path / "_bad" / f"{number:06d}.jsonl"

    def missing(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts that are still to be done: absent, damaged, or without the rows that they should have."""
        found = zip(parts, self._counts(parts), strict=True)
        return [part for part, (vectors, bad) in found if vectors is None or vectors + bad != part.rows]

    def _counts(self, parts: Sequence[Part]) -> Iterator[tuple[int | None, int]]:
        """Yield of each part how many vectors it has, None where it is absent or damaged, and how many bad rows."""
        kept = Counter(part.number for part, _ in self._kept_bad(parts))
        for part in parts:
            path, own = self.part(part.number), self.bad(part.number)
            bad = own.read_bytes().count(b"\n") if own.is_file() else kept[part.number]
            yield parquet().count_own(path) if path.is_file() else None, bad

    def _kept_bad(self, parts: Sequence[Part]) -> Iterator[tuple[Part, bytes]]:
        """Yield the lines of `_bad_rows.jsonl`, each with the part of its `row`; lines without one are passed over."""
        if not self.bad_rows.is_file() or not parts:
            return
        starts = [part.first for part in parts]
        with self.bad_rows.open("rb") as lines:
            for line in lines:
                row = parsed(line)
                number = row.get("row") if isinstance(row, dict) else None
                if type(number) is int and 0 <= number < parts[-1].first + parts[-1].rows and line.endswith(b"\n"):
                    yield parts[bisect_right(starts, number) - 1], line

    def reopen(self, parts: Sequence[Part], missing: Sequence[Part] = ()) -> None:
        """Make a run that is to be gone on with of one that said it was finished; the bad rows are kept."""
        with cannot_write(self.path):
            (self.path / "_manifest.json").unlink(missing_ok=True)  # first: from here on it is not finished
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
        """Raise CannotWrite, which lists the differences, when what is there is not of this job."""
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
            before = last.job  # says the same
        if not isinstance(before, dict):
            raise CannotWrite(f"{job} is damaged, so nobody can tell what these parts are of: --restart begins anew.")
        asked = json.loads(to_json(identity))
        differences = [
            f"{name} {_shown(before.get(name), asked.get(name))}"
            for name in sorted({*before, *asked})
            if before.get(name) != asked.get(name)
        ]
        if differences:
            raise CannotWrite(
                f"{self.path} was begun otherwise: {'; '.join(differences)}. Ask for the same to go on, choose another "
                "directory, or begin anew with --restart."
            )

    @contextmanager
    def begun(self, identity: Mapping[str, Any], restart: bool) -> Iterator[None]:
        """Hold the directory for one run, cleared of what a killed one left, or of everything with `restart`."""
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

    def finish(self, parts: Sequence[Part], identity: Mapping[str, Any], hidden_size: int) -> Manifest:
        """Return the manifest, written when every part is there and its rows add up; another call changes nothing.

        Raises ZooError, which names the parts that do not.
        """
        counts = list(self._counts(parts))
        wrong = [
            self.part(part.number).name
            for part, (vectors, bad) in zip(parts, counts, strict=True)
            if vectors is None or vectors + bad != part.rows
        ]
        if wrong:
            raise ZooError(
                f"{self.path}: {', '.join(wrong[:5])} ({len(wrong)} of {len(parts)} parts) are missing or do not "
                "have the rows they should: run again, and it computes them again."
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
        """Return what the manifest says, None when the run is not finished or the manifest is damaged."""
        return read_manifest(self.path / "_manifest.json")

    def _is_begun(self) -> bool:
        """True when something is there that other arguments would not have made."""
        return (self.path / "_manifest.json").is_file() or any(self.path.glob("part-*.parquet"))

    def _entries(self) -> list[Path]:
        if not self.path.exists():
            return []
        if not self.path.is_dir():
            raise CannotWrite(f"{self.path} is a file: choose another place.")
        return [each for each in self.path.iterdir() if each.name != "_lock" and not each.name.startswith(".")]

    def _clear(self) -> None:
        """Remove what a run of ours wrote, that it is finished first; nothing where there was none."""
        if not (self.path / "_job.json").is_file():
            return
        for path in (self.path / "_manifest.json", self.bad_rows, *self.path.glob("part-*.parquet")):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path / "_bad", ignore_errors=True)
        (self.path / "_job.json").unlink()


def _shown(before: Any, asked: Any) -> str:
    if isinstance(before, list) and isinstance(asked, list):  # the files of the input
        both = [each for each in [*before, *asked] if isinstance(each, dict)]
        changed = [str(each.get("path")) for each in both if (each in before) != (each in asked)]
        names = list(dict.fromkeys(Path(path).name for path in changed))
        return f"of the input have changed, come or gone ({', '.join(names[:5])})"
    return f"was {before!r}, is {asked!r}"
