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

from benchmarks.cases import Case
from benchmarks.machine import MIB
from benchmarks.measure import Call, Effort, interleave, timed
from benchmarks.pages import Page
from benchmarks.sections.corpus import model
from export.convert import to_onnx, to_tfjs, to_tflite
from export.convert.check import Batch
from export.convert.conversion import Conversion, convert_model
from export.convert.report import ConversionReport
from zoo.contract import INPUT_KEYS, INPUT_MASK
from zoo.errors import ZooError
from zoo.loading.load import load_directory
from zoo.loading.matching import FoundEncoder, find_pair

NODE = Path(__file__).parents[2] / "examples" / "node"
CASES = (Case("dense", 1, 64), Case("dense", 32, 128), Case("real", 32, 128))
VOCABULARY = 21128
EFFORT = Effort(budget=20.0, least=3, most=9, long=0.1)
_FORMS = (("onnx", None), ("onnx", "int8"), ("tflite", None), ("tflite", "int8"), ("tfjs", None))


@dataclass
class Form:
    """One way to run the model: what was measured of it so far, and a call for each case."""

    name: str
    mib: float
    load: float | None
    difference: float | None = None
    calls: dict[Case, Call] = field(default_factory=dict)


def measure(options: argparse.Namespace) -> Page:
    """Return the page; the archive is kept in `options.work`."""
    work = options.work.absolute()
    found = find_pair("albert_tiny", registry=str(model(work)))
    if NODE.is_dir():
        os.chdir(NODE)  # where Node looks for packages
    forms = list(prepared(found, work / "converted"))
    times = [
        interleave({form.name: form.calls[case] for form in forms if case in form.calls}, EFFORT) for case in CASES
    ]
    return page(forms, times)


def page(forms: Sequence[Form], times: Sequence[dict[str, tuple[float, ...]]]) -> Page:
    """Return the page. `times` are the seconds of each form, one dictionary for each of CASES."""
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
    cases = (f"{case.name.replace(' x ', ' × ')}, ms" for case in CASES)
    head = ["form", "MiB", "load s", *cases, "largest difference"]
    about = """albert_tiny at its true size with seeded random weights. A dense batch has no padding, so that nothing is
won by dropping it; a real one has the lengths of short texts, padded to 128. Times are medians of interleaved calls,
loading is once, in a process that has its libraries already. The difference is the largest from the archive, over the
batches of `zoo convert`."""
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
    for case in CASES:
        inputs = {key: tf.constant(array) for key, array in batch(case).items()}
        form.calls[case] = timed(lambda inputs=inputs: encoder(inputs)["pooled_output"].numpy())
    return form


def loaded(label: str, load: Callable[[], Callable[[Batch], Any]], report: ConversionReport) -> Form:
    """Return a form that runs in this process."""
    started = time.perf_counter()
    encode = load()
    form = Form(label, model_mib(report), time.perf_counter() - started, difference(report))
    for case in CASES:
        inputs = batch(case)
        form.calls[case] = timed(lambda inputs=inputs: encode(inputs))
    return form


def in_tfjs(directory: Path, report: ConversionReport) -> Iterator[Form]:
    one = CASES[0]

    def ask() -> tuple[float, float]:
        found = to_tfjs.ask_node(directory, [batch(one), batch(one)])  # the first one warms up
        return found["load"] / 1000, found["times"][1] / 1000

    if report.comparison is None:
        print(f"left out: tfjs in Node: {report.not_verified}", file=sys.stderr)
        return
    form = Form("tfjs (cpu) in Node", model_mib(report), ask()[0], difference(report))
    form.calls = {one: lambda repeat: ask()[1]}  # 32 rows take its plain JavaScript minutes
    yield form


def in_onnxruntime_node(label: str, directory: Path, report: ConversionReport) -> Iterator[Form]:
    """examples/node/bench.js prints a line of JSON for each case: its kind, rows and length, and ms."""
    tokens = batch(CASES[-1])[INPUT_MASK].sum(1).tolist()

    def ask() -> dict[Case, float]:
        command = ["node", "bench.js", str(directory), "5", ",".join(map(str, tokens))]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=True)
        lines = map(json.loads, done.stdout.splitlines())
        return {Case(line["kind"], line["batch"], line["length"]): line["ms"] / 1000 for line in lines}

    if not (NODE / "bench.js").is_file() or not (NODE / "node_modules/onnxruntime-node").is_dir():
        print("left out: onnxruntime-node: `npm ci` in examples/node", file=sys.stderr)
        return
    form = Form(label, model_mib(report), None, difference(report))
    form.calls = {case: lambda repeat, case=case: ask()[case] for case in CASES}
    yield form


def batch(case: Case) -> dict[str, np.ndarray]:
    """Return one batch of a case, by the names of its inputs."""
    return dict(zip(INPUT_KEYS, case.batches(VOCABULARY)[0], strict=True))


def model_mib(report: ConversionReport) -> float:
    return sum(digest.size for name, digest in report.files.items() if name != "tokenizer.json") / MIB


def difference(report: ConversionReport) -> float | None:
    return max(report.comparison.differences.values()) if report.comparison else None
