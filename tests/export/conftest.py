"""Checkpoints of odd and distinct sizes, so that a swapped axis shows, and archives exported from them once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_hub as hub

from export.oracle.bert import Answer, Case, bert_forward
from export.pipeline import EncoderRequest, export_encoder
from scripts.random_checkpoint import bert_config, bert_shapes, transformers_arrays, write_tf1, write_vocabulary
from zoo.archive import unpack

# Large enough weights that erf and tanh gelu, or two swapped norms, differ by far more than any tolerance.
SCALE = 0.25
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "##好", *(f"w{i}" for i in range(91))]


def odd_config(**changes: Any) -> dict[str, Any]:
    """Layers 3, hidden size 32, heads 4, intermediate size 56, vocabulary 99, positions 40."""
    return bert_config(3, 32, 4, 56, 99, positions=40) | changes


def write_odd(directory: Path, slots: bool = False, seed: int = 1, **changes: Any) -> dict[str, np.ndarray]:
    """Write the odd checkpoint in the TF1 layout, with its vocabulary; return its arrays."""
    config = odd_config(**changes)
    write_vocabulary(directory / "vocab.txt", VOCABULARY)
    return write_tf1(directory, config, bert_shapes(config), seed=seed, scale=SCALE, slots=slots)


def write_transformers(directory: Path, arrays: dict[str, np.ndarray], **how: bool) -> None:
    """Write the same weights as a Hugging Face directory."""
    import json

    from safetensors.numpy import save_file

    directory.mkdir(parents=True, exist_ok=True)
    save_file(transformers_arrays(arrays, **how), directory / "model.safetensors")
    config = odd_config(model_type="bert", layer_norm_eps=1e-12)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_vocabulary(directory / "vocab.txt", VOCABULARY)


def export_and_load(checkpoint: Path, out: Path, **how: Any) -> Any:
    """Export, unpack and load as a user does."""
    export_encoder(EncoderRequest(checkpoint, "odd", out, **how))
    unpack(out / "odd.tar.gz", out / "odd")
    return hub.load(str(out / "odd"))


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd checkpoint's directory, with Adam slots as a training run saves them."""
    directory = tmp_path_factory.mktemp("odd")
    write_odd(directory, slots=True)
    return directory


@pytest.fixture(scope="session")
def out(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the odd checkpoint was exported to: odd.tar.gz, registry.json and, unpacked, odd/."""
    directory = tmp_path_factory.mktemp("out")
    export_and_load(odd, directory)
    return directory


@pytest.fixture(scope="session")
def encoder(out: Path) -> Any:
    return hub.load(str(out / "odd"))


def case(batch: int, length: int, vocab: int = 99, seed: int = 0) -> Case:
    """Random inputs without padding."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, vocab, (batch, length), dtype=np.int32)
    types = np.sort(generator.integers(0, 2, (batch, length), dtype=np.int32), axis=1)
    return Case(ids, np.ones_like(ids), types)


def reference(directory: Path, *cases: Case, **how: Any) -> list[Answer]:
    """The independent forward pass of a checkpoint's directory."""
    from export.readers import open_checkpoint

    checkpoint = open_checkpoint(directory)
    return bert_forward(checkpoint.read, checkpoint.shapes, checkpoint.config, cases, **how)


def as_inputs(case: Case) -> dict[str, np.ndarray]:
    return dict(zip(("input_word_ids", "input_mask", "input_type_ids"), case, strict=True))
