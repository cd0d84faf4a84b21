"""The child process: it damages and reads case after case, and says how each ended. The parent ends it if it hangs."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from scripts.fuzz.mutations import BYTES, Mutation
from zoo.basics.files import move_into_place
from zoo.errors import ZooError

MOST_SECONDS = 10
MOST_MEMORY = 1 << 30  # bytes, above the size of the file
_CEILING = 4 << 30  # bytes of address space: a child that needs more ends, and the machine goes on


@dataclass(frozen=True)
class Format:
    """One kind of file. `make` writes an undamaged example; `changed` are patterns of the files to damage.

    `read` is called with the directory, or with its only file, and raises ZooError or returns.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    changed: tuple[str, ...]
    mutations: tuple[Mutation, ...] = ()  # in addition to BYTES


def serve(module: str, work: Path, pipe: Connection) -> None:
    """Read (format, seed, number of the case) from the pipe and answer with (outcome, words), until it is closed."""
    os.dup2(os.open(work / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    formats: Mapping[str, Format] = importlib.import_module(module).FORMATS
    places: dict[str, tuple[Path, Path]] = {}
    while True:
        try:
            name, seed, number = pipe.recv()
        except EOFError:
            return
        if name not in places:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            places[name] = prepared(formats[name], work / name)
            resource.setrlimit(resource.RLIMIT_AS, (_statm(0) + _CEILING, resource.RLIM_INFINITY))
            pipe.send(("ready", ""))
        good, place = places[name]
        target, content = damaged(formats[name], Random(f"{seed}/{name}/{number}"), good)
        file = place / target.relative_to(good)
        file.write_bytes(content)
        pipe.send(_outcome(formats[name], whole(place), len(content)))
        file.write_bytes(target.read_bytes())


def prepared(format: Format, work: Path) -> tuple[Path, Path]:
    """Return the directory of an undamaged example, made once, and a copy of it to damage, which was read once."""
    good, place, making = work / "good", work / "case", work / "making"
    if not good.exists():
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        format.make(making)
        move_into_place(making, good)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(good, place)
    format.read(whole(place))  # so that late imports do not count in the first case
    return good, place


def whole(place: Path) -> Path:
    """Return what is read: the only file of a directory, or the directory."""
    inside = [*place.iterdir()]
    return inside[0] if len(inside) == 1 else place


def damaged(format: Format, random: Random, good: Path) -> tuple[Path, bytes]:
    """Return the file of the undamaged example to damage, and its damaged bytes; both depend on `random` alone."""
    target = random.choice(sorted(good.glob(random.choice(format.changed))))
    content = target.read_bytes()
    # A format's own mutations parse files of its first pattern. What they cannot parse is damaged as bytes.
    own = format.mutations if target.match(format.changed[0]) else ()
    for _ in range(random.choice((1, 1, 1, 2))):
        try:
            content = random.choice((*own, *BYTES))(random, content)
        except Exception:
            content = random.choice(BYTES)(random, content)
    return target, content


def _outcome(format: Format, path: Path, size: int) -> tuple[str, str]:
    """Read a file of `size` bytes, and return how that ended: ("fault", "KeyError: 'x' at tf1.py:99")."""
    before, start = _reset_peak(), time.monotonic()
    try:
        format.read(path)
        outcome, words = "accepted", ""
    except ZooError as error:
        outcome, words = "refused", f"{type(error).__name__}: {str(error)[:300]}"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "/lib/" not in frame.filename]
        outcome, words = "fault", f"{type(error).__name__}: {str(error)[:200]} at {ours[-1]}"
    took, grown = time.monotonic() - start, _peak() - before
    if took > MOST_SECONDS:
        return "fault", f"{took:.0f} seconds"
    if grown > MOST_MEMORY + size:
        return "fault", f"{grown / 2**30:.1f} GiB of memory"
    return outcome, words


# -- memory, as Linux states it in /proc ------------------------------------------------------------------------------


def _reset_peak() -> int:
    """Set the peak of memory to the memory used now, and return that in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _statm(1)


def _statm(field: int) -> int:
    """Return bytes of this process: field 0 is its address space, field 1 the memory it uses."""
    return int(Path("/proc/self/statm").read_text().split()[field]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
