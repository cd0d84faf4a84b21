"""XLM-R and English ALBERT as people have them: a directory becomes an encoder and a tokenizer, which are a pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from export.inspect import inspect_checkpoint
from export.options import EncoderRequest
from export.oracle.sentencepiece import ReferenceSentencePiece
from export.planning import plan_export
from scripts.layouts import albert
from scripts.random_checkpoint import random_arrays, write_arrays
from tests.export.conftest import SCALE, odd_config
from tests.tokenizer.sentencepiece_models import exported, model, write_xlmr
from zoo.errors import Unsupported

SPECIAL = {"[CLS]": 0, "[SEP]": 2}


def test_the_pair(tmp_path_factory: pytest.TempPathFactory) -> None:
    """zoo.TextEncoder of both archives: the vectors of the ids that the oracle packs."""
    place = exported(tmp_path_factory)
    encode = zoo.TextEncoder(place / "xlmr.tar.gz", place / "xlmr_tokenizer.tar.gz", max_length=32)
    encoder = zoo.load(place / "xlmr.tar.gz")
    oracle = ReferenceSentencePiece(model("xlmr"), "fairseq", special=SPECIAL)

    def expected(*text: str) -> np.ndarray:
        outputs = encoder({"input_word_ids": np.array([oracle.encode(*text)])})
        return np.asarray(outputs["sequence_output"])[0].mean(axis=0)

    def near(found: Sequence[np.ndarray], *texts: tuple[str, ...]) -> None:
        np.testing.assert_allclose(found, np.stack([expected(*text) for text in texts]), atol=2e-6)

    near(encode(["An archive", "", "一个模型"]), ("An archive",), ("",), ("一个模型",))
    near(encode([("An archive", "一个模型")]), ("An archive", "一个模型"))


def test_no_text_archive(tmp_path: Path) -> None:
    request: dict[str, Any] = {"checkpoint": write_xlmr(tmp_path / "model"), "name": "xlmr", "out": tmp_path}
    with pytest.raises(Unsupported, match=r"--kind encoder.*export-tokenizer.*zoo.TextEncoder\(encoder, tokenizer\)"):
        plan_export(EncoderRequest(**request, kind="text", task="vector", pooling="mean"))
    with pytest.raises(Unsupported, match="--keep-tokens cannot leave out pieces"):
        (tmp_path / "kept").write_text("▁a\n")
        plan_export(EncoderRequest(**request, keep_tokens=tmp_path / "kept"))


def test_english_albert_of_tf1(tmp_path: Path) -> None:
    """The files of google-research/albert: 30k-clean.model and 30k-clean.vocab beside the checkpoint."""
    config = odd_config(vocab_size=800, num_hidden_layers=2, num_hidden_groups=1, inner_group_num=1, embedding_size=16)
    write_arrays(tmp_path, config, random_arrays(albert(config), 1, SCALE), "model.ckpt-best")
    (tmp_path / "30k-clean.model").write_bytes(model("albert"))
    (tmp_path / "30k-clean.vocab").write_text("<pad>\t0\n")
    found = inspect_checkpoint(tmp_path)
    assert (found.family, found.vocabulary.file, found.vocabulary.fits) == ("albert", "30k-clean.model", True)
    assert found.complete and found.vocabulary.padding_id == 0 and not found.beside.unknown
