"""Time, peak memory and archive size of exports at true size, from checkpoints of seeded random weights.

    python -m benchmarks.export bert bert --slots --json

Peak memory is the child process's maximum resident set, verification included. The bound that the project keeps is
twice the weights' size plus 1.2 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.random_checkpoint import SIZES, write

MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", nargs="+", choices=SIZES)
    parser.add_argument("--slots", action="store_true", help="checkpoints with Adam slots")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(size, options.slots) for size in options.size]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("| model | weights MiB | archive MiB | export s | peak memory MiB | bound MiB |\n|-|-|-|-|-|-|")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


def measure(size: str, slots: bool) -> dict[str, object]:
    """Return one row: the export of one checkpoint in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        checkpoint, out = Path(directory) / "checkpoint", Path(directory) / "out"
        # In a process of its own, so that the child measured below does not inherit its memory.
        subprocess.run([sys.executable, "-c", _WRITE, size, str(checkpoint), str(int(slots))], check=True)
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "zoo", "export", str(checkpoint), "--name", size, "--out", str(out), "--json"],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        entry = json.loads(child.stdout.read())[size]
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"zoo export of {size} failed")
        weights = entry["parameters"] * 4
        return {
            "model": size + (" with Adam slots" if slots else ""),
            "weights": round(weights / MIB, 1),
            "archive": round(entry["archive"]["size"] / MIB, 1),
            "seconds": round(time.perf_counter() - started, 1),
            "peak": round(usage.ru_maxrss / 1024),
            "bound": round(2 * weights / MIB + 1.2 * 1024),
        }


_WRITE = f"""
import sys
from pathlib import Path
from {write.__module__} import write
write(sys.argv[1], Path(sys.argv[2]), slots=sys.argv[3] == "1")
"""

if __name__ == "__main__":
    main()
