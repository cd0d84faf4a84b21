"""Runs of `zoo embed` that are killed, each at a random one of its calls. Run as a program, it prints what became of
them:

    python -m tests.zoo.embed.embedding REGISTRY INPUT DIRECTORY COUNT

The engine is one without TensorFlow, whose vectors say which text they are of, so that a run costs milliseconds.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

import zoo.embed.parquet
from tests.zoo.processes import exit_code, forked, run_until
from zoo.embed import Corpus, EncoderSpec, Plan, Settings, plan_corpus
from zoo.embed.job import EmbeddingJob
from zoo.embed.parts import CorpusPart
from zoo.embed.rows import Reader
from zoo.embed.run import run_plan


def embed_parts(
    job: EmbeddingJob, parts: Sequence[CorpusPart], advance: Callable[[int], object], options: Sequence[str]
) -> None:
    """The engine: a vector holds the length of its text and the number of its part."""
    for part in parts:
        with closing(Reader(job.source)) as reader:
            rows = reader.read(part)
        vectors = [[len(text), part.number] * (job.hidden_size // 2) for text in rows.texts]
        job.write(part, rows, np.array(vectors, np.float32).reshape(-1, job.hidden_size))
        advance(part.rows)


_write = zoo.embed.parquet.write_vectors


def write_slowly(path: Path, *what: Any) -> None:
    """Write as the module does, two bytes at a call, so that many a kill comes amid a file."""
    _write(path, *what)
    content = path.read_bytes()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), 2):
            file.write(content[start : start + 2])


def killed(registry: str, place: str, directory: Path, number: int) -> list[dict[str, object]]:
    """Return of each killed run at which call it was, what it left and whether the next one made it whole."""
    pa.array(np.zeros(1))  # looks for pandas, whose import would be most of the calls

    def planned(name: str) -> Plan:
        spec = EncoderSpec("toy", registry=registry)
        return plan_corpus(spec, Corpus(place), directory / name, settings=Settings(rows_per_part=3))

    exit_code(forked(lambda: run_plan(planned("whole"))))
    whole, counted, plan = files(directory / "whole"), planned("counted"), planned("killed")
    output, calls = directory / "killed", directory / "calls"
    exit_code(forked(lambda: calls.write_text(str(run_until(0, lambda: run_plan(counted))))))
    rounds: list[dict[str, object]] = []
    random.seed(20)
    while len(rounds) < number:
        shutil.rmtree(output, ignore_errors=True)
        point = random.randint(1, int(calls.read_text()))
        code = exit_code(forked(lambda: run_until(point, lambda: run_plan(plan))))  # noqa: B023
        if code != -signal.SIGKILL:
            continue
        left = files(output)
        halves = [name for name, content in left.items() if name[0] != "." and content != whole.get(name, content)]
        code = exit_code(forked(lambda: run_plan(plan)))
        rounds.append({"point": point, "left": [*left], "halves": halves, "next": code, "same": files(output) == whole})
    return rounds


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    sys.modules["zoo.embed.local"] = SimpleNamespace(embed_parts=embed_parts)  # type: ignore[assignment]
    zoo.embed.parquet.write_vectors = write_slowly
    print(json.dumps(killed(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
