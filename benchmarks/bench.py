"""The run that all parts share: the models on disk, each peer's own form of them, and the peers' workers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.cases import Case
from benchmarks.measure import Effort, interleave
from benchmarks.models import sizes
from benchmarks.peers import HERE, OWN, REQUIREMENTS, NotInstalled, Peer, digest, install
from benchmarks.protocol import PeerFailed, Worker
from benchmarks.results import Absence, Record, Results

Crew = dict[str, Worker]
ROOT = HERE.parent


@dataclass
class Bench:
    """A run: its directories, its effort, and its results so far."""

    results: Results
    effort: Effort
    work: Path  # models and what peers make of them; kept between runs
    venvs: Path
    only: Sequence[str] = ()  # names of peers; all if empty
    resume: bool = False  # leave out what `results` holds already
    python: str = sys.executable
    _directories: dict[tuple[str, str], Path | PeerFailed] = field(default_factory=dict)
    _interpreters: dict[str, Path | NotInstalled] = field(default_factory=dict)

    # -- peers --------------------------------------------------------------------------------------------------------

    def peers(self, table: Sequence[Peer]) -> list[Peer]:
        """Return the peers of a table that were asked for."""
        return [peer for peer in table if (peer.name in self.only if self.only else not peer.by_name)]

    def interpreter(self, venv: str) -> Path:
        """Return the interpreter of an environment. Raises NotInstalled; a failed installation is not tried again."""
        if venv not in self._interpreters:
            say(f"environment {venv}: making it if it is not there …" if venv else "environment: this one")
            try:
                self._interpreters[venv] = install(venv, self.venvs, self.python)
            except NotInstalled as error:
                self._interpreters[venv] = error
        found = self._interpreters[venv]
        if isinstance(found, NotInstalled):
            raise found
        return found

    def start(self, peer: Peer, model: str, section: str, threads: int) -> Worker | None:
        """Prepare a peer's form of the model and start its worker. If that fails, note the reason and return None."""
        try:
            self.directory(peer, model)
            log = self.work / "logs" / f"{section}-{peer.name}.log"
            worker = Worker(peer, self.interpreter(peer.venv), threads, log)
        except (NotInstalled, PeerFailed) as error:
            self.missing(section, model, peer, error)
            return None
        self.results.versions[peer.name] = worker.hello["versions"]
        return worker

    @contextmanager
    def crew(
        self,
        peers: Sequence[Peer],
        model: str,
        section: str,
        threads: int,
        ready: Callable[[Worker], object] | None = None,
    ) -> Iterator[Crew]:
        """Yield the workers that started and loaded the model, by name. `ready`, if given, is called to load it."""

        def load(worker: Worker) -> None:
            worker.ask("load", directory=self.directory(worker.peer, model))

        with ExitStack() as stack:
            crew: Crew = {}
            for peer in peers:
                worker = self.start(peer, model, section, threads)
                if worker is not None:
                    crew[peer.name] = stack.enter_context(worker)
            for worker in list(crew.values()):
                try:
                    (ready or load)(worker)
                except PeerFailed as error:
                    self.dismiss(crew, error, section, model)
            yield crew

    def dismiss(self, crew: Crew, error: PeerFailed, section: str, model: str) -> None:
        """Note why a peer failed, end its worker, and go on without it."""
        self.missing(section, model, error.peer, error)
        crew.pop(error.peer.name).close()

    def missing(self, section: str, model: str, peer: Peer, error: Exception) -> None:
        reason = error.reason if isinstance(error, PeerFailed) else str(error)
        say(f"{section}, {model}: without {peer.name}: {reason}")
        self.results.miss(Absence(section, model, peer.name, reason))

    # -- models and inputs --------------------------------------------------------------------------------------------

    def source(self, model: str) -> Path:
        """Return the directory of a model's numbers (see models.py), written if it is not there."""
        makers = [HERE / "models.py", ROOT / "scripts" / "layouts.py", ROOT / "scripts" / "random_checkpoint.py"]
        self.results.models[model] = sizes(model)

        def write(directory: Path) -> None:
            command = [sys.executable, "-m", "benchmarks.models", model, str(directory)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"the numbers of {model} could not be written:\n{done.stderr}")

        return _kept(self.work / model / "source", digest(makers), write)

    def directory(self, peer: Peer, model: str) -> Path:
        """Return what a peer loads: its own form of a model. Raises NotInstalled, PeerFailed."""
        key = model, peer.directory
        if key not in self._directories:  # once a run: code that changes meanwhile must not change what is measured
            try:
                self._directories[key] = self._prepare(peer, model)
            except PeerFailed as error:
                self._directories[key] = error
        found = self._directories[key]
        if isinstance(found, PeerFailed):
            raise PeerFailed(peer, found.reason)
        return found

    def _prepare(self, peer: Peer, model: str) -> Path:
        source = self.source(model)
        python = self.interpreter(peer.venv)
        makers = [peer.script, HERE / "models.py", *_requirements(peer)]

        def write(directory: Path) -> None:
            say(f"{model}: {peer.directory} prepares its form of it …")
            with Worker(peer, python, threads=2, log=self.work / "logs" / f"prepare-{peer.directory}.log") as worker:
                worker.ask("prepare", source=source, target=directory)

        return _kept(self.work / model / peer.directory, digest(makers), write)

    def array(self, name: str, make: Callable[[], np.ndarray]) -> Path:
        """Return a .npy file that every worker may read, made if it is not there."""
        file = self.work / f"arrays-{digest([HERE / 'cases.py'])[:8]}" / f"{name.replace(' ', '_')}.npy"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, make())
        return file

    def batches(self, case: Case, model: str) -> list[Path]:
        vocabulary = sizes(model)["vocabulary"]
        made = case.batches(vocabulary)
        return [self.array(f"{case.name} {vocabulary} {i}", partial(np.asarray, batch)) for i, batch in enumerate(made)]

    # -- rounds and results -------------------------------------------------------------------------------------------

    def interleave(self, crew: Crew, files: Sequence[Path], section: str, model: str) -> dict[str, tuple[float, ...]]:
        """Return the seconds of each peer's calls, round by round."""
        return self.turns(crew, lambda worker, repeat: worker.time(files, repeat), section, model, len(files))

    def turns(
        self,
        crew: Crew,
        call: Callable[[Worker, int], float],
        section: str,
        model: str,
        batches: int,
        effort: Effort | None = None,
    ) -> dict[str, tuple[float, ...]]:
        """Return each peer's seconds, round by round; a peer that fails is dismissed and the others start again."""
        while crew:
            calls = {name: partial(call, worker) for name, worker in crew.items()}
            try:
                return interleave(calls, effort or self.effort, batches)
            except PeerFailed as error:
                self.dismiss(crew, error, section, model)
        return {}

    def keep(
        self,
        section: str,
        model: str,
        threads: int,
        case: str,
        measure: str,
        values: Mapping[str, Sequence[float]],
        rounds: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Add the values of each peer and write the file. `rounds` names each value's, if a peer missed rounds."""
        self.results.add(
            Record(section, model, threads, case, peer, measure, tuple(each), tuple((rounds or {}).get(peer, ())))
            for peer, each in values.items()
        )
        self.results.write()

    def done(self, section: str, model: str, threads: int, case: str, peers: Sequence[Peer]) -> bool:
        """Return whether a resumed run may skip this case: it has a record of every peer that did not fail before."""
        absent = {peer for (at, of, peer) in self.results.absences if (at, of) == (section, model)}
        expected = {peer.name for peer in peers} - absent
        return self.resume and bool(expected) and self.results.measured(section, model, threads, case, expected)


def say(line: str) -> None:
    """Print a line to stderr without tearing the progress bar."""
    tqdm.write(line, file=sys.stderr)


def _kept(directory: Path, wanted: str, write: Callable[[Path], None]) -> Path:
    """Return a directory that `write` fills; it is filled again if `wanted`, the digest of its makers, has changed."""
    stamp = directory.with_name(f"{directory.name}.made-by")
    if not (directory.exists() and stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(directory, ignore_errors=True)
        stamp.unlink(missing_ok=True)
        directory.mkdir(parents=True)
        write(directory)
        stamp.write_text(wanted)
    return directory


def _requirements(peer: Peer) -> list[Path]:
    """Return the files on which a peer's form of a model depends: its requirements, or the code of this checkout."""
    if peer.venv != OWN:
        return [REQUIREMENTS / f"{peer.venv}.txt"]
    return [file for package in ("export", "zoo", "tokenizer") for file in (ROOT / package).rglob("*.py")]
