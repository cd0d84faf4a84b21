"""TensorFlow Model Garden: its BertEncoder or AlbertEncoder as a SavedModel; trained as the Keras 2 model it is."""

from __future__ import annotations

import serve

# isort: split
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.nlp.modeling import networks
from tf_common import KEYS, TensorFlowModel, TensorFlowTrainer

# What a weight is called here -> in a TF1 checkpoint. {i} is the layer; ALBERT's has none.
_NAMES = {
    r"word_embeddings/embeddings": "embeddings/word_embeddings",
    r"position_embedding/embeddings": "embeddings/position_embeddings",
    r"type_embeddings/embeddings": "embeddings/token_type_embeddings",
    r"embeddings/layer_norm": "embeddings/LayerNorm",
    r"embedding_projection": "encoder/embedding_hidden_mapping_in",
    r"pooler_transform": "pooler/dense",
}
_BERT_LAYER = {
    r"self_attention/(query|key|value)": r"attention/self/\1",
    r"self_attention/attention_output": "attention/output/dense",
    r"self_attention_layer_norm": "attention/output/LayerNorm",
    r"intermediate": "intermediate/dense",
    r"output_layer_norm": "output/LayerNorm",
    r"output/(kernel|bias)": r"output/dense/\1",
}
_ALBERT_LAYER = {
    r"self_attention/(query|key|value)": r"attention_1/self/\1",
    r"self_attention/attention_output": "attention_1/output/dense",
    r"self_attention_layer_norm": "LayerNorm",
    r"intermediate": "ffn_1/intermediate/dense",
    r"output_layer_norm": "LayerNorm_1",
    r"output/(kernel|bias)": r"ffn_1/intermediate/output/dense/\1",
}


class ModelGarden(TensorFlowModel):
    distributions = ("tf-models-official", "tensorflow", "tf_keras")

    def prepare(self, source: Path, target: Path) -> None:
        """As Model Garden's export_tfhub_lib writes what TF-Hub ships."""
        inputs = {key: tf_keras.Input([None], dtype=tf.int32, name=key) for key in KEYS}
        model = tf_keras.Model(inputs, _build(source)(inputs))
        model.save(str(target), include_optimizer=False, save_format="tf")

    def load(self, directory: Path) -> None:
        self._loaded = tf.saved_model.load(str(directory))  # kept: it owns the variables
        self._encode = lambda inputs: self._loaded(inputs, training=False)

    def trainer(self, source: Path, directory: Path, head: np.ndarray) -> serve.Trainer:
        model = _build(source)
        pooled = lambda inputs, training: model(inputs, training=training)["pooled_output"]  # noqa: E731
        return TensorFlowTrainer(pooled, model.trainable_variables, head, tf_keras)


def gelu(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(x)


def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(x, approximate=True)


def _build(source: Path) -> Any:
    config = json.loads((source / "checkpoint" / "bert_config.json").read_text())
    common = {
        "vocab_size": config["vocab_size"],
        "hidden_size": config["hidden_size"],
        "num_layers": config["num_hidden_layers"],
        "num_attention_heads": config["num_attention_heads"],
        "max_sequence_length": config["max_position_embeddings"],
        "type_vocab_size": config["type_vocab_size"],
        "dict_outputs": True,
    }
    if "embedding_size" in config:
        model = networks.AlbertEncoder(
            **common,
            embedding_width=config["embedding_size"],
            intermediate_size=config["intermediate_size"],
            activation=gelu_tanh,  # as TF1 releases of ALBERT mean it
            dropout_rate=config["hidden_dropout_prob"],
            attention_dropout_rate=config["attention_probs_dropout_prob"],
        )
    else:
        model = networks.BertEncoder(
            **common,
            inner_dim=config["intermediate_size"],
            inner_activation=gelu,
            output_dropout=config["hidden_dropout_prob"],
            attention_dropout=config["attention_probs_dropout_prob"],
        )
    reader = tf.train.load_checkpoint(str(source / "checkpoint" / "bert_model.ckpt"))
    for weight in model.weights:
        weight.assign(reader.get_tensor(_name(weight.name)).reshape(weight.shape))
    return model


def _name(weight: str) -> str:
    """Return the TF1 checkpoint's name of a weight: `transformer/layer_0/output/kernel:0` and the like."""
    weight = weight.removesuffix(":0")
    layer = re.match(r"transformer/(layer_\d+/)?", weight)
    if layer is None:
        scope, table = "bert/", _NAMES
    elif layer[1]:
        scope, table = f"bert/encoder/{layer[1]}", _BERT_LAYER
    else:
        scope, table = "bert/encoder/transformer/group_0/inner_group_0/", _ALBERT_LAYER
    rest = weight[layer.end() :] if layer else weight
    for pattern, name in table.items():
        if re.match(pattern, rest):
            return scope + re.sub(pattern, name, rest, count=1)
    raise KeyError(f"no name in the checkpoint for {weight}")


serve.serve(ModelGarden(**serve.SETTINGS))
