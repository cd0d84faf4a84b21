"""What `zoo convert` makes, beside the archive: size, time to load, time of a batch, difference. One table, one run.

The model is albert_tiny at its true size, of seeded random weights; batches are of 1 and 32 rows of 64 real tokens.
Everything is loaded first and called in turn then, so that what disturbs the machine meets all; a time is the median.
Forms whose runtime is not here are left out. Node is started anew each turn, and is asked from examples/node.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import MIB
from benchmarks.measure import Call, Effort, interleave
from benchmarks.pages import Page
from benchmarks.sections.corpus import model
from export.convert import to_onnx, to_tfjs, to_tflite
from export.convert.check import Batch
from export.convert.conversion import Conversion, convert_model
from export.convert.report import ConversionReport
from zoo.contract import INPUT_KEYS
from zoo.errors import ZooError
from zoo.loading.load import load_directory
from zoo.loading.matching import FoundEncoder, find_pair

NODE = Path(__file__).parents[2] / "examples" / "node"
ROWS, LENGTH = (1, 32), 64
EFFORT = Effort(budget=20.0, least=3, most=9, long=0.1)
_FORMS = (("onnx", None), ("onnx", "int8"), ("tflite", None), ("tflite", "int8"), ("tfjs", None))


@dataclass
class Form:
    """One way to run the model: what was measured of it so far, and a call for each number of rows."""

    name: str
    mib: float
    load: float | None
    difference: float | None = None
    calls: dict[int, Call] = field(default_factory=dict)


def measure(options: argparse.Namespace) -> Page:
    """Return the page; the archive is kept in `options.work`."""
    work = options.work.absolute()
    found = find_pair("albert_tiny", registry=str(model(work)))
    if NODE.is_dir():
        os.chdir(NODE)  # where Node looks for packages
    forms = list(prepared(found, work / "converted"))
    times = [interleave({form.name: form.calls[rows] for form in forms if rows in form.calls}, EFFORT) for rows in ROWS]
    return page(forms, times)


def page(forms: Sequence[Form], times: Sequence[dict[str, tuple[float, ...]]]) -> Page:
    """Return the page. `times` are the seconds of each form, one dictionary for each of ROWS."""
    rows = [
        [
            form.name,
            f"{form.mib:.1f}",
            _stated(form.load, ".2f"),
            *(_stated(1000 * median(of[form.name]) if form.name in of else None, ".1f") for of in times),
            _stated(form.difference, ".1g"),
        ]
        for form in forms
    ]
    head = ["form", "MiB", "load s", *(f"{count} × {LENGTH}, ms" for count in ROWS), "largest difference"]
    about = f"""albert_tiny at its true size with seeded random weights; batches of {LENGTH} real tokens a row, so that
nothing is won by dropping padding; times are medians of interleaved calls, loading is once, in a process that has its
libraries already. The difference is the largest from the archive, over the batches of `zoo convert`."""
    below = "32 rows are left out for tfjs: its plain JavaScript would need minutes."
    return Page("converted", "Converted models", about, head, rows, below)


def _stated(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


# -- the forms --------------------------------------------------------------------------------------------------------


def prepared(found: FoundEncoder, work: Path) -> Iterator[Form]:
    """Yield every form whose runtime is here, converted and loaded."""
    shutil.rmtree(work, ignore_errors=True)
    yield saved_model(found)
    for name, quantized in _FORMS:
        out = work / "-".join(filter(None, (name, quantized)))
        try:
            report = convert_model(Conversion(found, name, out, quantized))
        except ZooError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        if name == "tfjs":
            yield from in_tfjs(out, report)
        else:
            load = {"onnx": to_onnx.load_onnx, "tflite": to_tflite.load_tflite}[name]
            label = " ".join(filter(None, ({"onnx": "ONNX", "tflite": "TFLite"}[name], quantized or "fp32")))
            yield loaded(label, lambda load=load, out=out: load(out), report)
            if name == "onnx":
                yield from in_onnxruntime_node(f"{label} in onnxruntime-node", out, report)


def saved_model(found: FoundEncoder) -> Form:
    import tensorflow as tf

    started = time.perf_counter()
    encoder = load_directory(found.directory, found.card.name)
    form = Form("SavedModel", sum(file.size for file in found.card.files.values()) / MIB, 0.0)
    form.load = time.perf_counter() - started
    for rows in ROWS:
        inputs = {key: tf.constant(array) for key, array in batch(rows).items()}
        form.calls[rows] = timed(lambda inputs=inputs: encoder(inputs)["pooled_output"].numpy())
    return form


def loaded(label: str, load: Callable[[], Callable[[Batch], Any]], report: ConversionReport) -> Form:
    """Return a form that runs in this process."""
    started = time.perf_counter()
    encode = load()
    form = Form(label, model_mib(report), time.perf_counter() - started, difference(report))
    for rows in ROWS:
        inputs = batch(rows)
        form.calls[rows] = timed(lambda inputs=inputs: encode(inputs))
    return form


def in_tfjs(directory: Path, report: ConversionReport) -> Iterator[Form]:
    def ask(rows: int) -> tuple[float, float]:
        found = to_tfjs.ask_node(directory, [batch(1), batch(rows)])  # the first one warms up
        return found["load"] / 1000, found["times"][1] / 1000

    if report.comparison is None:
        print(f"left out: tfjs in Node: {report.not_verified}", file=sys.stderr)
        return
    form = Form("tfjs (cpu) in Node", model_mib(report), ask(1)[0], difference(report))
    form.calls = {1: lambda repeat: ask(1)[1]}  # 32 rows take its plain JavaScript minutes
    yield form


def in_onnxruntime_node(label: str, directory: Path, report: ConversionReport) -> Iterator[Form]:
    """examples/node/bench.js prints a line of JSON for each batch: its rows, and ms."""

    def ask() -> dict[int, dict[str, float]]:
        command = ["node", "bench.js", str(directory), "5"]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=True)
        return {line["batch"]: line for line in map(json.loads, done.stdout.splitlines())}

    if not (NODE / "bench.js").is_file() or not (NODE / "node_modules/onnxruntime-node").is_dir():
        print("left out: onnxruntime-node: `npm ci` in examples/node", file=sys.stderr)
        return
    form = Form(label, model_mib(report), None, difference(report))
    form.calls = {rows: lambda repeat, rows=rows: ask()[rows]["ms"] / 1000 for rows in ROWS}
    yield form


def batch(rows: int) -> dict[str, np.ndarray]:
    """Return ids of the middle of the vocabulary, without padding."""
    ids = np.random.default_rng(rows).integers(670, 7000, (rows, LENGTH), np.int32)
    return dict(zip(INPUT_KEYS, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True))


def timed(call: Callable[[], object]) -> Call:
    def measure(repeat: int) -> float:
        started = time.perf_counter()
        for _ in range(repeat):
            call()
        return (time.perf_counter() - started) / repeat

    return measure


def model_mib(report: ConversionReport) -> float:
    return sum(digest.size for name, digest in report.files.items() if name != "tokenizer.json") / MIB


def difference(report: ConversionReport) -> float | None:
    return max(report.comparison.differences.values()) if report.comparison else None
