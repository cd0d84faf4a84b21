"""How far the outputs of each peer are from the original computation, which export.oracle does in float64.

KerasHub is there twice: as its users get it, and with the activation that the model's config states, which is the one
that is timed elsewhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.bench import Bench
from benchmarks.cases import check_cases
from benchmarks.measure import FULL
from benchmarks.pages import Page, table
from benchmarks.peers import ENCODERS, KERAS_HUB
from benchmarks.protocol import PeerFailed
from benchmarks.results import Results
from benchmarks.sections.inference import difference_from

SECTION, THREADS = "exactness", 2
MODELS: Mapping[str, str] = {
    "bert": "BERT-base: gelu",
    "albert_tiny": "ALBERT tiny: gelu by tanh",
    "albert_base": "ALBERT base: relu",
}
PEERS = (*KERAS_HUB, *(peer for peer in ENCODERS if peer.name != "keras_hub"))


def measure(options: argparse.Namespace) -> Page:
    """Return the page; models are kept in `options.work`."""
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(Results(work / "exactness.json"), FULL, work, options.venvs, options.peers, python=options.python)
    for model in MODELS:
        original = _original(bench, model)
        for peer in bench.peers(PEERS):
            with bench.crew([peer], model, SECTION, THREADS) as crew:
                for worker in list(crew.values()):
                    try:
                        found = [difference_from(bench, worker, case, model, original) for case in check_cases()]
                    except PeerFailed as error:
                        bench.dismiss(crew, error, SECTION, model)
                        continue
                    bench.keep(SECTION, model, 0, "outputs", "difference", {peer.name: [max(found)]})
    return page(bench.results)


def _original(bench: Bench, model: str) -> dict[str, dict[str, np.ndarray]]:
    """Return what the oracle answers to each case, from the checkpoint of TF1 that every peer's form is made of."""
    from export.options import EncoderRequest
    from export.oracle.forward import Case, forward
    from export.planning import plan_encoder

    with TemporaryDirectory() as nothing:
        source = plan_encoder(EncoderRequest(bench.source(model) / "checkpoint", model, Path(nothing))).checkpoint
    cases = check_cases()
    batches = [np.load(bench.batches(case, model)[0]) for case in cases]
    answers = forward(source.read, source.shapes, source.config, [Case(*batch) for batch in batches])
    return {
        case.name: {"sequence": answer.layers[-1] * batch[1][:, :, None], "pooled": answer.pooled}
        for case, batch, answer in zip(cases, batches, answers, strict=True)
    }


def page(results: Results) -> Page:
    """Return a page with a row for each peer and a column for each model."""
    rows = []
    for peer in PEERS:
        found = [results.get(SECTION, model, 0, "outputs", peer.name, "difference") for model in MODELS]
        if any(found):
            rows.append([peer.label, *(f"{record.median:.1e}" if record else "–" for record in found)])
    about = """Largest absolute difference from the original computation in float64 (export/oracle) of the last layer's
outputs and of the pooled ones, which are around 1. Seeded random weights at true size, a dense batch of 2 × 16 and one
of 4 × 64 with padding; a form in int8 is meant to differ. KerasHub computes gelu by tanh in every BERT and ALBERT:
mended, it has the activation that the model's config states, and so it is timed in [benchmarks.md](benchmarks.md)."""
    absent = [[each.model, each.peer, each.reason] for each in results.absences.values()]
    below = "Not measured:\n\n" + table(("model", "by", "reason"), absent) if absent else ""
    return Page("exactness", "How exact the outputs are", about, ["by", *MODELS.values()], rows, below)
