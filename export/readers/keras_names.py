"""Shows the variables of tf_model.h5 under the names that transformers gives to the same variables in PyTorch.

Source: convert_tf_weight_name_to_pt_weight_name in transformers/modeling_tf_pytorch_utils.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from export.readers.protocol import Container
from export.readers.renamed import RenamedVariable, RenamedVariables, as_stored, transposed

# The last part of a name in Keras -> that in PyTorch, and how the array changes.
_LEAVES = {
    "kernel": ("weight", transposed),
    "embeddings": ("weight", as_stored),
    "gamma": ("weight", as_stored),
    "beta": ("bias", as_stored),
}


def with_pytorch_names(h5: Container) -> Container:
    """Return the variables of a tf_model.h5 as model.safetensors would hold them.

    bert/tf_bert_model/bert/encoder/layer_._0/output/dense/kernel:0  ->  bert.encoder.layer.0.output.dense.weight
    """
    return RenamedVariables(h5, _renamed(h5))


def _renamed(h5: Container) -> Iterator[RenamedVariable]:
    for stored, shape in h5.shapes.items():
        _, *parts = stored.removesuffix(":0").split("/")  # Keras puts every top-level layer into a group
        if len(parts) > 1 and parts[0].startswith("tf_"):
            parts = parts[1:]
        *scopes, leaf = [part.rpartition("___")[2] for part in parts] or [stored]
        leaf, turned = _LEAVES.get(leaf, (leaf, as_stored))
        yield turned(".".join((*scopes, leaf)).replace("_._", "."), stored, shape)
