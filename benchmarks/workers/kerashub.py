"""KerasHub: its Keras 3 backbone in a tf.function, read from a preset directory, with the model's own activation.

KerasHub computes gelu by tanh in every BERT and ALBERT, whatever the model's config says: `as_is` leaves it so.
"""

from __future__ import annotations

import serve

# isort: split
import json
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from tf_common import TensorFlowModel, TensorFlowTrainer

NAMES = ("token_ids", "padding_mask", "segment_ids")


class KerasHub(TensorFlowModel):
    distributions = ("keras-hub", "keras", "tensorflow")
    keys = NAMES

    def __init__(self, as_is: bool = False) -> None:
        self._as_is = as_is

    def prepare(self, source: Path, target: Path) -> None:
        config = json.loads((source / "transformers" / "config.json").read_text(encoding="utf-8"))
        _read(source / "transformers").save_to_preset(str(target))
        (target / ACTIVATION).write_text(config["hidden_act"], encoding="utf-8")

    def load(self, directory: Path) -> None:
        model = self._model(directory)
        spec = {name: tf.TensorSpec([None, None], tf.int32, name) for name in NAMES}
        self._encode = tf.function(lambda inputs: model(inputs, training=False), input_signature=[spec])

    def trainer(self, source: Path, directory: Path, head: np.ndarray) -> serve.Trainer:
        model = self._model(directory)
        pooled = lambda inputs, training: model(inputs, training=training)["pooled_output"]  # noqa: E731
        return TensorFlowTrainer(pooled, model.trainable_variables, head, keras, NAMES)

    def _model(self, directory: Path) -> Any:
        model = _read(directory)
        own = ACTIVATIONS[(directory / ACTIVATION).read_text(encoding="utf-8")]
        for layer in model.layers:
            if isinstance(layer, keras_hub.layers.TransformerEncoder) and own is not None and not self._as_is:
                layer._feedforward_intermediate_dense.activation = own
        return model


def _read(directory: Path) -> Any:
    return keras_hub.models.Backbone.from_preset(str(directory.resolve()))


def exact_gelu(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=False)


ACTIVATION = "hidden_act"  # a file beside the preset, which does not say it
ACTIVATIONS = {"gelu": exact_gelu, "relu": keras.activations.relu, "gelu_new": None}  # None: as it is

serve.serve(KerasHub(**serve.SETTINGS))
