"""Shows TF2 Model Garden's object-based checkpoints under google-research/bert's names and shapes.

Model Garden numbers layers in the order they were made: three tables, their norm, the blocks, the pooler. It stores
attention kernels per head, [hidden, heads, size] and [heads, size, hidden]; they are shown as TF1's matrices,
[hidden, hidden].

Source: official/nlp/modeling of tensorflow/models (layers/masked_lm.py for the head); a printed listing of its Chinese
BERT, and transformers' convert_bert_original_tf2_checkpoint_to_pytorch.py for how older versions spell the attention's
output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod

from export.readers.garden_heads import shown_heads
from export.readers.garden_names import tf1_name
from export.readers.object_names import OBJECT_GRAPH, VALUE, given_names, of_training
from export.readers.protocol import Format, OpenedCheckpoint, Shape
from export.readers.renamed import RenamedVariable, RenamedVariables, as_stored, reshaped
from zoo.errors import BadConfig, Unsupported

_WORD = re.compile(r"(.*?)layer_with_weights-0/embeddings" + re.escape(VALUE))

_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_QUERY = "_attention_layer/_query_dense"
_MASKED_LM = {
    "masked_lm/dense/kernel": "cls/predictions/transform/dense/kernel",
    "masked_lm/dense/bias": "cls/predictions/transform/dense/bias",
    "masked_lm/layer_norm/gamma": "cls/predictions/transform/LayerNorm/gamma",
    "masked_lm/layer_norm/beta": "cls/predictions/transform/LayerNorm/beta",
    "masked_lm/bias": "cls/predictions/output_bias",
}
_BLOCK = {
    _QUERY: "attention/self/query",
    "_attention_layer/_key_dense": "attention/self/key",
    "_attention_layer/_value_dense": "attention/self/value",
    "_attention_layer/_output_dense": "attention/output/dense",
    "_attention_output_dense": "attention/output/dense",
    "_attention_layer_norm": "attention/output/LayerNorm",
    "_intermediate_dense": "intermediate/dense",
    "_output_dense": "output/dense",
    "_output_layer_norm": "output/LayerNorm",
}

Parts = Mapping[str, str]  # path below a numbered layer, "_intermediate_dense/kernel" -> stored name


def understood_as_model_garden(checkpoint: OpenedCheckpoint) -> OpenedCheckpoint:
    """Return the checkpoint with TF1 names and shapes and the number of heads. A name-based one is returned unchanged.

    Raises Unsupported for other object-based checkpoints, BadConfig when the config states another number of heads.
    """
    if OBJECT_GRAPH not in checkpoint.shapes or checkpoint.format != "tf1":
        return checkpoint
    if any("/encoders_layer/encoder_layers/" in name for name in checkpoint.shapes):
        raise Unsupported(
            f"{checkpoint.path} is a Keras model around bert-for-tf2's layer: it has no token type table and its "
            "layers cannot be recognised by name, so it cannot be converted. Use the checkpoint that it was trained "
            "from."
        )
    roots = {match[1] for name in checkpoint.shapes if (match := _WORD.fullmatch(name))}
    by_name = [*_by_given_names(checkpoint)]
    if len(roots) != 1 and not by_name:
        some = ", ".join(name for name in list(checkpoint.shapes)[:4] if name != OBJECT_GRAPH)
        raise Unsupported(
            f"{checkpoint.path} is a TF2 object-based checkpoint, but not of TF2 Model Garden's BERT: "
            f"{len(roots)} variables, not 1, are called layer_with_weights-0/embeddings (found {some}, …). Not "
            "converted."
        )
    renamed = {variable.stored: variable for variable in by_name or _by_paths(checkpoint, roots.pop())}
    for stored, name in shown_heads(checkpoint.container).items():
        renamed[stored] = as_stored(name, stored, checkpoint.shapes[stored])
    rest = [as_stored(name, name, shape) for name, shape in checkpoint.shapes.items() if name not in renamed]
    heads = _heads(checkpoint, renamed)
    facts = (
        "TF2 Model Garden's variables are shown under google-research/bert's names",
        f"{heads} attention heads, from the shapes",
    )
    container = RenamedVariables(checkpoint.container, (*renamed.values(), *rest))
    # Of ALBERT, both code bases have the same names and arithmetic, and mean tanh by "gelu".
    format: Format = "tf1" if any("/inner_group_0/" in variable.name for variable in by_name) else "tf2"
    return replace(checkpoint, format=format, container=container, heads=heads, facts=(*checkpoint.facts, *facts))


def _by_given_names(checkpoint: OpenedCheckpoint) -> Iterator[RenamedVariable]:
    """Yield the variables whose names, as Model Garden's code gave them, say what they are; all of them, or none."""
    given = given_names(checkpoint.container)
    known = set(given.values())
    shown = {
        stored: name
        for stored, whole in given.items()
        if (name := tf1_name(whole)) and not of_training(stored, whole, known)
    }
    if "bert/embeddings/word_embeddings" in shown.values() and any(map(_is_query, shown.values())):
        for stored, name in shown.items():
            yield _in_tf1_shape(name, stored, checkpoint.shapes[stored])


