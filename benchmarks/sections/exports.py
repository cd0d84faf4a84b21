"""Time, peak memory and archive size of exports at true size, from checkpoints of seeded random weights.

Peak memory is the child process's maximum resident set, verification included; the bound that the project keeps is
twice the weights' size plus 1.2 GiB. Archives are made without heads, as the predecessor's were.
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

from benchmarks.machine import MIB
from benchmarks.pages import Page

# model -> checkpoint in scripts/random_checkpoint.py, options, and the predecessor's archive in MiB where there was one
MODELS: dict[str, tuple[str, list[str], int | None]] = {
    "albert_tiny": ("albert_tiny", [], 16),
    "albert_small": ("albert_small", [], 18),
    "albert_base": ("albert_base", [], 39),
    "albert_large": ("albert_large", [], 61),
    "albert_xlarge": ("albert_xlarge", [], 207),
    "bert": ("bert", [], 364),
    "electra_small": ("electra_small", [], 46),
    "electra_smallex": ("electra_smallex", [], 91),
    "electra_base": ("electra_base", [], 365),
    "roberta_wwm_1": ("bert", ["--layers", "1"], 87),
    "roberta_wwm_3": ("bert", ["--layers", "3"], 138),
    "roberta_wwm_large": ("roberta_wwm_large", [], None),
    "roberta_wwm_large_1": ("roberta_wwm_large", ["--layers", "1"], 128),
    "roberta_wwm_large_3": ("roberta_wwm_large", ["--layers", "3"], 217),
    "bert in bfloat16": ("bert", ["--dtype", "bfloat16"], None),
}
COLUMNS = ("model", "weights MiB", "archive MiB", "predecessor MiB", "export s", "peak memory MiB", "bound MiB")


def measure(options: argparse.Namespace) -> Page:
    """Return the page of `options.model`, or of all MODELS; with `options.slots`, checkpoints hold Adam's slots."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as directory:
        for model in options.model or MODELS:
            rows.append(_measure(model, Path(directory), options.slots))
            print(*rows[-1], sep=" | ", file=sys.stderr)
    about = """The checkpoints hold seeded random weights in the genuine layouts; archives are without heads, as the
predecessor's (qhduan/bert-model) were. Times include reading, saving, the independent forward pass, packing,
unpacking and verification. Memory is the peak of the whole process; the bound is twice the weights plus 1.2 GiB."""
    return Page("exports", "Exports at true size", about, COLUMNS, rows)


def _measure(model: str, directory: Path, slots: bool) -> list[object]:
    """Return one row: the export of one checkpoint in a process of its own."""
    size, arguments, predecessor = MODELS[model]
    checkpoint = directory / size
    if not checkpoint.exists():
        # In a process of its own, so that the child measured below does not inherit its memory.
        command = [sys.executable, "-m", "scripts.random_checkpoint", size, str(checkpoint), *["--slots"] * slots]
        subprocess.run(command, check=True)
    out = directory / "out"
    command = [sys.executable, "-m", "zoo", "export", str(checkpoint), "--name", "model", "--out", str(out), "--json"]
    started = time.perf_counter()
    child = subprocess.Popen([*command, "--heads", "none", *arguments], stdout=subprocess.PIPE)
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"zoo export of {model} failed")
    entry = json.loads(printed)["model"]
    weights = entry["parameters"] * (2 if "--dtype" in arguments else 4) / MIB
    archive = entry["archive"]["size"] / MIB
    (out / "model.tar.gz").unlink()
    return [
        model + " with Adam slots" * slots,
        f"{weights:.1f}",
        f"{archive:.1f}",
        predecessor or "–",
        f"{seconds:.1f}",
        f"{usage.ru_maxrss / 1024:.0f}",
        f"{2 * weights + 1.2 * 1024:.0f}",
    ]
