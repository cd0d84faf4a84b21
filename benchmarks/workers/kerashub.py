"""KerasHub: its Keras 3 backbone in a tf.function, read from a preset directory."""

from __future__ import annotations

import serve

# isort: split
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

    def prepare(self, source: Path, target: Path) -> None:
        _read(source / "transformers").save_to_preset(str(target))

    def load(self, directory: Path) -> None:
        model = _read(directory)
        spec = {name: tf.TensorSpec([None, None], tf.int32, name) for name in NAMES}
        self._encode = tf.function(lambda inputs: model(inputs, training=False), input_signature=[spec])

    def trainer(self, source: Path, directory: Path, head: np.ndarray) -> serve.Trainer:
        model = _read(directory)
        pooled = lambda inputs, training: model(inputs, training=training)["pooled_output"]  # noqa: E731
        return TensorFlowTrainer(pooled, model.trainable_variables, head, keras, NAMES)


def _read(directory: Path) -> Any:
    """Return the backbone. KerasHub computes BERT's gelu with tanh; here it gets the exact one, as BERT means it."""
    model = keras_hub.models.Backbone.from_preset(str(directory.resolve()))
    if isinstance(model, keras_hub.models.BertBackbone):
        for layer in model.layers:
            if isinstance(layer, keras_hub.layers.TransformerEncoder):
                layer._feedforward_intermediate_dense.activation = exact_gelu
    return model


def exact_gelu(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=False)


serve.serve(KerasHub(**serve.SETTINGS))
