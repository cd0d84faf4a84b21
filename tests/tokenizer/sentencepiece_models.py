"""The small models of scripts/sentencepiece_models.py, and what the package sentencepiece makes of texts."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

from tokenizer.source import TokenizerConfig, read_tokenizer_source

DATA = Path(__file__).parent / "data"
CONFIGS = {"xlmr": {"model_type": "xlm-roberta"}, "albert": {"model_type": "albert"}}
NAMES = {"xlmr": "sentencepiece.bpe.model", "albert": "spiece.model"}


@cache
def model(name: str) -> bytes:
    """Return the bytes of a .model file: "xlmr" or "albert"."""
    return lzma.decompress((DATA / f"{name}.model.xz").read_bytes())


@cache
def recorded() -> dict[str, Any]:
    """Return {"texts": […], "xlmr": [[ids, starts, limits], …], "albert": …, "albert_prepared": [ids, …]}."""
    found = json.loads(lzma.decompress((DATA / "sentencepiece_ids.json.xz").read_bytes()))
    return {**found, "texts": [bytes.fromhex(text) for text in found["texts"]]}


def write_files(name: str, folder: Path) -> Path:
    """Write a model and a config.json into a directory, and return the directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAMES[name]).write_bytes(model(name))
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]))
    return folder


def source(name: str, folder: Path) -> TokenizerConfig:
    """Return the tokenizer of a model's directory."""
    return read_tokenizer_source(write_files(name, folder))
