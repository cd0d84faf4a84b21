"""Which functions TensorFlow computes with on this machine."""

from __future__ import annotations

import os
from pathlib import Path

# "1" lets TensorFlow compute with oneDNN on CPUs without AVX512-VNNI too, where it does not by default: batches take
# less time (docs/use.md). TensorFlow reads it when it is imported.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_CPUINFO = Path("/proc/cpuinfo")
_OTHER_FUNCTIONS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def has_onednn_for_avx512() -> bool:
    """Return whether TensorFlow is known to compute with oneDNN's functions for AVX-512.

    It does so by default on CPUs with AVX512-VNNI. False where the system does not say what the CPU has (others than
    Linux), and where the environment chooses other functions.
    """
    try:
        features = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    by_default = os.environ.get(ONEDNN, "1") == "1" and not any(name in os.environ for name in _OTHER_FUNCTIONS)
    return by_default and "avx512_vnni" in features.split()
