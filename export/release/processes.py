"""Run steps in this process, or in several processes with their own TensorFlow; yield results as they are ready."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from export.release.builder import Builder, Job
from export.release.plan import Step, groups
from export.release.report import Row, failed

_PATIENCE = 10.0  # seconds in which a process may end by itself


def run_steps(steps: Sequence[Step], job: Job, jobs: int = 1) -> Iterator[list[Row]]:
    """Yield the rows of each step when it is done; a step that fails holds up no other.

    All steps of one checkpoint run in one process, which opens the checkpoint once.
    """
    work = deque(deque(group) for group in groups(steps))
    if min(jobs, len(work)) > 1:
        yield from _in_processes(work, job, jobs)
        return
    with Builder(job) as builder:
        for step in steps:
            yield builder.run(step)


# -- several ----------------------------------------------------------------------------------------------------------


@dataclass
class _Worker:
    """A process, the steps that wait for it, and `at`, the step that it is running."""

    process: BaseProcess
    steps: deque[Step]
    at: Step = field(init=False)


def _in_processes(work: deque[deque[Step]], job: Job, jobs: int) -> Iterator[list[Row]]:
    """Run groups of steps in at most `jobs` processes; yield the rows of each step when it is done."""
    workers: dict[Connection, _Worker] = {}
    try:
        while work or workers:
            while work and len(workers) < jobs:
                connection, process = _started(job)
                workers[connection] = _Worker(process, work.popleft())
                _hand_out(connection, workers[connection])
            for ready in wait(list(workers)):
                assert isinstance(ready, Connection)
                worker = workers[ready]
                try:
                    rows, lives = ready.recv(), True
                except (EOFError, OSError):
                    rows, lives = _lost(worker, job), False
                yield rows
                if not worker.steps and work and lives:
                    worker.steps = work.popleft()
                if worker.steps and lives:
                    _hand_out(ready, worker)
                else:  # another process takes the steps that a lost process has left
                    work.extendleft([worker.steps] if worker.steps else [])
                    ready.close()
                    del workers[ready]
    finally:
        for connection in workers:
            connection.close()  # a process ends when its connection is closed
        for worker in workers.values():
            worker.process.join(_PATIENCE)
            worker.process.kill()


def _started(job: Job) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")  # after a fork, a TensorFlow that has computed no longer works
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, job))
    process.start()
    theirs.close()
    return ours, process


def _hand_out(connection: Connection, worker: _Worker) -> None:
    worker.at = worker.steps.popleft()
    with suppress(OSError):  # the process has ended already; the next `wait` reports it
        connection.send(worker.at)


def _lost(worker: _Worker, job: Job) -> list[Row]:
    """Return the rows of the step during which a process ended, as failed."""
    worker.process.join(_PATIENCE)
    reason = f"the process that built it ended with exit code {worker.process.exitcode}; is there too little memory?"
    return [failed(name, reason, job.done) for name in worker.at.rows]


# -- inside one process -----------------------------------------------------------------------------------------------


def _serve(connection: Connection, job: Job) -> None:
    """Run the steps that arrive until the connection is closed; end if the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which then ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stderr.isatty = lambda: False  # type: ignore[method-assign]  # several progress bars overwrite each other
    with Builder(job) as builder, suppress(EOFError, OSError):
        while True:
            connection.send(builder.run(connection.recv()))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
