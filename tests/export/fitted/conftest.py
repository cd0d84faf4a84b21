"""Layers over the toy zoo, made once: models of Keras around them are cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from tests.zoo.toyzoo import ToyZoo
from zoo.contract import INPUT_KEYS
from zoo.loading.pooling import TextVectors

LENGTH = 12


@dataclass(frozen=True)
class Layers:
    """An encoder whose weights were changed, its tokenizer, and tensors to build models from."""

    encoder: Any
    tokenizer: Any
    text: Any  # Input
    ids: dict[str, Any]  # Inputs
    of_text: dict[str, Any]  # outputs
    of_ids: dict[str, Any]  # outputs
    tokens: dict[str, Any]  # of the tokenizer, for `text`

    def mean(self, normalize: bool = True) -> Any:
        """The vectors of texts, as TextEncoder.keras_model computes them."""
        how = TextVectors("mean", normalize, LENGTH, "", False)
        return how.compute(self.of_text, self.tokens, keras.ops)


def make_layers(toy_zoo: ToyZoo) -> Layers:
    keras.utils.set_random_seed(7)
    encoder = zoo.KerasLayer(toy_zoo.unpacked("toy"), trainable=True, name="encoder")
    arguments = {"seq_length": LENGTH}
    tokenizer = zoo.KerasLayer(
        toy_zoo.unpacked("toy_tokenizer"), endpoint="preprocess", arguments=arguments, name="tokenizer"
    )
    rng = np.random.default_rng(5)
    for weight in encoder.trainable_weights:  # as if it had been fitted
        weight.assign(weight.numpy() + rng.normal(0, 0.02, weight.shape).astype(np.float32))
    text = keras.Input([], dtype="string", name="text")
    ids = {key: keras.Input([None], dtype="int32", name=key) for key in INPUT_KEYS}
    tokens = tokenizer(text)
    return Layers(encoder, tokenizer, text, ids, encoder(tokens), encoder(ids), tokens)


@pytest.fixture(scope="package")
def layers(toy_zoo: ToyZoo) -> Layers:
    return make_layers(toy_zoo)
