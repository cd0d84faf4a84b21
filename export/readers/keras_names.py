"""Shows variables that transformers' Keras classes wrote under the names that transformers gives them in PyTorch.

    bert/tf_bert_model/bert/encoder/layer_._0/output/dense/kernel:0  ->  bert.encoder.layer.0.output.dense.weight

`model.save_weights("x.h5")` writes such names too, if the model is built around TFBertModel.

Source: convert_tf_weight_name_to_pt_weight_name in transformers/modeling_tf_pytorch_utils.py, tf_shard_checkpoint in
transformers/modeling_tf_utils.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from export.readers.protocol import Container, Shape
from export.readers.renamed import RenamedVariable, RenamedVariables, as_stored, transposed
from zoo.errors import BadCheckpoint, Unsupported

# The last part of a name in Keras -> the last part in PyTorch, and how the array changes.
_LEAVES = {
    "kernel": ("weight", transposed),
    "embeddings": ("weight", as_stored),
    "gamma": ("weight", as_stored),
    "beta": ("bias", as_stored),
}
_WHOLE_MODEL = "model_weights/"  # where model.save("x.h5") keeps what model.save_weights("x.h5") writes
_OPTIMISER = "optimizer_weights/"
_NUMBERED = re.compile(r"(.*/)?vars/\d+")  # Keras 3: _layer_checkpoint_dependencies/bert/…/vars/0
NO_NUMBERED = (
    "Such files number their variables, so they cannot be told apart by name. Load the file into the model that wrote "
    "it, and save the weights by name: with tf_keras, `model.save_weights('model.h5')`."
)
_SHOWN = 5


def with_pytorch_names(h5: Container) -> Container:
    """Return the variables of an .h5 file, whose names begin with the group of a layer, under PyTorch's names.

    A layer that two groups share, such as the word table in `bert` and in `mlm___cls`, is stored twice and shown once.
    Raises BadCheckpoint where the two differ, and Unsupported for files of Keras 3, which number their variables.
    """
    numbered = [name for name in h5.shapes if _NUMBERED.fullmatch(name)]
    if numbered:
        raise Unsupported(f"{h5.files[0]} is written in the format of Keras 3: it holds {numbered[0]}. {NO_NUMBERED}")
    return _once(h5, [_in_group(name, shape) for name, shape in h5.shapes.items()])


def with_pytorch_names_of_shards(h5: Container) -> Container:
    """Return the variables of a tf_model.h5.index.json, whose names begin with neither group nor model."""
    return _once(h5, [as_pytorch(name, name, shape) for name, shape in h5.shapes.items()])


def as_pytorch(name: str, stored: str, shape: Shape) -> RenamedVariable:
    """Return a variable under the name that Keras' name of it means in PyTorch.

    as_pytorch("bert/pooler/dense/kernel", "variables/3", (768, 768)).name  # bert.pooler.dense.weight
    """
    parts = name.removesuffix(":0").split("/")
    if len(parts) > 1 and parts[0].startswith("tf_"):
        parts = parts[1:]
    *scopes, leaf = [part.rpartition("___")[2] for part in parts]
    leaf, turned = _LEAVES.get(leaf, (leaf, as_stored))
    return turned(".".join((*scopes, leaf)).replace("_._", "."), stored, shape)


def _in_group(stored: str, shape: Shape) -> RenamedVariable:
    if stored.startswith(_OPTIMISER):
        return as_stored(stored, stored, shape)
    _, _, name = stored.removeprefix(_WHOLE_MODEL).partition("/")  # Keras puts every top-level layer into a group
    return as_pytorch(name or stored, stored, shape)


def _once(h5: Container, variables: Iterable[RenamedVariable]) -> Container:
    """Return the variables, those of one name only once. Raises BadCheckpoint if two of one name differ."""
    first: dict[str, RenamedVariable] = {}
    twice = []
    for variable in variables:
        other = first.setdefault(variable.name, variable)
        if other is not variable:
            if not np.array_equal(h5.read(other.stored), h5.read(variable.stored)):
                raise BadCheckpoint(
                    f"{h5.files[0]} holds '{variable.name}' twice, and the numbers differ: as '{other.stored}' and as "
                    f"'{variable.stored}'. Load the model in transformers and save it again with save_pretrained."
                )
            twice.append(variable.stored)
    return RenamedVariables(h5, first.values(), _facts(twice))


def _facts(twice: list[str]) -> Iterator[str]:
    if twice:
        more = f" and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
        yield f"stored a second time with the same numbers, and read once: {', '.join(twice[:_SHOWN])}{more}"
