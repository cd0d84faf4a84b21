"""`zoo build --dry-run`: what each step would do. Nothing is downloaded or written; sizes and times are estimates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from export.release.builder import Builder, Job
from export.release.plan import Step, estimate, groups
from export.release.sources import Found, Inputs, said
from zoo.archive.kinds import KINDS
from zoo.basics.display import table
from zoo.contract import ONNX, VECTOR
from zoo.registry.entry import Entry, NoteSource, Source

_VOCABULARY_BYTES = 110_000  # of the Chinese BERTs
_MIB = 2**20


@dataclass(frozen=True)
class Foreseen:
    """What one step would do; `download` and `archive` are estimated bytes, `seconds` an estimate too."""

    name: str
    what: str  # export, unchanged, or "no source"
    source: str
    download: int
    archive: int
    seconds: float


@dataclass(frozen=True)
class DryRun:
    """What every step would do, if `jobs` processes build at a time; `print(dry_run)` shows a table.

    `conversions` are the archives that `--with onnx` makes besides, None without it. Nothing is estimated of them.
    """

    steps: Sequence[Foreseen]
    jobs: int = 1
    conversions: Sequence[str] | None = None

    def to_dict(self) -> dict[str, object]:
        """Return what `zoo build --dry-run --json` prints."""
        totals = {"download": self._sum("download"), "archive": self._sum("archive"), "seconds": self.seconds}
        conversions = {} if self.conversions is None else {"conversions": list(self.conversions)}
        return {"about": totals, "steps": [asdict(step) for step in self.steps], **conversions}

    @property
    def seconds(self) -> float:
        """Estimated time of all exports, without downloads."""
        return round(self._sum("seconds") / self.jobs, 1)

    def __str__(self) -> str:
        rows = [
            (step.name, step.what, *(_about(amount / _MIB) for amount in (step.download, step.archive)),
             _about(step.seconds), step.source)
            for step in self.steps
        ]  # fmt: skip
        todo, minutes = sum(step.what == "export" for step in self.steps), math.ceil(self.seconds / 60)
        return (
            table(("name", "what", "download MiB", "archive MiB", "seconds", "source"), rows)
            + f"\n{todo} of {len(self.steps)} exports to make: about {self._sum('download') / _MIB:,.0f} MiB to fetch, "
            f"{self._sum('archive') / _MIB:,.0f} MiB of archives; {minutes} min with {self.jobs} at a time, "
            "downloads left out." + ("" if self.conversions is None else f"\n{_converted(self.conversions)}")
        )

    def _sum(self, amount: str) -> float:
        return sum(getattr(step, amount) for step in self.steps)


def dry_run(steps: Sequence[Step], job: Job, jobs: int = 1, onnx: bool = False) -> DryRun:
    """Return what a build of these steps would do; with `onnx`, what is converted then too.

        print(dry_run(make_steps(registry), Job(registry.models, Path("dist"))))

    Checkpoints on this disk are read for their digests: only so can a step be known to be unchanged.
    """
    foreseen: list[Foreseen] = []
    with Builder(job) as builder:
        fetched: set[str] = set()
        for group in groups(steps):
            origin = group[0].origin
            found = job.shelf.find(origin, job.models[origin])
            inputs = found.read() if found else None
            foreseen += [_foreseen(step, job, builder, found, inputs, fetched) for step in group]
    vectors = [step.name for step in steps if job.models[step.name].task == VECTOR]
    return DryRun(foreseen, jobs, [f"{name}{ONNX}" for name in vectors] if onnx else None)


def _converted(names: Sequence[str]) -> str:
    """Return the line about the conversions of a build."""
    if not names:
        return "--with onnx: none of these is a text archive of vectors."
    return f"--with onnx: then {', '.join(names)}, each converted, compared and verified; not in these numbers."


def _foreseen(
    step: Step, job: Job, builder: Builder, found: Found | None, inputs: Inputs | None, fetched: set[str]
) -> Foreseen:
    """Return what a step would do. `fetched` are the sources that earlier steps would download."""
    if inputs and builder.unchanged(step, inputs):
        return Foreseen(step.name, "unchanged", inputs.said, 0, 0, 0.0)
    entry = job.models[step.origin]
    source = found.source if found else next((each for each in entry.sources if not isinstance(each, NoteSource)), None)
    if source is None:
        notes = "; ".join(said(each) for each in entry.sources) or "its row names none"
        return Foreseen(step.name, "no source", notes, 0, 0, 0.0)
    text = found.said if found else said(source)
    about = estimate(step, job.models, job.options.dtype)
    download = 0 if found or text in fetched else _download(source, entry, job)
    fetched.add(text)
    return Foreseen(step.name, "export", text, download, about.archive, round(about.seconds, 1))


def _download(source: Source, entry: Entry, job: Job) -> int:
    """Return the estimated bytes of a checkpoint: 4 for each parameter of the largest row with the same source."""
    if not KINDS[entry.kind].has_weights and source.kind == "huggingface":
        return _VOCABULARY_BYTES
    sharing = [each for each in job.models.values() if source in each.sources]
    return max((4 * (each.parameters or 0) for each in sharing), default=0)


def _about(amount: float) -> str:
    return f"about {amount:,.1f}" if amount else ""
