"""Facts about the machine and the moment, for the head of the report. Linux tells most of them."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from zoo.basics.processor import cpu_features, cpu_info
from zoo.basics.side_by_side import cores

# The flags of a processor that decide which kernels run.
_TELLING = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_bf16", "asimd", "bf16")
MIB = 2**20
BUSY = 0.5  # load average above which the report says that other programs were running


def facts() -> dict[str, Any]:
    """Return cores, processor, flags, memory, system, commit and the load average of this moment."""
    flags = cpu_features()
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load_average": round(os.getloadavg()[0], 2),
        "cores": cores(),
        "processor": cpu_info().get("model name", platform.processor() or platform.machine()),
        "flags": [flag for flag in _TELLING if flag in flags],
        "all_flags": " ".join(flags),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
    }


def available_gib() -> float:
    """Return the memory that new processes may take."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return kib / 2**20


def _commit() -> str:
    """Return the checkout's commit, with a + when files differ from it; nothing where there is no git."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True)
    except OSError:
        return ""
    return commit.stdout.strip() + "+" * bool(changed.stdout.strip())
