"""Times the encoders of a directory on this machine, each in a process of its own, and writes DIST/speed.json."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.archive.card import EncoderCard, to_json
from zoo.archive.unpack import unpack
from zoo.basics.files import written_file
from zoo.errors import BadArchive
from zoo.registry.entry import ArchiveRecord
from zoo.site.dist import CheckedArchive, read_dist

SPEED_FILE = "speed.json"
BATCHES = (1, 32)
TOKENS = 128


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Speed(_Record):
    """The median seconds of a call by the number of rows, {"1": 0.005, "32": 0.14}, of the archive with this sha256."""

    sha256: str
    seconds: dict[str, float]


class Timed(_Record):
    """The JSON that zoo.site.timing prints for one model."""

    seconds: dict[str, float]
    tensorflow: str


class Speeds(_Record):
    """The content of speed.json. Every row that was timed had `tokens` tokens and no padding."""

    machine: str
    cores: int
    date: str
    tensorflow: str
    tokens: int
    models: dict[str, Speed]
    skipped: dict[str, str] = {}

    def of(self, name: str, archive: ArchiveRecord) -> Mapping[str, float]:
        """Return the seconds of a model; {} if it was not timed, or its archive was made again since."""
        speed = self.models.get(name)
        return speed.seconds if speed and speed.sha256 == archive.sha256 else {}


def measure(dist: Path, tokens: int = TOKENS, batches: Sequence[int] = BATCHES) -> Speeds:
    """Return the seconds that each built encoder of a directory takes, and write them to its speed.json.

        measure(Path("dist")).models["albert_tiny"].seconds  # {"1": 0.0049, "32": 0.14}

    Rows have no padding. A model that takes fewer than `tokens` tokens, or fails, is in `skipped` with the reason.
    Raises BadRegistry, CannotWrite.
    """
    read = read_dist(dist)
    models, skipped, version = {}, {}, ""
    for name, built in read.built.items():
        archive = read.registry.models[name].archive
        if not isinstance(built.card, EncoderCard) or archive is None or archive.sha256 is None:
            continue
        if built.card.sizes.position_limit < tokens:
            skipped[name] = f"it takes {built.card.sizes.position_limit} tokens at most"
            continue
        try:
            timed = _timed(dist, built, tokens, batches)
        except BadArchive as error:
            skipped[name] = str(error)
            continue
        version = timed.tensorflow
        models[name] = Speed(sha256=archive.sha256, seconds=timed.seconds)
    speeds = Speeds(
        machine=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        tensorflow=version,
        tokens=tokens,
        models=models,
        skipped=skipped,
    )
    with written_file(dist / SPEED_FILE) as temporary:
        temporary.write_text(to_json(speeds.model_dump()), encoding="utf-8", newline="\n")
    return speeds


def read_speeds(dist: Path) -> Speeds | None:
    """Return the content of a directory's speed.json, None without that file. Raises BadArchive if it is damaged."""
    path = dist / SPEED_FILE
    try:
        return Speeds.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise BadArchive(f"{path} cannot be read: {found}. `zoo site {dist} --measure` writes it again.") from None


def _timed(dist: Path, built: CheckedArchive, tokens: int, batches: Sequence[int]) -> Timed:
    """Time one encoder in a process of its own. Raises BadArchive with the process's last line if it fails."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "model"
        unpack(dist / built.file, directory)
        command = [sys.executable, "-m", "zoo.site.timing", str(directory), str(tokens), *map(str, batches)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BadArchive(f"it could not be timed: {last}")
    return Timed.model_validate_json(done.stdout.splitlines()[-1])


def _processor() -> str:
    """Return the model name of the processor, 'AMD EPYC 7B13', but nothing that identifies this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()
