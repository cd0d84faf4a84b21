"""A corpus of short Chinese sentences through `zoo embed` on every engine and runtime, and through a plain loop.

Each runs in processes of its own, with a tenth of the rows and with all of them. The model is albert_tiny at its true
size, of seeded random weights. Memory is the largest sum over a run's processes, children included, of what is
resident; what they share counts for each.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import MIB, facts
from benchmarks.pages import Page
from zoo.basics.files import move_into_place

_NAME, _TEXT = "albert_tiny", "albert_tiny_text"  # the encoder, and a text archive of it, which is converted
_AS_TEXT = ("--task", "vector", "--pooling", "mean", "--max-length", "128")
_ONNX: Mapping[str, Sequence[str]] = {"onnx": (), "onnx int8": ("--quantize", "int8")}
RUNS = ("plain loop", "local", *(f"local, {form}" for form in _ONNX), "beam", "spark")
_PAUSE = 0.1  # seconds between two looks at the memory

Record = dict[str, Any]


def measure(options: argparse.Namespace) -> Page:
    """Return the page after measuring the runs of `options.only`; the others are as `options.work` holds them."""
    work, rows, registry = options.work, options.rows, model(options.work)
    results = work / "results.json"
    records: dict[str, Record] = json.loads(results.read_text()) if results.exists() else {}
    for name in options.only:
        convert(registry, name.removeprefix("local, "))
        for count in (rows // 10, rows):
            found = records[f"{name} {count}"] = embed(name, corpus(work, count), count, registry, work)
            results.write_text(json.dumps(records, indent=2))
            print(f"{name} {count}: {found}", file=sys.stderr)
    return page(records, rows)


# -- what is measured ---------------------------------------------------------------------------------------------


def sentences(count: int, seed: int = 7) -> list[str]:
    """Return so many lines of 4 to 20 characters, of the thousand that come first, some with punctuation."""
    chooser = random.Random(seed)
    characters = [chr(code) for code in range(0x4E00, 0x4E00 + 1000)]
    lines = ("".join(chooser.choices(characters, k=chooser.randint(4, 20))) for _ in range(count))
    return [line + chooser.choice(["", "。", "？", "！"]) for line in lines]


def corpus(work: Path, rows: int) -> Path:
    """Return a file of so many sentences."""
    path = work / f"sentences-{rows}.txt"
    if not path.exists():
        path.write_text("".join(f"{line}\n" for line in sentences(rows)), encoding="utf-8")
    return path


def model(work: Path) -> Path:
    """Return the registry of albert_tiny, its tokenizer and its text archive, exported if they are not there."""
    out = work / "zoo"
    if not (out / "registry.json").exists():
        checkpoint = work / "checkpoint"
        subprocess.run([sys.executable, "-m", "scripts.random_checkpoint", "albert_tiny", str(checkpoint)], check=True)
        for words in (
            ["export-tokenizer", str(checkpoint), "--name", "bert_tokenizer_chinese"],
            ["export", str(checkpoint), "--name", _NAME, "--heads", "none"],
            ["export", str(checkpoint), "--name", _TEXT, *_AS_TEXT],
        ):
            _zoo(*words, "--out", str(work / "new"))
        move_into_place(work / "new", out)
    return out / "registry.json"


def convert(registry: Path, form: str) -> None:
    """Write the text archive in a form of ONNX beside the registry, unless it is there or is no such form."""
    if form in _ONNX and not (registry.parent / form).exists():
        words = ("--registry", str(registry), "--out", str(registry.parent / form))
        _zoo("convert", _TEXT, "--to", "onnx", *words, *_ONNX[form])


def _zoo(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "zoo", *words], check=True, stdout=subprocess.DEVNULL)


def embed(name: str, texts: Path, rows: int, registry: Path, work: Path) -> Record:
    """Return seconds, rows that came out, peak memory, and the largest difference from the plain loop's vectors."""
    plain, out = work / f"plain-{rows}.npy", work / "vectors"
    shutil.rmtree(out, ignore_errors=True)
    if name == "plain loop":
        words = ["benchmarks.plain_loop", str(registry), str(texts), str(plain)]
    elif (form := name.removeprefix("local, ")) in _ONNX:
        words = ["zoo", "embed", str(registry.parent / form), str(texts), str(out), "--runtime", "onnx"]
    else:
        words = ["zoo", "embed", _NAME, str(texts), str(out), "--registry", str(registry), "--engine", name]
    started, load = time.perf_counter(), facts()["load_average"]
    running = subprocess.Popen([sys.executable, "-W", "ignore", "-m", *words], stdout=subprocess.DEVNULL)
    peak = 0
    while running.poll() is None:
        peak = max(peak, resident(running.pid))
        time.sleep(_PAUSE)
    seconds = time.perf_counter() - started
    if running.returncode:
        raise SystemExit(f"{name} with {rows} rows failed")
    found = np.load(plain) if name == "plain loop" else read(out)
    difference = float(np.abs(found - np.load(plain)).max()) if plain.exists() else None
    return {
        "seconds": round(seconds, 1),
        "rows": len(found),
        "peak_mib": round(peak / MIB),
        "difference": difference,
        "load_average": load,
    }


def read(directory: Path) -> np.ndarray:
    """Return the vectors of a directory (N, H), whose ids are 0, 1, …"""
    import pyarrow.dataset

    columns = pyarrow.dataset.dataset(directory).to_table()
    if columns["id"].to_pylist() != list(range(len(columns))):
        raise SystemExit(f"{directory}: the rows are not in the order of the input")
    flat = columns["vector"].combine_chunks().flatten().to_numpy()
    return np.asarray(flat).reshape(len(columns), -1)


def resident(process: int) -> int:
    """Return the bytes that a process and all below it have in memory."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        below = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # it has ended meanwhile
        return 0
    return pages * 4096 + sum(map(resident, below))


# -- the page -----------------------------------------------------------------------------------------------------


def page(records: Mapping[str, Record], rows: int) -> Page:
    """Return the page, with a row for each run that both numbers of rows were measured of."""
    head = (
        "run",
        "rows in",
        "rows out",
        "seconds",
        "rows/s",
        "rows/s without the start",
        f"peak MiB, {rows // 10:,} rows",
        f"peak MiB, {rows:,} rows",
        "largest difference",
    )
    lines = []
    for name in RUNS:
        few, all_ = records.get(f"{name} {rows // 10}"), records.get(f"{name} {rows}")
        if few and all_:
            steady = (rows - rows // 10) / max(all_["seconds"] - few["seconds"], 0.1)
            difference = "–" if name == "plain loop" else f"{all_['difference']:.1g}"
            cells = (name, f"{rows:,}", f"{all_['rows']:,}", f"{all_['seconds']:.0f}", f"{rows / all_['seconds']:.0f}")
            lines.append([*cells, f"{steady:.0f}", few["peak_mib"], all_["peak_mib"], difference])
    load = max(record["load_average"] for record in records.values())
    about = f"""Before a run the load average was {load} at the most. The corpus: {rows:,} lines of 4 to 20 Chinese
characters, of a seed. The model: albert_tiny at its true size, of seeded random weights; mean pooling."""
    below = f"""Seconds are of the whole command: start, load, read, embed, write. "Without the start" is the pace
between {rows // 10:,} and {rows:,} rows. The plain loop is `TextEncoder`, 64 texts at a time as they come, all texts
and vectors in memory. "onnx" is a text archive of the same encoder, converted. Memory is the largest sum over the
processes of a run, children included; what they share counts for each of them."""
    return Page("embed-numbers", "A corpus on each engine", about, head, lines, below)
