"""The worker's side of the protocol: one JSON request a line in, one JSON answer a line out. Runs in a peer's own venv.

Imported first by every worker, before its libraries: the cores are chosen before any thread pool is made, and what the
libraries print goes to stderr, since stdout belongs to the answers.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

STARTED = time.perf_counter()
SETTINGS: dict[str, Any] = json.loads(sys.argv[1])  # "threads", and the options of the peer
THREADS: int = SETTINGS.pop("threads")
_ANSWERS = os.fdopen(os.dup(1), "w", encoding="utf-8")
_PR_SET_PDEATHSIG = 1
TEXT_LENGTH = 128  # ids a text is packed to

os.dup2(2, 1)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
# A worker that is stopped (see protocol.py) would outlive a parent that was killed.
ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

import numpy as np  # noqa: E402


class Trainer(Protocol):
    """A classifier of two classes over the pooled output, with Adam. A batch is int32 [3, B, T], labels int32 [B]."""

    parameters: int  # those that learn, the classifier's included

    def loss(self, batch: np.ndarray, labels: np.ndarray) -> float:
        """Return the mean cross-entropy without dropout."""

    def step(self, batch: np.ndarray, labels: np.ndarray) -> None:
        """Learn from one batch, with dropout."""


class Model:
    """What a worker offers; an encoder's batch is int32 [3, B, T] (ids, mask, types), a tokenizer's texts are [B]."""

    distributions: Sequence[str] = ()  # whose versions are reported

    def prepare(self, source: Path, target: Path) -> None:
        """Write into `target` what `load` reads, from the numbers in `source` (see models.py)."""

    def load(self, directory: Path) -> None:
        raise NotImplementedError

    def inputs(self, batch: np.ndarray) -> Any:
        """Return the batch as the library takes it; not timed."""
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        """Compute, and return when it is done."""
        raise NotImplementedError

    def outputs(self, result: Any) -> dict[str, np.ndarray]:
        """Return `sequence` [B, T, H] and `pooled` [B, H]; or `ids` [B, T]; or `vectors` [B, D]."""
        raise NotImplementedError

    def trainer(self, source: Path, directory: Path, head: np.ndarray) -> Trainer:
        """Return a trainer; `head` [H, 2] is the classifier's first kernel."""
        raise NotImplementedError


class TextModel(Model):
    """Texts [B] to ids packed to TEXT_LENGTH, or to vectors. It starts from a list and ends with arrays."""

    def prepare(self, source: Path, target: Path) -> None:
        shutil.copy(source / "checkpoint" / "vocab.txt", target)

    def inputs(self, batch: np.ndarray) -> Any:
        return batch.tolist()


class Session:
    """The operations the parent may ask for, by name."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._ready: dict[str, Any] = {}
        self._trainer: Trainer | None = None

    def hello(self) -> dict[str, Any]:
        versions = {name: importlib.metadata.version(name) for name in self.model.distributions}
        return {"versions": versions, "import_seconds": time.perf_counter() - STARTED, **self.memory()}

    def prepare(self, source: str, target: str) -> None:
        Path(target).mkdir(parents=True, exist_ok=True)
        self.model.prepare(Path(source), Path(target))

    def load(self, directory: str) -> dict[str, Any]:
        return {"seconds": _seconds(lambda: self.model.load(Path(directory)))}

    def run(self, batch: str, out: str) -> dict[str, Any]:
        """Save the outputs of one batch, and return the seconds of the call."""
        ready, results = self._inputs(batch), []
        seconds = _seconds(lambda: results.append(self.model.call(ready)))
        np.savez(out, **self.model.outputs(results[0]))
        return {"seconds": seconds}

    def time(self, batches: Sequence[str], repeat: int = 1) -> dict[str, Any]:
        """Return the seconds of one call, the mean over all batches, each called `repeat` times."""
        ready = [self._inputs(batch) for batch in batches]

        def calls() -> None:
            for _ in range(repeat):
                for each in ready:
                    self.model.call(each)

        return {"seconds": _seconds(calls) / repeat / len(ready)}

    def start_training(self, source: str, directory: str, head: str, batch: str, labels: str) -> dict[str, Any]:
        self._trainer = self.model.trainer(Path(source), Path(directory), np.load(head))
        loss = self._trainer.loss(np.load(batch), np.load(labels))
        return {"parameters": self._trainer.parameters, "loss": loss}

    def train(self, batches: Sequence[str], labels: str, repeat: int = 1) -> dict[str, Any]:
        """Return the seconds of one step and the memory at its peak."""
        assert self._trainer is not None
        trainer, answers = self._trainer, np.load(labels)
        ready = [np.load(batch) for batch in batches]

        def steps() -> None:
            for _ in range(repeat):
                for each in ready:
                    trainer.step(each, answers)

        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again at what is resident
        return {"seconds": _seconds(steps) / repeat / len(ready), **self.memory()}

    def memory(self) -> dict[str, float]:
        """Return the resident set and its peak, in MiB."""
        lines = Path("/proc/self/status").read_text().splitlines()
        kib = {key: value.split()[0] for key, _, value in (line.partition(":") for line in lines) if key[:2] == "Vm"}
        return {"rss": int(kib["VmRSS"]) / 1024, "peak": int(kib["VmHWM"]) / 1024}

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Return what a method of this worker alone answers."""
        answer: dict[str, Any] = getattr(self.model, what)(**arguments)
        return answer

    def _inputs(self, batch: str) -> Any:
        if batch not in self._ready:
            self._ready[batch] = self.model.inputs(np.load(batch))
        return self._ready[batch]


def gemm_rate(product: Callable[[], Any], multiplications: int, calls: int = 40) -> float:
    """Return GFLOP/s of the fastest single call: what is asked for is a limit."""
    return 2e-9 * multiplications / min(_seconds(product) for _ in range(calls))


def _seconds(work: Callable[[], Any]) -> float:
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    gc.enable()
    return seconds


def serve(model: Model) -> None:
    """Answer until stdin ends."""
    session = Session(model)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": True, **(getattr(session, request.pop("op"))(**request) or {})}
        except Exception as error:
            traceback.print_exc()
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=_ANSWERS, flush=True)
