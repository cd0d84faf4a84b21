"""Writes tiny models of TF2 Model Garden's own classes with heads: names, object graph, shapes, and their logits.

    PYTHONPATH=. python -m scripts.garden_answers tests/export/data/garden_answers.json.gz

The Python has what benchmarks/requirements/model_garden.txt names. Only the logits of fixed ids and the description of
each checkpoint are stored: a variable's numbers are those of `sibling_weights` under the name that the code gave it.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from scripts.architectures import sibling_weights

os.environ["TF_USE_LEGACY_KERAS"] = "1"
CONFIG: Mapping[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 52,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
INPUTS = {
    "input_word_ids": [[2, 30, 31, 32, 3, 40, 3], [2, 50, 3, 60, 61, 62, 3]],
    "input_mask": [[1] * 7] * 2,
    "input_type_ids": [[0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]],
}
# name -> encoder, head, how it is saved
CASES = {
    "classifier": ("bert", "classifier", "checkpoint"),
    "classifier with a dense layer": ("bert", "dense classifier", "checkpoint"),
    "classifier with a dense layer, as weights and items": ("bert", "dense classifier", "items"),
    "classifier of one class, SavedModel": ("bert v2", "one class", "SavedModel"),
    "tokens": ("bert", "tokens", "weights"),
    "tokens, SavedModel": ("bert", "tokens", "SavedModel"),
    "span": ("bert", "span", "checkpoint"),
    "albert classifier": ("albert", "classifier", "checkpoint"),
    "albert span, SavedModel": ("albert", "span", "SavedModel"),
}


def main(file: Path) -> None:
    cases = {name: _case(*how) for name, how in CASES.items()}
    file.write_bytes(gzip.compress(json.dumps(cases).encode(), mtime=0))


def _case(encoder: str, head: str, how: str) -> dict[str, Any]:
    tf = import_module("tensorflow")
    model = _model(encoder, head)
    variables = {variable.name.removesuffix(":0"): variable for variable in model.variables}
    numbers = sibling_weights({name: variable.shape.as_list() for name, variable in variables.items()})
    for name, variable in variables.items():
        variable.assign(numbers[name])
    outputs = model({name: tf.constant(rows) for name, rows in INPUTS.items()}, training=False)
    with tempfile.TemporaryDirectory() as folder:
        prefix = _saved(model, how, Path(folder))
        reader = tf.train.load_checkpoint(prefix)
        shapes = {name: list(shape) for name, shape in reader.get_variable_to_shape_map().items()}
        graph = reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        shapes.pop("_CHECKPOINTABLE_OBJECT_GRAPH")
    return {
        "config": {**CONFIG, **({"embedding_size": 16} if encoder == "albert" else {})},
        "folder": "variables" if how == "SavedModel" else "",
        "shapes": shapes,
        "graph": base64.b64encode(graph).decode(),
        "logits": _logits(outputs).tolist(),
    }


def _model(encoder: str, head: str) -> Any:
    models, networks = (import_module(f"official.nlp.modeling.{name}") for name in ("models", "networks"))
    sizes = {key: CONFIG[key] for key in ("vocab_size", "hidden_size", "num_attention_heads", "type_vocab_size")}
    sizes |= {"num_layers": 2, "max_sequence_length": 40}
    if encoder == "albert":
        network = networks.AlbertEncoder(**sizes, embedding_width=16, intermediate_size=52)
    else:
        kind = networks.BertEncoderV2 if encoder == "bert v2" else networks.BertEncoder
        network = kind(**sizes, inner_dim=52, name="encoder")
    if head == "tokens":
        return models.BertTokenClassifier(network, 5)
    if head == "span":
        return models.BertSpanLabeler(network)
    return models.BertClassifier(
        network, 1 if head == "one class" else 3, use_encoder_pooler=head != "dense classifier"
    )


def _saved(model: Any, how: str, folder: Path) -> str:
    """Save a model as the trainer of Model Garden, as Keras or as its export_savedmodel does."""
    tf, keras = import_module("tensorflow"), import_module("tf_keras")
    if how == "SavedModel":
        module = tf.Module()  # as ExportModule of official/core/export_base.py
        module.model = model
        tf.saved_model.save(module, str(folder))
        return str(folder / "variables/variables")
    if how == "weights":
        model.save_weights(str(folder / "m"))
        return str(folder / "m")
    if how == "items":
        return str(tf.train.Checkpoint(model=model, **model.checkpoint_items).write(str(folder / "m")))
    optimizer = keras.optimizers.legacy.Adam()
    optimizer.apply_gradients([(tf.zeros_like(each), each) for each in model.trainable_variables])
    step = tf.Variable(1, dtype=tf.int64)
    return str(tf.train.Checkpoint(global_step=step, model=model, optimizer=optimizer).save(str(folder / "m")))


def _logits(outputs: Any) -> np.ndarray:
    if isinstance(outputs, list | tuple):  # of a span labeler: start, end
        return np.stack([each.numpy() for each in outputs], -1)
    return np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
