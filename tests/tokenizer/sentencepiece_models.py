"""The small models of scripts/sentencepiece_models.py, and what the package sentencepiece makes of texts."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from scripts.layouts import bert, transformers_arrays
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import SCALE, odd_config
from tests.once import made_once
from tokenizer.source import TokenizerConfig, read_tokenizer_source
from zoo.command import main

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


def exported(factory: pytest.TempPathFactory) -> Path:
    """Return a directory with xlmr.tar.gz and xlmr_tokenizer.tar.gz, made once of a tiny XLM-R by the command line."""

    def make(place: Path) -> None:
        folder = str(write_xlmr(place / "checkpoint"))
        assert main(["export", folder, "--name", "xlmr", "--out", str(place)]) == 0
        assert main(["export-tokenizer", folder, "--name", "xlmr_tokenizer", "--out", str(place)]) == 0

    return made_once(factory, "xlmr", make)


def write_xlmr(folder: Path) -> Path:
    """Write a tiny XLM-R as transformers does, and return its directory."""
    config = odd_config(num_hidden_layers=1, vocab_size=1202, type_vocab_size=1, max_position_embeddings=34)
    arrays = transformers_arrays(random_arrays(bert(config), 1, SCALE))
    bare = {name.removeprefix("bert."): array for name, array in arrays.items() if name.startswith("bert.")}
    save_file(bare, write_files("xlmr", folder) / "model.safetensors")
    config |= {"model_type": "xlm-roberta", "hidden_act": "gelu", "layer_norm_eps": 1e-5, "pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def source(name: str, folder: Path) -> TokenizerConfig:
    """Return the tokenizer of a model's directory."""
    return read_tokenizer_source(write_files(name, folder))
