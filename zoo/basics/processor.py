"""What this machine's processor is, and with which functions TensorFlow computes on it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

# "1" lets TensorFlow compute with oneDNN on CPUs without AVX512-VNNI too, where it does not by default: batches take
# less time (docs/use.md). TensorFlow reads it when it is imported.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_CPUINFO = Path("/proc/cpuinfo")
_OTHER_FUNCTIONS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # the last one is of ARM


def cpu_info() -> Mapping[str, str]:
    """Return what /proc/cpuinfo says of the first processor, {} where there is no such file (others than Linux).

    cpu_info()["model name"]  # "AMD EPYC 7B13"
    """
    try:
        first = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_features() -> Collection[str]:
    """Return the names of what the first processor has, such as "avx2": `flags` on x86, `Features` on ARM."""
    found = cpu_info()
    return found.get("flags", found.get("Features", "")).split()


@cache
def has_onednn_for_avx512() -> bool:
    """Return whether TensorFlow is known to compute with oneDNN's functions for AVX-512.

    It does so by default on CPUs with AVX512-VNNI. False where the system does not say what the CPU has (others than
    Linux), and where the environment chooses other functions.
    """
    by_default = os.environ.get(ONEDNN, "1") == "1" and not any(name in os.environ for name in _OTHER_FUNCTIONS)
    return by_default and "avx512_vnni" in cpu_features()


def multiplies_bfloat16() -> bool:
    """Return whether this CPU is known to have instructions that multiply bfloat16.

    Without them TensorFlow rounds more often in a product, and gives other numbers.
    """
    return not _BFLOAT16.isdisjoint(cpu_features())
