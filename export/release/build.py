"""`zoo build`: write the registry into `out`, run one step after another, note every result in build.json at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.release.builder import Job
from export.release.plan import Step
from export.release.processes import run_steps
from export.release.report import REPORT, BuildReport, write_report
from export.workspace import remove_abandoned
from zoo.basics.extras import imported
from zoo.basics.files import cannot_write
from zoo.basics.locks import locked, locked_if_free, remove_temporary
from zoo.basics.progress import progress
from zoo.basics.urls import local_path
from zoo.contract import REGISTRY_FILE, SCHEMA_FILE
from zoo.errors import CannotWrite, ZooError
from zoo.registry.entry import Entry, writers
from zoo.registry.registry import Registry
from zoo.registry.writing import own_registry, update_registry


def build_steps(steps: Sequence[Step], registry: Registry, job: Job, *, jobs: int = 1) -> BuildReport:
    """Build every step; return the report. Archives, registry.json and build.json are written into `job.out`.

        steps = make_steps(registry)
        print(build_steps(steps, registry, Job(registry.models, Path("dist"), Shelf(Path("sources")))))

    If the process is killed, the registry still names only archives that are there, and the next run goes on from
    there. A step that fails becomes a row "failed" of the report, and the others go on. Raises BadRegistry, and
    CannotWrite, also if another process builds in `job.out`.
    """
    with exclusive(job.out):
        write_rows(registry, job.out)
        report = BuildReport(rows=job.done)
        with progress("building", sum(len(step.rows) for step in steps), unit=" models") as advance:
            for rows in run_steps(steps, job, jobs):
                report = report.with_rows(rows)
                write_report(report, job.out)
                advance(len(rows))
        # In the order of the steps, not in that of the processes.
        report = BuildReport(run=tuple(name for step in steps for name in step.rows), rows=report.rows)
        write_report(report, job.out)
    return report


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold the lock for builds in `out` during the block; first remove what killed builds left there."""
    with cannot_write(out):
        out.mkdir(parents=True, exist_ok=True)
        with locked_if_free(out / ".build.lock") as is_free:
            if not is_free:
                raise CannotWrite(f"another process builds in {out}: wait for it, or choose another --out.")
            remove_abandoned(out)
            with locked(out / ".registry.lock"):
                for name in (REGISTRY_FILE, SCHEMA_FILE, REPORT):
                    remove_temporary(out / name)
            yield


def write_rows(registry: Registry, out: Path) -> None:
    """Write the rows into the registry of `out`. A row whose archive lies there keeps what its export has written."""
    path = out / REGISTRY_FILE
    known = own_registry(path) if path.exists() else Registry()
    rows = {name: _row(entry, known.models.get(name), registry, out) for name, entry in registry.models.items()}
    others = {name: _row(entry, entry, known, out) for name, entry in known.models.items() if name not in rows}
    update_registry(path, {**others, **rows})


def _row(entry: Entry, known: Entry | None, registry: Registry, out: Path) -> Entry:
    """Return the row for the registry of `out`: `entry` of `registry`, with what `out` has in its row `known`."""
    entry = entry if local_path(registry.place) else entry.only_known()
    kept = known.model_extra or {} if known else {}
    entry = entry.model_copy(update={**kept, **(entry.model_extra or {})})
    if known and known.archive and _lies_there(known, out):
        found = {field for field, written in writers().items() if "exporter" in written.by}
        return entry.model_copy(update={field: getattr(known, field) for field in found})
    elsewhere = [url for url in registry.urls(entry) if url.startswith(("http://", "https://"))]
    archive = entry.archive.model_copy(update={"urls": elsewhere}) if entry.archive and elsewhere else None
    return entry.model_copy(update={"archive": archive})


def _lies_there(entry: Entry, out: Path) -> bool:
    """Return whether the archive of a row lies in `out`, by its size; its digest is compared later."""
    assert entry.archive is not None  # the caller asked
    file = out / (entry.archive.file or "")
    return file.is_file() and file.stat().st_size == entry.archive.size


def write_catalogue(out: Path) -> str:
    """Write the catalogue page and its files. Return '', or the reason why it was not written: Jinja2 is missing."""
    try:
        imported("jinja2", "it", "site")
    except ZooError as error:
        return f"no catalogue page was written: {error}"
    from zoo.site import write_site

    write_site(out)
    return ""
