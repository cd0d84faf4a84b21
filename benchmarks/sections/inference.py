"""Inference: dense and real-length batches; how cost grows with length and batch; what the machine could do at most."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from tqdm import tqdm

from benchmarks.bench import Bench, Crew, say
from benchmarks.cases import Case, check_cases
from benchmarks.peers import Peer
from benchmarks.protocol import PeerFailed, Worker

GEMM = {"rows": 4096, "inner": 768, "columns": 3072}  # BERT-base's feed-forward layer over 32 x 128 tokens
GEMM_CASE = "matrix product {rows} x {inner} x {columns}, {dtype}"


def measure_inference(
    bench: Bench, section: str, model: str, threads: int, cases: Sequence[Case], table: Sequence[Peer]
) -> None:
    """Time every case for every peer that computes what ours computes."""
    peers = bench.peers(table)
    pending = [case for case in cases if not bench.done(section, model, threads, case.name, peers)]
    if not pending:
        return
    with bench.crew(peers, model, section, threads) as crew:
        agree(bench, crew, section, model)
        for case in tqdm(pending, f"{section}, {model}, {threads} threads", leave=False, disable=None):
            files = bench.batches(case, model)
            values = bench.interleave(crew, files, section, model)
            bench.keep(section, model, threads, case.name, "s", values)
            medians = ", ".join(f"{peer} {median(each) * 1e3:.4g}" for peer, each in values.items())
            say(f"{section}, {model}, {threads} threads, {case.name}, ms: {medians}")


def agree(bench: Bench, crew: Crew, section: str, model: str) -> None:
    """Compare each peer's outputs at real positions with the first one's, ours; dismiss who computes something else."""
    reference: dict[str, dict[str, np.ndarray]] = {}
    for name, worker in list(crew.items()):
        try:
            difference = max(difference_from(bench, worker, case, model, reference) for case in check_cases())
            if not difference <= worker.peer.tolerance:
                raise PeerFailed(worker.peer, f"computes something else: outputs differ by {difference:.2g}")
        except PeerFailed as error:
            bench.dismiss(crew, error, section, model)
            continue
        say(f"{model}: {name} agrees, largest difference {difference:.2g}")
        bench.keep("agreement", model, 0, "outputs", "difference", {name: [difference]})


def difference_from(
    bench: Bench, worker: Worker, case: Case, model: str, reference: dict[str, dict[str, np.ndarray]]
) -> float:
    """Return the largest difference from the `reference` of a case; a worker's outputs become it if there is none."""
    file = bench.batches(case, model)[0]
    out = bench.work / "outputs.npz"
    worker.ask("run", batch=file, out=out)
    with np.load(out) as stored:
        outputs = {name: stored[name] for name in ("sequence", "pooled")}
    outputs["sequence"] *= np.load(file)[1][:, :, None]  # what peers leave at padded positions means nothing
    first = reference.setdefault(case.name, outputs)
    if any(outputs[name].shape != first[name].shape for name in first):
        return float("inf")
    return float(max(np.abs(outputs[name] - first[name]).max() for name in first))


def measure_limit(bench: Bench, model: str, threads: int, table: Sequence[Peer]) -> None:
    """Record the rate of one large matrix product, in TensorFlow and in PyTorch: the limit drawn into the plots."""
    peers = [peer for peer in bench.peers(table) if peer.name in ("ours", "torch")]
    for dtype in ("float32", "bfloat16"):
        case = GEMM_CASE.format(**GEMM, dtype=dtype)
        if bench.done("machine", "", threads, case, peers):
            continue
        for peer in peers:
            worker = bench.start(peer, model, "machine", threads)
            if worker is None:
                continue
            with worker:
                try:
                    rate = worker.ask("ask", what="gemm", **GEMM, dtype=dtype)["gflops"]
                except PeerFailed as error:
                    bench.missing("machine", "", peer, error)
                    continue
            bench.keep("machine", "", threads, case, "GFLOP/s", {peer.name: [rate]})
