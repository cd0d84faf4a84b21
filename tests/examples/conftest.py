"""A small zoo for the examples: random weights, letters as the vocabulary, under the names that they ask for."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from export.options import EncoderRequest, TokenizerRequest
from export.pipeline import export_encoder, export_tokenizer
from scripts.layouts import bert, bert_config
from scripts.random_checkpoint import write_tf1, write_vocabulary
from tests.conftest import ROOT
from tests.once import made_once, packed_only
from zoo.registry.writing import own_registry, update_registry

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENCODER, TOKENIZER = "albert_tiny", "bert_tokenizer_chinese"
VECTORS = ["all_minilm_l6_v2", "bge_small_zh", "bge_base_zh"]  # other names of the encoder


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers and hidden size 64, and its tokenizer. Every letter of the examples is a token."""
    return made_once(tmp_path_factory, "examples", make_registry) / "registry.json"


def make_registry(out: Path, layers: int = 2) -> None:
    """Write the small zoo into a directory."""
    texts = [file.read_text(encoding="utf-8").lower() for file in (ROOT / "examples").glob("*.py")]
    letters = sorted({letter for text in texts for letter in text if not letter.isspace()})
    vocabulary = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters if letter.isalnum())]
    config = bert_config(layers, 64, 4, 112, len(vocabulary), positions=79)
    with TemporaryDirectory() as folder, packed_only("preprocess"):
        checkpoint = Path(folder)
        write_tf1(checkpoint, config, bert(config), seed=3, scale=0.05)
        write_vocabulary(checkpoint / "vocab.txt", vocabulary)
        export_encoder(EncoderRequest(checkpoint, ENCODER, out))
        export_tokenizer(TokenizerRequest(checkpoint, TOKENIZER, out))
    rows = out / "registry.json"
    entry = own_registry(rows).entry(ENCODER)
    update_registry(rows, {ENCODER: entry.model_copy(update={"tokenizer": TOKENIZER, "aliases": VECTORS})})


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
