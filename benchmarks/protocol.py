"""The parent's side of the protocol: one process for each peer, of which only the one that is asked runs."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any

from benchmarks.peers import Peer, environment

PATIENCE = 1800.0  # seconds for one answer: exports and first calls of large batches are slow


class PeerFailed(Exception):
    """A worker answered with an error, died or did not answer."""

    def __init__(self, peer: Peer, reason: str) -> None:
        super().__init__(f"{peer.name}: {reason}")
        self.peer, self.reason = peer, reason


class Worker:
    """One peer in a process of its own, stopped by SIGSTOP between two requests.

        with Worker(peer, python, threads=2, log=Path("ours.log")) as worker:
            worker.ask("load", directory="…")["seconds"]

    Raises PeerFailed.
    """

    def __init__(self, peer: Peer, python: Path, threads: int, log: Path) -> None:
        self.peer = peer
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        settings = json.dumps({"threads": threads, **peer.options})
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [str(python), str(peer.script), settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(peer, threads),
                text=True,
            )
        try:
            self.hello = self.ask("hello")
        except PeerFailed:
            self.close()
            raise

    def ask(self, op: str, **arguments: object) -> dict[str, Any]:
        """Return the answer to one request; meanwhile the worker runs, and no other does."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.send_signal(signal.SIGCONT)
        watchdog = Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps({"op": op, **arguments}, default=str) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            raise PeerFailed(self.peer, f"died in {op!r} with status {self._process.wait()}: {self._last_words()}")
        self._process.send_signal(signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise PeerFailed(self.peer, answer["error"].splitlines()[0][:300])
        return answer

    def time(self, batches: Sequence[Path], repeat: int = 1) -> float:
        """Return the seconds of one call."""
        return float(self.ask("time", batches=list(batches), repeat=repeat)["seconds"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # the worker died before it read everything
                    stream.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["nothing in its log"]
        return f"{lines[-1][:300]} ({self._log})"
