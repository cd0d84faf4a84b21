"""Archives: how long an export takes, what it weighs, how long unpacking and verifying take; sizes of peers' files."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.bench import Bench
from benchmarks.machine import MIB
from benchmarks.peers import NotInstalled, Peer
from benchmarks.protocol import PeerFailed


def measure_archives(bench: Bench, model: str, threads: int, table: Sequence[Peer]) -> None:
    """Record what every peer has on disk and, of ours, the seconds and sizes of the way there and back."""
    peers = bench.peers(table)
    if bench.done("archive", model, threads, "archive", peers):
        return
    for peer in tqdm(peers, f"archive, {model}", leave=False, disable=None):
        try:
            directory = bench.directory(peer, model)
            measures = {"directory MiB": [_size(directory)]}
            if peer.is_ours:
                measures |= _export(bench, peer, model, threads)
        except (NotInstalled, PeerFailed) as error:
            bench.missing("archive", model, peer, error)
            continue
        for measure, values in measures.items():
            bench.keep("archive", model, threads, "archive", measure, {peer.name: values})


def _export(bench: Bench, peer: Peer, model: str, threads: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    worker = bench.start(peer, model, "archive", threads)
    if worker is None:
        return found
    with worker:
        for turn in range(bench.effort.exports):
            scratch = bench.work / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
            made = worker.ask("ask", what="export", source=str(bench.source(model)), target=str(scratch))
            archive = str(scratch / "model.tar.gz")
            checked = worker.ask("ask", what="check_in", archive=archive, sha256=made["sha256"], scratch=str(scratch))
            found["export s"].append(made["seconds"])
            found["unpack s"].append(checked["unpack"])
            found["verify s"].append(checked["verify"])
            if not turn:
                found["archive MiB"].append(made["bytes"] / MIB)
            shutil.rmtree(scratch)
    return found


def _size(directory: Path) -> float:
    """Return the MiB of what is loaded: of a directory with an archive or a checkpoint beside it, the SavedModel."""
    loaded = directory / "saved_model" if (directory / "saved_model").is_dir() else directory
    return sum(file.stat().st_size for file in loaded.rglob("*") if file.is_file()) / MIB
