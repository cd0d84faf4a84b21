"""Times the models of a directory on this machine, each in a process of its own, and writes DIST/speed.json."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zoo.archive.card import ModelCard, TextCard, to_json
from zoo.archive.unpack import unpack
from zoo.basics.files import written_file
from zoo.basics.processor import cpu_info
from zoo.basics.side_by_side import cores
from zoo.errors import BadArchive
from zoo.registry.entry import ArchiveRecord
from zoo.site.dist import CheckedArchive, read_dist

SPEED_FILE = "speed.json"
BATCHES = (1, 32)
TOKENS = 128
_BUSY = 0.05  # share of the cores that other processes may take
_LOADED = 0.25  # load for each core, which also counts what has just ended


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class _Times(_Record):
    """The median seconds of a call by the number of rows, {"1": 0.005, "32": 0.14}, and the two quartiles around it.

    `others` is how many cores other processes kept busy on average while this model was timed, None if unknown.
    """

    seconds: dict[str, float]
    quartiles: dict[str, tuple[float, float]] = {}
    others: float | None = None


class Speed(_Times):
    """The times of the archive with this sha256."""

    sha256: str


class Timed(_Times):
    """The JSON that zoo.site.timing prints for one model."""

    tensorflow: str


class Speeds(_Record):
    """The content of speed.json. Every row that was timed had `tokens` tokens and no padding."""

    machine: str
    cores: int
    date: str
    tensorflow: str
    tokens: int
    load: float | None = Field(default=None, description="average of the last minute before the first model was timed")
    models: dict[str, Speed]
    skipped: dict[str, str] = {}

    def of(self, name: str, archive: ArchiveRecord) -> Speed | None:
        """Return the times of a model; None if it was not timed, or its archive was made again since."""
        speed = self.models.get(name)
        return speed if speed and speed.sha256 == archive.sha256 else None

    def is_busy(self, speed: Speed) -> bool:
        """Whether other processes took more than a twentieth of the cores while a model was timed."""
        return (speed.others or 0.0) > _BUSY * self.cores

    @property
    def was_loaded(self) -> bool:
        """Whether the machine had other work: its load before, or while some model was timed."""
        return (self.load or 0.0) > _LOADED * self.cores or any(map(self.is_busy, self.models.values()))


def measure(dist: Path, tokens: int = TOKENS, batches: Sequence[int] = BATCHES) -> Speeds:
    """Return the seconds that each built encoder and text archive takes, and write them to the directory's speed.json.

        measure(Path("dist")).models["albert_tiny"].seconds  # {"1": 0.0049, "32": 0.14}

    Rows have no padding. A model that takes fewer than `tokens` tokens, or fails, is in `skipped` with the reason.
    Raises BadRegistry, CannotWrite.
    """
    read = read_dist(dist)
    models, skipped, version = {}, {}, ""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    for name, built in read.built.items():
        archive = read.registry.models[name].archive
        if not isinstance(built.card, ModelCard) or archive is None or archive.sha256 is None:
            continue
        most = built.card.task.max_length if isinstance(built.card, TextCard) else built.card.sizes.position_limit
        if most < tokens:
            skipped[name] = f"it takes {most} tokens at most"
            continue
        try:
            timed = _timed(dist, built, tokens, batches)
        except BadArchive as error:
            skipped[name] = str(error)
            continue
        version = timed.tensorflow
        models[name] = Speed(sha256=archive.sha256, **timed.model_dump(exclude={"tensorflow"}))
    speeds = Speeds(
        machine=_processor(),
        cores=cores(),
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        tensorflow=version,
        tokens=tokens,
        load=load,
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
    """Time one model in a process of its own. Raises BadArchive with the process's last line if it fails."""
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
    return cpu_info().get("model name", "") or platform.processor() or platform.machine()
