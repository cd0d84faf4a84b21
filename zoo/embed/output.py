"""The directory of vectors: which of its parts are there, whose they are, and what is written when all are.

    part-000000.parquet …   ids and vectors, in the order of the input
    _job.json               what was asked for: a run with anything else does not go on here
    _manifest.json          the same and how many rows there were; written last
    _bad_rows.jsonl         the rows without a vector, if there are any
    _bad/000000.jsonl       those of one part, until the end
    _lock                   held while a run writes

Readers of Parquet pass over names that begin with `_`.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from zoo.card import to_json
from zoo.embed.needs import parquet
from zoo.embed.parts import Part
from zoo.errors import CannotWrite, ZooError
from zoo.files import cannot_write, written_file

_PATIENCE = 0.5  # seconds between two looks at what workers have finished


@dataclass(frozen=True)
class Manifest:
    """What became of a corpus: every row has a vector or is among the bad ones, and `rows` is the sum."""

    rows: int
    vectors: int
    bad: int
    parts: int
    hidden_size: int
    job: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return what `_manifest.json` holds."""
        return asdict(self)


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
        """Return the parts that are still to be done."""
        return [part for part in parts if not self.part(part.number).is_file()]

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
        try:
            before = json.loads(job.read_bytes())
        except ValueError as error:
            raise CannotWrite(f"{job} cannot be read ({error}): --restart begins anew.") from None
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
        lock = FileLock(self.path / "_lock", timeout=0)
        with cannot_write(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:
                raise CannotWrite(f"another run writes to {self.path}: wait for it, or choose another place.") from None
        try:
            if restart:
                self._clear()
            self.check(identity)
            if not self._is_begun():
                shutil.rmtree(self.path / "_bad", ignore_errors=True)
            for left in [*self.path.glob(".*.tmp"), *(self.path / "_bad").glob(".*.tmp")]:
                left.unlink(missing_ok=True)
            with written_file(self.path / "_job.json") as temporary:
                temporary.write_text(to_json(identity), encoding="utf-8")
            yield
        finally:
            lock.release()

    def finish(self, parts: Sequence[Part], identity: Mapping[str, Any], hidden_size: int) -> Manifest:
        """Return the manifest, written when every part is there and its rows add up; another call changes nothing.

        Raises ZooError, which names the parts that do not.
        """
        if (last := self.manifest()) is not None:
            shutil.rmtree(self.path / "_bad", ignore_errors=True)
            return last
        vectors = bad = 0
        wrong = []
        with written_file(self.bad_rows) as temporary, temporary.open("wb") as file:
            for part in parts:
                lines = self.bad(part.number).read_bytes() if self.bad(part.number).is_file() else b""
                found = parquet().count(self.part(part.number)) if self.part(part.number).is_file() else None
                if found is None or found + lines.count(b"\n") != part.rows:
                    wrong.append(self.part(part.number).name)
                vectors, bad = vectors + (found or 0), bad + lines.count(b"\n")
                file.write(lines)
            if wrong:
                raise ZooError(
                    f"{self.path}: {', '.join(wrong[:5])} ({len(wrong)} of {len(parts)} parts) are missing or do not "
                    "have the rows they should: remove them and run again."
                )
        if not bad:
            self.bad_rows.unlink()
        manifest = Manifest(vectors + bad, vectors, bad, len(parts), hidden_size, identity)
        with written_file(self.path / "_manifest.json") as temporary:
            temporary.write_text(to_json(manifest.to_dict()), encoding="utf-8")
        shutil.rmtree(self.path / "_bad", ignore_errors=True)
        return manifest

    def manifest(self) -> Manifest | None:
        """Return what the manifest says, None when the run is not finished."""
        try:
            return Manifest(**json.loads((self.path / "_manifest.json").read_bytes()))
        except FileNotFoundError:
            return None

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


@contextmanager
def watched(output: Output, parts: Sequence[Part], advance: Callable[[int], object]) -> Iterator[None]:
    """Tell `advance` of the rows of parts that other processes finish, as their files appear."""
    done, left = threading.Event(), list(parts)

    def look() -> None:
        for part in [each for each in left if output.part(each.number).is_file()]:
            left.remove(part)
            advance(part.rows)

    def watch() -> None:
        while not done.wait(_PATIENCE):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        look()


def _shown(before: Any, asked: Any) -> str:
    if isinstance(before, list) and isinstance(asked, list):  # the files of the input
        changed = [each["path"] for each in [*before, *asked] if (each in before) != (each in asked)]
        names = list(dict.fromkeys(Path(path).name for path in changed))
        return f"of the input have changed, come or gone ({', '.join(names[:5])})"
    return f"was {before!r}, is {asked!r}"
