"""Writes the text archive in ONNX that tests of zoo.lite read, and its answers, for a suite without tf2onnx.

    pip install '.[onnx]' && python -m scripts.lite_model    # writes tests/zoo/lite/data/ again

The model is that of "vector: max and dense" in scripts/text_answers.py at half its width: max pooling, a dense layer,
length 1, 30 tokens, the prompt "a 1: " for queries.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from scripts.architectures import sibling_weights
from scripts.hard_texts import TEXTS as HARD
from scripts.text_answers import TEXTS

TESTS = Path(__file__).parents[1] / "tests"
ANSWERS = TESTS / "export" / "data" / "text_answers.json.gz"
DATA = TESTS / "zoo" / "lite" / "data"
CASE = "vector: max and dense"
_HALF = {32: 16, 56: 24, 24: 12}  # width of the case -> of this model
ASKED = [*TEXTS, *HARD, "good bad " * 30]
PAIRS = [
    ["你好", "the hotel was good"],
    ["good bad " * 30, "w1 w2 w3"],
    ["w4", "w5 w6 " * 30],
    ["w7 " * 41, "w8 " * 40],
]


def write_checkpoint(folder: Path) -> None:
    """Write the directory of a sentence-transformers model."""
    from safetensors.numpy import save_file

    case = json.loads(gzip.decompress(ANSWERS.read_bytes()))[CASE]
    for file, text in case["files"].items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(_halved(text) if file.endswith("config.json") else text, encoding="utf-8")
    for file, shapes in case["weights"].items():
        halved = {name: [_HALF.get(size, size) for size in shape] for name, shape in shapes.items()}
        save_file(sibling_weights(halved), folder / file)


def _halved(text: str) -> str:
    stated: dict[str, Any] = json.loads(text)
    widths = ("hidden_size", "intermediate_size", "embedding_dimension", "in_features", "out_features")
    return json.dumps({key: _HALF[value] if key in widths else value for key, value in stated.items()})


def answers(archive: Path) -> Mapping[str, np.ndarray]:
    """Return what the archive answers: ids, rows that end with -1, without [CLS] and [SEP]; and vectors."""
    import zoo

    loaded = zoo.load(archive)
    return {
        "ids": loaded.tokenizer.tokenize(ASKED).merge_dims(1, 2).to_tensor(-1).numpy(),
        "vectors": loaded(ASKED).numpy(),
        "queries": loaded.query(ASKED).numpy(),
        "pairs": loaded(PAIRS).numpy(),
    }


def main() -> None:
    with TemporaryDirectory() as work:
        place = Path(work)
        write_checkpoint(place / "tiny")
        for command in (
            ["export", place / "tiny", "--name", "tiny", "--out", place / "out"],
            ["convert", place / "out" / "tiny.tar.gz", "--to", "onnx", "--out", place / "tiny-onnx"],
        ):
            subprocess.run([sys.executable, "-m", "zoo", *map(str, command)], check=True)
        DATA.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(DATA / "answers.npz", **answers(place / "out" / "tiny.tar.gz"))
        with tarfile.open(DATA / "tiny-onnx.tar.xz", "w:xz") as tar:
            for path in sorted((place / "tiny-onnx").iterdir()):
                content, member = path.read_bytes(), tarfile.TarInfo(path.name)
                member.size = len(content)
                tar.addfile(member, BytesIO(content))


if __name__ == "__main__":
    main()
