"""Text archives of vectors beside their encoder: one text a call, and a thousand texts through zoo.TextEncoder.

The models have their true size and seeded random weights; all calls of a model are interleaved in one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cases import texts
from benchmarks.measure import Call, Effort, interleave, timed
from benchmarks.pages import Page
from zoo.basics.files import move_into_place

MODELS = ("albert_tiny", "bert")
MANY = 1000
TEXT = "今天天气怎么样？我想去公园。"
FIRST = "TextEncoder(archive), pooling first"  # whose last layer computes first tokens alone
# What is measured -> the name of the call, of the call that it is compared with, and the goal for each model's ratio.
RATIOS = {
    "one text to its vector": ("archive", "encoder alone, its tokens given", {"albert_tiny": 1.5, "bert": 1.15}),
    f"{MANY:,} texts": ("TextEncoder(archive)", "TextEncoder(encoder, tokenizer)", {"albert_tiny": 1.05}),
    f"{MANY:,} texts, their first tokens": (FIRST, "TextEncoder(archive)", {"albert_tiny": 0.9, "bert": 0.96}),
}
used = partial(timed, clock=time.process_time)
_EFFORT = Effort(budget=60.0, least=5, most=40, shortest=0.1)


def measure(options: argparse.Namespace) -> Page:
    """Return the page; archives are kept in `options.work`."""
    rows = [row for name in options.model or MODELS for row in _rows(name, options.work.absolute())]
    head = ["model", "what", "ms of CPU", "beside", "ms of CPU", "ratio", "goal"]
    about = """Models of true size with seeded random weights. Times are CPU time of the process, all of its threads
together, medians of interleaved calls; the ratio is the median of the rounds' ratios."""
    return Page("text-numbers", "Text archives: how long a call takes", about, head, rows)


def _rows(name: str, work: Path) -> list[list[object]]:
    calls = _calls(name, archives(name, work), archives(name, work, "first"))
    rows: list[list[object]] = []
    for what, (one, other, goals) in RATIOS.items():
        if name not in goals:
            continue
        found = interleave({key: calls[key] for key in (one, other)}, _EFFORT)
        ours, theirs = found[one], found[other]
        ratio = median(first / second for first, second in zip(ours, theirs, strict=True))
        times = [f"{1000 * median(values):.3g}" for values in (ours, theirs)]
        rows.append([name, f"{what}: {one}", times[0], other, times[1], f"{ratio:.2f}", f"≤ {goals[name]:.2f}"])
    return rows


def archives(name: str, work: Path, pooling: str = "mean") -> Path:
    """Return the directory of a model's text archive, encoder and tokenizer, exported if they are not there."""
    out = work / (f"{name}_texts" if pooling == "mean" else f"{name}_{pooling}")
    if not (out / "registry.json").exists():
        checkpoint = work / f"{name}_checkpoint"
        if not checkpoint.exists():
            subprocess.run([sys.executable, "-m", "scripts.random_checkpoint", name, str(checkpoint)], check=True)
        how = ["--kind", "all", "--task", "vector", "--pooling", pooling, "--max-length", "128", "--heads", "none"]
        command = [sys.executable, "-m", "zoo", "export", str(checkpoint), "--name", name, *how]
        subprocess.run([*command, "--out", str(work / "new")], check=True, stdout=subprocess.DEVNULL)
        move_into_place(work / "new", out)
    return out


def _calls(name: str, out: Path, of_first: Path) -> dict[str, Call]:
    import zoo

    archive: Any = zoo.load(out / f"{name}.tar.gz")
    ids = archive.tokenizer([TEXT], special_tokens=True)
    whole = zoo.TextEncoder(out / f"{name}.tar.gz")
    pair = zoo.TextEncoder(out / f"{name}_encoder.tar.gz", tokenizer=out / f"{name}_tokenizer.tar.gz", pooling="mean")
    first = zoo.TextEncoder(of_first / f"{name}.tar.gz")
    many = texts(MANY)
    return {
        "archive": used(lambda: archive([TEXT]).numpy()),
        "encoder alone, its tokens given": used(lambda: archive.encoder(ids)["sequence_output"].numpy()),
        "TextEncoder(archive)": used(lambda: whole(many, show_progress=False)),
        FIRST: used(lambda: first(many, show_progress=False)),
        "TextEncoder(encoder, tokenizer)": used(lambda: pair(many, show_progress=False)),
    }
