"""Shows variables of an object-based checkpoint under the names that their code gave them.

tf.train.Checkpoint, `model.save_weights("NAME")` and SavedModels store a variable under the path of attributes that
leads to it: variables/17/.ATTRIBUTES/VARIABLE_VALUE. The object graph, a description in the same file, states the name
that the code gave the variable: tf_bert_model/bert/pooler/dense/kernel. Nothing of the model is run to read it.

Here the names of transformers' Keras classes are understood; model_garden.py has those of TF2 Model Garden.

Source: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from export.readers.keras_names import as_pytorch
from export.readers.protocol import Container, OpenedCheckpoint
from export.readers.renamed import RenamedVariable, RenamedVariables, as_stored
from zoo.archive.bundle_messages import message
from zoo.errors import BadCheckpoint

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_MOST_BYTES = 4 << 20  # the graph of a large BERT with its optimiser has half a megabyte
_OF_TRANSFORMERS = re.compile(r".*/(layer|albert_layer_groups)_\._0/.*")
# Variables of a training run, by their paths: slots, the optimiser's own numbers, metrics, the counter of saves.
_OF_TRAINING = re.compile(r".*/\.OPTIMIZER_SLOT/.*|(.*/)?(_?optimizer|keras_api/metrics)/.*|save_counter/.*")
_FACT = "variables of transformers' TensorFlow classes are shown under its PyTorch names"


def understood_as_keras_objects(checkpoint: OpenedCheckpoint) -> OpenedCheckpoint:
    """Return an object-based checkpoint of transformers' Keras classes under PyTorch's names. Others are unchanged."""
    names = given_names(checkpoint.container)
    if not any(_OF_TRANSFORMERS.fullmatch(name) for name in names.values()):
        return checkpoint
    container = RenamedVariables(checkpoint.container, _renamed(checkpoint.container, names))
    return replace(checkpoint, format="huggingface", container=container, facts=(*checkpoint.facts, _FACT))


def given_names(container: Container) -> Mapping[str, str]:
    """Return the stored name -> the name that the code gave, for every variable that the object graph describes.

    A checkpoint that stores variables by name has no object graph, and the result is {}. Raises BadCheckpoint when the
    graph is damaged.
    """
    graph = _graph(container)
    attributes = (attribute for node in (graph.nodes if graph else ()) for attribute in node.attributes)
    return {each.checkpoint_key: each.full_name for each in attributes if each.checkpoint_key in container.shapes}


@dataclass(frozen=True)
class Place:
    """Where a variable hangs in the model: how its layer is called, by whatever holds it, and what holds its layer.

    Of the last dense layer of Model Garden's BertClassifier these are {"out_proj"} and {"classifier",
    "layer_with_weights-1", …}.
    """

    layer: frozenset[str]
    above: frozenset[str]


def places(container: Container) -> Mapping[str, Place]:
    """Return the stored name -> the place in the model, for every variable that the object graph describes."""
    graph = _graph(container)
    holders: dict[int, list[tuple[int, str]]] = {}
    for number, node in enumerate(graph.nodes if graph else ()):
        for child in node.children:
            holders.setdefault(child.node_id, []).append((number, child.local_name))

    def held(numbers: Collection[int]) -> list[tuple[int, str]]:
        return [each for number in numbers for each in holders.get(number, ())]

    found = {}
    for number, node in enumerate(graph.nodes if graph else ()):
        if node.attributes:
            layers = held({above for above, _ in held([number])})
            models = held({above for above, _ in layers})
            place = Place(frozenset(name for _, name in layers), frozenset(name for _, name in models))
            found.update({each.checkpoint_key: place for each in node.attributes})
    return {stored: place for stored, place in found.items() if stored in container.shapes}


def _graph(container: Container) -> Any:
    """Return the object graph, None in a checkpoint that stores variables by name. Raises BadCheckpoint if damaged."""
    from google.protobuf.message import DecodeError

    if OBJECT_GRAPH not in container.shapes:
        return None
    content = container.read(OBJECT_GRAPH).item() if container.shapes[OBJECT_GRAPH] == () else None
    if not isinstance(content, bytes) or len(content) > _MOST_BYTES:
        raise BadCheckpoint(
            f"{container.files[0]} should describe its objects in one text of at most {_MOST_BYTES:,} bytes."
        )
    try:
        return message("TrackableObjectGraph").FromString(content)
    except DecodeError as error:
        raise BadCheckpoint(f"{container.files[0]} describes its objects in a damaged message: {error}.") from None


def of_training(stored: str, name: str, names: Collection[str]) -> bool:
    """Return whether a variable belongs to a training run: by its path, or because it is called Adam/m/NAME."""
    parts = name.split("/")
    return bool(_OF_TRAINING.fullmatch(stored)) or any("/".join(parts[i:]) in names for i in range(1, len(parts)))


def _renamed(container: Container, names: Mapping[str, str]) -> Iterator[RenamedVariable]:
    known = set(names.values())
    for stored, shape in container.shapes.items():
        name = names.get(stored)
        if not name or _OF_TRAINING.fullmatch(stored):
            yield as_stored(stored, stored, shape)
        elif of_training(stored, name, known):
            yield as_stored(name, stored, shape)  # Adam/m/NAME, which says more than variables/17
        else:
            yield as_pytorch(name, stored, shape)
