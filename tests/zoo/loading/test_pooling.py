"""How outputs become a vector: each pooling against a loop over the real tokens, on numpy and as a Keras model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from tests.zoo.site.sitezoo import make_encoder_card
from tests.zoo.small import make_tokenizer_card
from zoo.archive.sentence import SentenceVectors
from zoo.contract import INPUT_MASK, POOLED_OUTPUT, SEQUENCE_OUTPUT, Pooling
from zoo.errors import BadArgument
from zoo.loading.pooling import _POOLINGS, AskedVectors, TextVectors, text_vectors

LENGTHS = [5, 1, 3]


def outputs() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Three rows of 5, 1 and 3 tokens, of 4 numbers below zero, so that a padded zero would be the largest."""
    generator = np.random.default_rng(3)
    mask = (np.arange(5) < np.array(LENGTHS)[:, None]).astype(np.int32)
    sequence = (-1 - generator.random((3, 5, 4)) * mask[..., None]).astype(np.float32) * mask[..., None]
    return {SEQUENCE_OUTPUT: sequence, POOLED_OUTPUT: generator.random((3, 4)).astype(np.float32)}, {INPUT_MASK: mask}


def by_hand(kind: str, tokens: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    n = len(tokens)
    numbers = np.arange(1, n + 1)[:, None]
    return {
        "first": tokens[0],
        "mean": tokens.sum(0) / n,
        "pooled": pooled,
        "max": tokens.max(0),
        "mean_sqrt_len": tokens.sum(0) / np.sqrt(n),
        "weightedmean": (tokens * numbers).sum(0) / numbers.sum(),
        "lasttoken": tokens[-1],
    }[kind]


def how(pooling: str, normalize: bool = False) -> TextVectors:
    return TextVectors(pooling, normalize, 8, "", False)


@pytest.mark.parametrize("pooling", [*get_args(Pooling), "first+max", "mean+pooled"])
@pytest.mark.parametrize("normalize", [False, True])
def test_every_pooling(pooling: str, normalize: bool) -> None:
    import keras

    given, inputs = outputs()
    settings = how(pooling, normalize)
    rows = zip(given[SEQUENCE_OUTPUT], LENGTHS, given[POOLED_OUTPUT], strict=True)
    wanted = np.stack([np.hstack([by_hand(kind, row[:n], p) for kind in pooling.split("+")]) for row, n, p in rows])
    if normalize:
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    vectors = settings.compute(given, inputs, np)
    np.testing.assert_allclose(vectors, wanted, rtol=1e-6)
    assert vectors.shape[1] == settings.width(4) and set(settings.outputs) <= given.keys()

    symbols = {name: keras.Input([None, 4] if name == SEQUENCE_OUTPUT else [4]) for name in given}
    mask = keras.Input([None], dtype="int32")
    # The Keras of Python 3.10 refuses inputs that no output needs, so each has one.
    read = [keras.ops.sum(each) for each in (*symbols.values(), mask)]
    model = keras.Model([symbols, mask], [settings.compute(symbols, {INPUT_MASK: mask}, keras.ops), *read])
    np.testing.assert_allclose(model([given, inputs[INPUT_MASK]])[0].numpy(), wanted, rtol=1e-5)


def test_there_is_arithmetic_for_every_kind() -> None:
    assert [*_POOLINGS] == [*get_args(Pooling)]


# -- what is asked for, and what the card says ------------------------------------------------------------------------


SIZES = {"layers": 2, "blocks": 2, "hidden_size": 32, "embedding_size": 32, "intermediate_size": 56}


def chosen(stated: dict[str, Any] | None = None, cased: bool = False, **asked: Any) -> TextVectors:
    sentence = None if stated is None else SentenceVectors(**{"pooling": "first", "normalize": True, **stated})
    card = make_encoder_card(Path("nowhere"), "small", SIZES, sentence=sentence)
    tokenizer = make_tokenizer_card(Path("nowhere"), lower_case=not cased)
    return text_vectors(AskedVectors(**asked), card, tokenizer)


def test_without_a_word_on_the_card_it_is_the_mean_over_128_tokens() -> None:
    assert chosen() == TextVectors("mean", False, 128, "", False)


def test_the_card_is_obeyed_and_a_person_overrides_it() -> None:
    stated = {"max_length": 7, "prompts": {"query": "q: ", "none": ""}, "default_prompt": "query"}
    assert chosen(stated) == TextVectors("first", True, 7, "q: ", False)
    asked = {"pooling": "mean+max", "normalize": False, "max_length": 5, "prompt": ""}
    assert chosen(stated, **asked) == TextVectors("mean+max", False, 5, "", False)
    assert chosen({"max_length": 7, "lower_case": True}, cased=True).lower_case
    assert not chosen({"max_length": 7, "lower_case": True}).lower_case, "the tokenizer does it"


def test_a_model_with_a_dense_layer_is_refused_and_the_next_move_works() -> None:
    stated = {"max_length": 7, "beyond_encoder": ["dense layer 32→16 with tanh (2_Dense)"]}
    with pytest.raises(BadArgument, match=r"dense layer 32→16 with tanh \(2_Dense\).*pooling='mean'"):
        chosen(stated)
    assert chosen(stated, pooling="mean").pooling == "mean"
    with pytest.raises(BadArgument, match="pooling 'attention'"):  # a card of a later version
        chosen({"max_length": 7, "pooling": "attention"})


def test_wrong_settings() -> None:
    for pooling in ("median", "mean+median", "", 3):
        with pytest.raises(BadArgument, match=r"choose one of first, mean, pooled, max.* or several joined by '\+'"):
            chosen(pooling=pooling)
    with pytest.raises(BadArgument, match="max_length=2: .* takes 3 to "):
        chosen(max_length=2)
    with pytest.raises(BadArgument, match=r"does not pool the tokens of a prompt.*prompt=''"):
        chosen({"max_length": 7, "include_prompt": False}, prompt="q: ")
    assert chosen({"max_length": 7, "include_prompt": False}, prompt="").prompt == ""
