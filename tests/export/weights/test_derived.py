"""Models made from another one: half precision and fewer tokens, exact in themselves, with their drift on the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from export.options import EncoderRequest
from export.pipeline import export_encoder, save_encoder
from export.planning import plan_encoder
from scripts.layouts import bert
from scripts.random_checkpoint import write_arrays, write_tf1, write_vocabulary
from tests.export.conftest import (
    VOCABULARY,
    as_inputs,
    case,
    export_and_load,
    odd_config,
    write_odd,
    write_transformers,
)
from tests.once import packed_only
from zoo.archive.card import EncoderCard, TokenizerCard, read_card
from zoo.archive.unpack import unpack
from zoo.errors import BadConfig, BadVocabulary
from zoo.fetching.registries import read_registry


def card_of(directory: Path) -> EncoderCard:
    card = read_card(directory)
    assert isinstance(card, EncoderCard)
    return card


@pytest.mark.parametrize(
    ("dtype", "stored", "computed", "allowed"),
    [
        ("bfloat16", tf.bfloat16, "bfloat16", 0.055),
        pytest.param("float16", tf.float16, "float32", 2e-5, marks=pytest.mark.slow),
    ],
)
def test_half_precision(
    dtype: Any,
    stored: tf.DType,
    computed: str,
    allowed: float,
    odd: Path,
    encoder: Any,
    out: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if dtype == "bfloat16":
        place = request.getfixturevalue("half") / "odd"
    else:
        export_and_load(odd, tmp_path, dtype=dtype)
        place = tmp_path / "odd"
    half, card = hub.load(str(place)), card_of(place)
    assert card.derivation is not None
    assert (card.derivation.stored_in, card.derivation.computed_in) == (dtype, computed)
    assert card.derivation.parent_sha256 == card_of(out / "odd").source.sha256
    for variable in half.variables:
        assert variable.dtype == (stored if variable.shape.rank == 2 else tf.float32), variable.name
    # Exact for the rounded weights (the certificate), and as far from the parent as the card says.
    assert card.certificate.tolerance == pytest.approx(allowed, rel=0.02)
    inputs = as_inputs(case(3, 9))
    outputs, whole = half(inputs), encoder(inputs)
    assert all(outputs[name].dtype == tf.float32 for name in ("sequence_output", "pooled_output"))
    away = float(np.max(np.abs(outputs["sequence_output"] - whole["sequence_output"])))
    assert 1e-4 < away < 4 * card.derivation.drift["sequence_output"]
    assert card.derivation.drift.keys() == {"sequence_output", "pooled_output", "mlm_logits", "nsp_logits"}
    assert min(card.derivation.drift.values()) > 2e-5


@pytest.mark.slow  # test_half_precision says in what each variable is stored
def test_half_precision_matters_in_size(tmp_path: Path) -> None:
    config = odd_config(hidden_size=256, intermediate_size=1024, num_attention_heads=8, num_hidden_layers=1)
    write_tf1(tmp_path / "odd", config, bert(config))  # of the usual scale: noise grows with width times scale
    write_vocabulary(tmp_path / "odd/vocab.txt", VOCABULARY)
    sizes = {}
    for dtype in ("float32", "bfloat16"):
        place = tmp_path / dtype
        save_encoder(plan_encoder(EncoderRequest(tmp_path / "odd", dtype, tmp_path, dtype=dtype, heads=())), place)
        sizes[dtype] = sum(file.stat().st_size for file in (place / "variables").iterdir())  # gzip halves zeros as well
    assert sizes["bfloat16"] < 0.52 * sizes["float32"]


KEPT = ["你", "好", "w3", "w50"]


@pytest.fixture(scope="module", params=["tf1", pytest.param("huggingface", marks=pytest.mark.slow)])
def few(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("few")
    arrays = write_odd(directory / "tf1")
    if request.param == "huggingface":
        write_transformers(directory / "huggingface", arrays)
    (directory / "tokens.txt").write_text("".join(f"{token}\n" for token in KEPT), encoding="utf-8")
    source = directory / request.param
    with packed_only():
        export_encoder(EncoderRequest(source, "few", directory / "out", keep_tokens=directory / "tokens.txt"))
    for name in ("few", "few_tokenizer", "few_tokenizer_preprocess"):
        unpack(directory / f"out/{name}.tar.gz", directory / name)
    return directory


def test_fewer_tokens_give_the_same_vectors(few: Path, encoder: Any) -> None:
    import tensorflow_text  # noqa: F401

    small, tokenizer = hub.load(str(few / "few")), hub.load(str(few / "few_tokenizer"))
    ids = [[VOCABULARY.index(token) for token in ("[CLS]", "你", "w50", "[SEP]")]]
    tokens = tokenizer(["你w50"], special_tokens=True)
    assert [token.decode() for token in tokens.numpy()[0]] == ["[CLS]", "你", "w50", "[SEP]"]
    expected = encoder(tf.constant(ids))
    np.testing.assert_allclose(small(tokens)["pooled_output"], expected["pooled_output"], atol=1e-6)
    preprocess = hub.load(str(few / "few_tokenizer_preprocess")).preprocess
    by_ids = small(preprocess(tf.constant(["你w50"]), seq_length=6))
    np.testing.assert_allclose(by_ids["pooled_output"], expected["pooled_output"], atol=1e-6)


def test_fewer_tokens_are_linked_by_digest(few: Path, out: Path) -> None:
    card = card_of(few / "few")
    assert card.sizes.vocab_size == len(KEPT) + 5 and card.variables
    assert card.derivation is not None and card.derivation.kept_tokens == len(KEPT) + 5
    assert card.derivation.drift.keys() == {"sequence_output", "pooled_output", "mlm_logits", "nsp_logits"}
    assert max(card.derivation.drift.values()) < 2e-5
    tokenizer = read_card(few / "few_tokenizer")
    assert isinstance(tokenizer, TokenizerCard) and tokenizer.vocabulary_sha256 == card.vocabulary_sha256
    assert card.vocabulary_sha256 != card_of(out / "odd").vocabulary_sha256
    assert read_registry(few / "out/registry.json").tokenizer("few") == "few_tokenizer"


def test_the_masked_language_model_predicts_the_kept_tokens(few: Path, encoder: Any) -> None:
    small = hub.load(str(few / "few"))
    kept = [VOCABULARY.index(token) for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *KEPT]]
    ids = np.array([[2, 5, 4, 3]], np.int32)  # the first six ids are the same in both vocabularies
    inputs = {**as_inputs(case(1, 4)), "input_word_ids": ids, "masked_lm_positions": np.array([[2]], np.int32)}
    logits = small.mlm(inputs)["mlm_logits"]
    assert logits.shape == (1, 1, len(kept))
    np.testing.assert_allclose(logits, tf.gather(encoder.mlm(inputs)["mlm_logits"], kept, axis=2), atol=1e-5)


def test_tokens_that_are_not_there(odd: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("你\nunheard\n再\n", encoding="utf-8")
    with pytest.raises(BadVocabulary, match="does not have: line 2 'unheard', line 3 '再'"):
        plan_encoder(EncoderRequest(odd, "odd", tmp_path, keep_tokens=tmp_path / "tokens.txt"))


def test_capitals_need_a_word_about_case(tmp_path: Path) -> None:
    write_odd(tmp_path / "odd")
    vocabulary = [*VOCABULARY[:-1], "Hello"]
    write_vocabulary(tmp_path / "odd/vocab.txt", vocabulary)
    (tmp_path / "tokens.txt").write_text("Hello\n你\n", encoding="utf-8")
    request = EncoderRequest(tmp_path / "odd", "few", tmp_path / "out", keep_tokens=tmp_path / "tokens.txt")
    with pytest.raises(BadVocabulary, match=r"1 tokens with capitals \(Hello, …\).*--cased or --uncased"):
        export_encoder(request)
    assert not (tmp_path / "out").exists()


def test_numbers_beyond_float16(tmp_path: Path) -> None:
    arrays = write_odd(tmp_path / "odd")
    arrays["bert/pooler/dense/kernel"][0, 0] = 1e5
    write_arrays(tmp_path / "odd", odd_config(), arrays)
    with pytest.raises(
        BadConfig, match=r"'bert/pooler/dense/kernel' has numbers beyond float16, up to 100000; use bfloat16"
    ):
        export_encoder(EncoderRequest(tmp_path / "odd", "odd", tmp_path / "out", dtype="float16"))
