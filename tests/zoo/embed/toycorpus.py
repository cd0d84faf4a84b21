"""A corpus of twelve rows, one of them no text, that every engine of `zoo embed` gives the same vectors for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.embed import Settings

TEXTS = ["你好", "w1 w2 w3 w4 w5 w6 w7", "", "好", "w9 你 w3", "w1", "w2 w2", "好 好 好 w4", "你", "w5 w6", "w8"]
SETTINGS = Settings(rows_per_part=4, batch_size=3)


def write_lines(path: Path) -> Path:
    """Write TEXTS as lines, with a row that is no text after the fourth; return the path."""
    raw = [text.encode() for text in TEXTS]
    path.write_bytes(b"\n".join([*raw[:4], b"\xff", *raw[4:]]) + b"\n")
    return path


def assert_same(one: Path, other: Path) -> None:
    """Both directories hold the same rows, vectors and files."""
    import pyarrow.dataset as ds

    left, right = (ds.dataset(place).to_table() for place in (one, other))
    assert left["id"].equals(right["id"]) and len(left) == len(TEXTS)
    vectors = [np.stack(table["vector"].to_numpy()) for table in (left, right)]
    np.testing.assert_allclose(*vectors, atol=1e-6, rtol=0)
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in other.iterdir())
    assert (one / "_bad_rows.jsonl").read_bytes() == (other / "_bad_rows.jsonl").read_bytes()
