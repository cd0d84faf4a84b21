"""Loading: processes started anew, in turn; from files in the page cache to the first answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tqdm import tqdm

from benchmarks.bench import Bench
from benchmarks.cases import Case
from benchmarks.peers import Peer
from benchmarks.protocol import PeerFailed

CASE = Case("dense", 8, 128)  # of the first call


def measure_loading(bench: Bench, model: str, threads: int, table: Sequence[Peer]) -> None:
    """Record import, load and first-call seconds, and the memory that loading added."""
    peers = bench.peers(table)
    if bench.done("load", model, threads, "load", peers):
        return
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    turns = [(turn, peer) for turn in range(bench.effort.fresh_rounds) for peer in peers]
    failed: set[str] = set()
    for _, peer in tqdm(turns, f"load, {model}, {threads} threads", leave=False, disable=None):
        if peer.name in failed:
            continue
        try:
            values = _load_once(bench, peer, model, threads)
        except PeerFailed as error:
            bench.missing("load", model, peer, error)
            values = None
        if values is None:
            failed.add(peer.name)
            continue
        for measure, value in values.items():
            found[measure][peer.name].append(value)
    for measure, each in found.items():
        whole = {peer: values for peer, values in each.items() if peer not in failed}
        bench.keep("load", model, threads, "load", measure, whole)


def _load_once(bench: Bench, peer: Peer, model: str, threads: int) -> dict[str, float] | None:
    worker = bench.start(peer, model, "load", threads)
    if worker is None:
        return None
    with worker:
        directory = bench.directory(peer, model)
        for file in directory.rglob("*"):  # into the page cache: disks are not compared
            if file.is_file():
                with file.open("rb") as opened:
                    while opened.read(1 << 24):
                        pass
        load = worker.ask("load", directory=directory)["seconds"]
        loaded = worker.ask("memory")
        batches = bench.batches(CASE, model)
        first, second = worker.time(batches), worker.time(batches)
        called = worker.ask("memory")
    before = worker.hello["rss"]
    return {
        "import s": worker.hello["import_seconds"],
        "load s": load,
        "first call s": first,
        "second call s": second,
        "memory after load MiB": loaded["rss"] - before,
        "memory at the peak of loading MiB": loaded["peak"] - before,
        "memory after two calls MiB": called["rss"] - before,
        "whole process after load MiB": loaded["rss"],
    }
