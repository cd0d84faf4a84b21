"""Damages archives and checkpoints of every format and reads them in a child process, which they may kill.

    python -m scripts.fuzz --seconds 60
    python -m scripts.fuzz --cases 10000 --format tf1 h5
    python -m scripts.fuzz --format tf1 --seed 3 --case 1234 --keep DIR   # one case once more, its files in DIR

A case is refused (a ZooError), accepted (the file was read to its end: a format without checksums cannot notice a
changed number), or a fault: any other exception, the end of the process, more than 10 seconds, or memory of more than
1 GiB above the size of the file. Exit code 1 means that there were faults. An accepted archive is not loaded.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from scripts.fuzz.child import MOST_SECONDS, Format, damaged, prepared, serve, whole
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.errors import ZooError

_PATIENCE = 300  # seconds for a child's start and its first file of a format


@dataclass
class Tally:
    """How the cases of a format ended."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    import_tensorflow_quietly()
    from scripts.fuzz.formats import FORMATS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="how long, all formats in turn")
    parser.add_argument("--cases", type=int, default=1000, help="of each format, where no --seconds are given")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the number of the first case")
    parser.add_argument(
        "--format", nargs="+", choices=FORMATS, default=[*FORMATS], metavar="F", help=", ".join(FORMATS)
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="read only this case, in this process")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the files of --case stay")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if options.case is not None:
        return _repeat(options.format[0], FORMATS[options.format[0]], options.seed, options.case, options.keep)
    numbers = itertools.count(options.first) if options.seconds else range(options.first, options.first + options.cases)
    with tempfile.TemporaryDirectory(prefix="zoo-fuzz-") as work:
        tallies = fuzz(options.format, options.seed, numbers, Path(work), options.seconds)
    print(
        json.dumps({name: asdict(tally) for name, tally in tallies.items()}, indent=2)
        if options.json
        else table(tallies)
    )
    return 1 if any(tally.faults for tally in tallies.values()) else 0


def fuzz(
    formats: Sequence[str],
    seed: int,
    numbers: Iterable[int],
    work: Path,
    seconds: float | None = None,
    module: str = "scripts.fuzz.formats",
) -> dict[str, Tally]:
    """Run the cases with these numbers in each format, and return how they ended. No case begins after `seconds`.

    `module` is the name of the module that defines FORMATS.
    """
    end = time.monotonic() + seconds if seconds else float("inf")
    tallies = {name: Tally() for name in formats}
    child = _Child(module, work)
    try:
        for number in numbers:
            for name, tally in tallies.items():
                if time.monotonic() > end:
                    return tallies
                outcome, words = child.ask(name, seed, number)
                tally.tried += 1
                tally.refused += outcome == "refused"
                tally.accepted += outcome == "accepted"
                if outcome == "fault":
                    tally.faults.append(f"case {number}: {words}")
    finally:
        child.end()
    return tallies


class _Child:
    """A process that reads files. If it ends or hangs, another one is started."""

    def __init__(self, module: str, work: Path) -> None:
        self._module, self._work = module, work
        self._process: Any = None
        self._known: set[str] = set()

    def ask(self, name: str, seed: int, number: int) -> tuple[str, str]:
        """Return how a case ended: ("refused", "BadArchive: …")."""
        if self._process is None:
            self._start()
        self._pipe.send((name, seed, number))
        if name not in self._known and (answer := self._answer(_PATIENCE))[0] != "ready":
            raise RuntimeError(f"the undamaged {name} cannot be made or read: {answer[1]}")
        self._known.add(name)
        return self._answer(2 * MOST_SECONDS)

    def _answer(self, patience: float) -> tuple[str, str]:
        """Return the child's answer, or a fault if it ends or takes longer than `patience` seconds."""
        try:
            if self._pipe.poll(patience):
                answer: tuple[str, str] = self._pipe.recv()
                return answer
            found = f"more than {patience} seconds"
        except (EOFError, ConnectionError):
            self._process.join()
            said = (self._work / "stderr").read_text(errors="replace").strip().splitlines() or [""]
            why = next((line for line in said if re.search(r"Check failed|terminate|Error", line)), said[-1])
            found = f"the process ended with {self._process.exitcode}: {why[:300]}"
        self.end()
        return "fault", found

    def end(self) -> None:
        if self._process is not None:
            self._pipe.close()  # a child that waits for a case ends by itself then
            self._process.join(1)
            self._process.kill()
            self._process.join()
        self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(self._module, self._work, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._known = set()


def table(tallies: Mapping[str, Tally]) -> str:
    """Return the counts in columns, and every fault below them."""
    rows = [f"{'format':<14}{'tried':>8}{'refused':>9}{'accepted':>10}{'faults':>8}"]
    for name, tally in tallies.items():
        rows.append(f"{name:<14}{tally.tried:>8,}{tally.refused:>9,}{tally.accepted:>10,}{len(tally.faults):>8,}")
    rows += [f"{name} {fault}" for name, tally in tallies.items() for fault in tally.faults]
    return "\n".join(rows)


def _repeat(name: str, format: Format, seed: int, number: int, keep: Path | None) -> int:
    """Read one case in this process, where a debugger can follow it, and print how it ended."""
    work = keep or Path(tempfile.mkdtemp(prefix="zoo-fuzz-"))
    good, place = prepared(format, work / name)
    target, content = damaged(format, Random(f"{seed}/{name}/{number}"), good)
    (place / target.relative_to(good)).write_bytes(content)
    print(f"{place}: {target.name} is damaged")
    try:
        format.read(whole(place))
    except ZooError as error:
        print(f"refused: {type(error).__name__}: {error}")
    else:
        print("accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
