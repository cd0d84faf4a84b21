"""Builds in a process of its own and kills it, each time at another of its writes.

    python -m tests.export.release.killing POINTS COMMAND…

TensorFlow is imported once; each build is a fork. What the directory holds after each kill goes to stdout, as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from zoo.archive.digests import sha256_of
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.command import main


def state(out: Path) -> dict[str, Any]:
    """Return which archives the registry of `out` names, and which of them are missing or others."""
    path = out / "registry.json"
    models = json.loads(path.read_bytes())["models"] if path.exists() else {}
    named = {name: model["archive"] for name, model in models.items() if "archive" in model}
    files = {name: out / archive["urls"][0] for name, archive in named.items()}
    wrong = [name for name, file in files.items() if not file.is_file() or sha256_of(file) != named[name]["sha256"]]
    return {"rows": sorted(models), "named": sorted(named), "wrong": wrong}


def _die_at(point: int) -> None:
    """Let the process kill itself at a move of a file into its place: before the first at 0, after it at 1, …"""
    replace, moves = Path.replace, iter(range(point + 2))

    def counted(self: Path, target: Any) -> Path:
        if next(moves) == point:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = replace(self, target)
        if next(moves) == point:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    Path.replace = counted  # type: ignore[assignment,method-assign]


def _killed(point: int, command: list[str]) -> bool:
    child = os.fork()
    if child == 0:
        _die_at(point)
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        os._exit(main(command))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


if __name__ == "__main__":
    points, command = [int(point) for point in sys.argv[1].split(",")], sys.argv[2:]
    import_tensorflow_quietly()
    import export.pipeline  # noqa: F401

    out = Path(command[command.index("--out") + 1])
    for point in points:
        print(json.dumps({"point": point, "killed": _killed(point, command), **state(out)}), flush=True)