def _by_paths(checkpoint: OpenedCheckpoint, root: str) -> Iterator[RenamedVariable]:
    tables, blocks, has_pooler = iter(_TABLES), 0, False
    for number, parts in _layers(checkpoint, root):
        if parts.keys() == {"embeddings"}:
            scope = {"embeddings": f"bert/embeddings/{next(tables, f'table_{number}')}"}
        elif parts.keys() == {"gamma", "beta"} and not blocks:
            scope = {leaf: f"bert/embeddings/LayerNorm/{leaf}" for leaf in parts}
        elif any(path.startswith("_attention_layer/") for path in parts):
            scope = {path: f"bert/encoder/layer_{blocks}/{_in_block(path)}" for path in parts}
            blocks += 1
        elif parts.keys() == {"kernel", "bias"} and blocks and not has_pooler:
            scope = {leaf: f"bert/pooler/dense/{leaf}" for leaf in parts}
            has_pooler = True
        else:
            raise Unsupported(
                f"{checkpoint.path} does not have the layers of TF2 Model Garden's BERT: "
                f"{root}layer_with_weights-{number} holds {', '.join(sorted(parts))}. Not converted."
            )
        for path, name in scope.items():
            yield _in_tf1_shape(name, parts[path], checkpoint.shapes[parts[path]])
    for path, name in _MASKED_LM.items():
        if (stored := path + VALUE) in checkpoint.shapes:
            yield as_stored(name, stored, checkpoint.shapes[stored])


def _layers(checkpoint: OpenedCheckpoint, root: str) -> list[tuple[int, Parts]]:
    """Return the numbered layers in the order of their numbers; sorted as text, -10 would come before -2."""
    layers: dict[int, dict[str, str]] = {}
    pattern = re.compile(re.escape(root) + r"layer_with_weights-(\d+)/(.+)" + re.escape(VALUE))
    for name in checkpoint.shapes:
        if (match := pattern.fullmatch(name)) and ".OPTIMIZER_SLOT" not in name:
            layers.setdefault(int(match[1]), {})[match[2]] = name
    return sorted(layers.items())


def _in_block(path: str) -> str:
    """Return TF1's name within a block: "_intermediate_dense/kernel" -> "intermediate/dense/kernel"."""
    module, _, leaf = path.rpartition("/")
    return f"{_BLOCK.get(module, module)}/{leaf}"


def _in_tf1_shape(name: str, stored: str, shape: Shape) -> RenamedVariable:
    """Join the axes of heads and of a head: kernels [hidden, 12, 64] become [hidden, 768], biases [12, 64] [768]."""
    if len(shape) == 3:
        joined = (shape[0], prod(shape[1:])) if "/self/" in name else (prod(shape[:2]), shape[2])
        return reshaped(name, stored, joined)
    if len(shape) == 2 and name.endswith("/bias"):
        return reshaped(name, stored, (prod(shape),))
    return as_stored(name, stored, shape)


def _is_query(name: str) -> bool:
    return name.endswith("/self/query/kernel")


def _heads(checkpoint: OpenedCheckpoint, renamed: Mapping[str, RenamedVariable]) -> int:
    """Return the number of attention heads, read from the shape of the query kernels."""
    shapes = {checkpoint.shapes[stored] for stored, variable in renamed.items() if _is_query(variable.name)}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 3:
        raise Unsupported(
            f"{checkpoint.path} does not store its query kernels as [hidden, heads, size], as Model Garden does."
        )
    said = checkpoint.config.get("num_attention_heads", shape[1])
    if said != shape[1]:
        raise BadConfig(
            f"the config of {checkpoint.path} says 'num_attention_heads' {said!r}, but its kernels have "
            f"{shape[1]} heads of size {shape[2]}."
        )
    return shape[1]
