"""The loop that `zoo embed` is compared with: a TextEncoder, 64 texts at a time in the order of the file.

python -m benchmarks.plain_loop REGISTRY TEXTS OUT.npy
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import zoo


def main() -> None:
    registry, texts, out = sys.argv[1:]
    encode = zoo.TextEncoder("albert_tiny", registry=registry)
    lines = Path(texts).read_text(encoding="utf-8").splitlines()
    vectors = [encode(lines[start : start + 64], 64, show_progress=False) for start in range(0, len(lines), 64)]
    np.save(out, np.concatenate(vectors))


if __name__ == "__main__":
    main()
