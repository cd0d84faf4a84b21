"""The benchmark of `zoo embed`: its sentences, the memory of a run's processes, its table."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.sections.corpus import page, resident, sentences


def test_sentences_are_of_a_seed() -> None:
    found = sentences(500)
    assert found == sentences(500) != sentences(500, seed=8) and found[:9] == sentences(9)
    assert {len(line) for line in found} <= {*range(4, 22)}


def test_memory_counts_the_children() -> None:
    child = "data = bytearray(150_000_000); print(flush=True); input()"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        assert 150e6 < resident(running.pid) < 400e6
        running.communicate("\n")
    assert resident(running.pid) == 0 < resident(os.getpid())


def test_the_table_leaves_out_what_was_not_measured() -> None:
    few = {"seconds": 10.0, "rows": 100, "peak_mib": 7, "difference": 0.0, "load_average": 0.1}
    records = {
        "local 100": few,
        "local 1000": few | {"seconds": 19.0, "rows": 1000, "difference": 7e-7},
        "beam 100": few,
    }
    made = page(records, 1000)
    assert "- |\n| local | 1,000 | 1,000 | 19 | 53 | 100 | 7 | 7 | 7e-07 |\n\nSeconds" in made.text("corpus")
