"""The directory that the code of the pages runs in: archives, checkpoints and texts under the names they write."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from export.options import EncoderRequest, TokenizerRequest
from export.pipeline import export_encoder, export_text, export_tokenizer
from export.planning import PlannedText, plan_export
from scripts.random_checkpoint import write
from tests.examples.conftest import make_registry
from tests.export.conftest import write_odd
from tests.export.tasks.conftest import write_case
from zoo.registry.writing import own_registry, update_registry

ROOT = Path(__file__).resolve().parents[1]
LETTERS = "你好今天气怎么样这家酒店很差真不错"
# name in a zoo -> the case of tests/export that is exported under it
PAGES = {"bge_small_zh": "vector: mean", "my_reviews": "classifier: bert"}
EXAMPLES = {"bert_fill_mask": "masks: bert", "mrc_roberta_wwm_large": "span: bert"}


def fill(place: Path) -> None:
    """Write into an empty directory: `dist`, the zoo of the pages, `small`, that of the examples, and loose files."""
    checkpoints, dist = place / "checkpoints", place / "dist"
    write("albert_tiny", checkpoints / "albert_tiny")
    export_encoder(EncoderRequest(checkpoints / "albert_tiny", "albert_tiny", dist))
    export_tokenizer(TokenizerRequest(checkpoints / "albert_tiny", "bert_tokenizer_chinese", dist))
    _export_cases(PAGES, checkpoints, dist)
    _add_names(dist / "registry.json", {"bert": "albert_tiny", "my_vectors": "bge_small_zh"})
    make_registry(place / "small", layers=3)  # domain_fine_tuning.py trains three
    _export_cases(EXAMPLES, checkpoints, place / "small")
    shutil.copytree(checkpoints / "my_reviews", place / "my-checkpoint")
    for name in ("chinese_L-12_H-768_A-12", "albert_base_zh"):
        write_odd(place / name)
    shutil.make_archive(str(place / "chinese_L-12_H-768_A-12"), "zip", place, "chinese_L-12_H-768_A-12")
    shutil.make_archive(str(place / "albert_base_zh"), "gztar", place, "albert_base_zh")
    shutil.copytree(ROOT / "examples", place / "examples", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    (place / "tests/data").mkdir(parents=True)
    for file in ("wordpiece-cases.json", "hard_texts.json"):
        shutil.copy(ROOT / "tests/data" / file, place / "tests/data")
    (place / "tests/runtimes").mkdir()
    shutil.copy(ROOT / "tests/runtimes/c_api.cc", place / "tests/runtimes")
    for archive in dist.glob("*.tar.gz"):
        shutil.copy(archive, place)
    _write_texts(place)


def _export_cases(cases: Mapping[str, str], checkpoints: Path, out: Path) -> None:
    for name, case in cases.items():
        task = "fill_mask" if case.startswith("masks") else None
        planned = plan_export(EncoderRequest(write_case(case, checkpoints / name), name, out, task=task))
        assert isinstance(planned, PlannedText)
        export_text(planned)


def _add_names(file: Path, names: Mapping[str, str]) -> None:
    """Give models of a registry further names, as rows of their own, and the encoder its tokenizer."""
    registry = own_registry(file)
    encoder = registry.entry("albert_tiny").model_copy(update={"tokenizer": "bert_tokenizer_chinese"})
    rows = {**registry.models, "albert_tiny": encoder}
    update_registry(file, {"albert_tiny": encoder, **{name: rows[same] for name, same in names.items()}})


def _write_texts(place: Path) -> None:
    rng = random.Random(1)
    texts = ["".join(rng.choices(LETTERS, k=rng.randint(2, 20))) for _ in range(120)]
    for file in ("texts.txt", "mine.txt"):
        (place / file).write_text("\n".join(texts), encoding="utf-8")
    rows = [json.dumps({"id": number, "body": text}, ensure_ascii=False) for number, text in enumerate(texts)]
    (place / "reviews.jsonl").write_text("\n".join(rows), encoding="utf-8")
    pairs = [
        {"sentence1": one, "sentence2": two, "label": str(number % 2)}
        for number, (one, two) in enumerate(pairwise(texts))
    ]
    for file in ("train.jsonl", "test.jsonl"):
        (place / "examples/node" / file).write_text(
            "\n".join(json.dumps(row, ensure_ascii=False) for row in pairs), encoding="utf-8"
        )
