"""Writes config.json and model.safetensors of a planned encoder: the names, settings and heads of transformers' class.

The plan says what our variables are, whatever they are read from. They are taken apart again (query, key and value, the
biases and norms of a block), and each gets the name that the family's table has for it in transformers' files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from export.convert.transformers_classes import CLASSES, Arrays, TransformersClass
from export.families.table import Layout
from export.heads import HEADS
from export.heads.planning import with_heads
from export.planning import PlannedEncoder
from export.weights.config import EncoderConfig
from export.weights.derived import narrowed
from export.weights.naming import Names
from export.weights.plan import variable_parts
from zoo.archive.activation import Activation
from zoo.archive.card import Stored, to_json

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
_DECODER = "mlm/decoder/rows"  # of a masked-language-model head that is not tied to the word table
# Our word for an activation -> transformers', where the two differ.
_WORDS: Mapping[Activation, str] = {"gelu_tanh": "gelu_new"}


@dataclass(frozen=True)
class ChosenClass:
    """The class of transformers that an encoder becomes, the heads that go with it, and what users have to know."""

    row: TransformersClass
    architectures: tuple[str, ...]
    heads: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def outputs_of(self, architecture: str) -> Mapping[str, str]:
        """Return our head -> the field of the outputs of one of `architectures` that has its logits."""
        named = {self.row.named(suffix): fields for suffix, fields in self.row.heads.items()}
        return named.get(architecture, {})


def chosen_class(planned: PlannedEncoder) -> ChosenClass:
    """Return the class for a planned encoder.

        chosen_class(planned).architectures  # ("BertForPreTraining",)

    Raises Unsupported if none computes what the encoder does.
    """
    row, config = CLASSES[planned.family.name], planned.config
    row.settings(config)  # raises now, before the work
    refused = {head: why for head in planned.heads if (why := _refusal(head, row, config))}
    wanted = [head for head in planned.heads if head not in refused]
    architectures, covered = [], set[str]()
    for suffix, fields in row.heads.items():
        if fields.keys() <= {*wanted} and not fields.keys() <= covered:
            architectures.append(row.named(suffix))
            covered |= fields.keys()
    refused |= {head: f"no class around {row.model} has it" for head in wanted if head not in covered}
    return ChosenClass(
        row,
        tuple(architectures) or (row.model,),
        tuple(head for head in wanted if head in covered),
        tuple(f"head .{head} ({why})" for head, why in refused.items()),
        tuple(filter(None, (row.note, _about_pooler(row, config)))),
    )


def write_weights(
    planned: PlannedEncoder,
    chosen: ChosenClass,
    stored: Stored,
    directory: Path,
    head: Mapping[str, np.ndarray] = {},
    settings: Mapping[str, Any] = {},
) -> None:
    """Write model.safetensors and config.json. Matrices are `stored` as in the archive, and all sums in float32.

    config.json says float32 whatever the matrices are stored in: then transformers computes with the same numbers.
    `head` are variables of a task's head under transformers' names, `settings` what config.json says of it.
    """
    from safetensors.numpy import save_file

    arrays = {**_by_transformers_names(planned, chosen), **head}
    save_file(
        {name: narrowed(array, stored) for name, array in arrays.items()}, directory / WEIGHTS_FILE, {"format": "pt"}
    )
    (directory / CONFIG_FILE).write_text(to_json({**_settings(planned, chosen), **settings}), encoding="utf-8")


def transformers_word(activation: Activation) -> str:
    """Return transformers' word for an activation: "gelu_new" for "gelu_tanh"."""
    return _WORDS.get(activation, activation)


# -- heads and pooler -------------------------------------------------------------------------------------------------


def _refusal(head: str, row: TransformersClass, config: EncoderConfig) -> str | None:
    """Return why a class cannot compute a head of an archive: its activation is that of the encoder, or a fixed one."""
    if head != "mlm":
        return None
    ours = config.mlm_activation or config.activation
    theirs = row.family.mlm_activation.get("huggingface", config.activation)
    return None if ours == theirs else f"it computes {ours}, and {row.model}'s {theirs}"


def _about_pooler(row: TransformersClass, config: EncoderConfig) -> str | None:
    if row.pools and config.pooler == "first_token":
        return (
            f"the archive has no pooler, and {row.model} makes one of random weights: take last_hidden_state[:, 0] and "
            "not pooler_output, or load it with add_pooling_layer=False"
        )
    if not row.pools and config.pooler != "first_token":
        return f"{row.model} has no pooler: its weights are in the file, and pooled_output is not computed"
    return None


# -- config.json ------------------------------------------------------------------------------------------------------


def _settings(planned: PlannedEncoder, chosen: ChosenClass) -> dict[str, Any]:
    """Return config.json, with the family's own words for keys."""
    row, config = chosen.row, planned.config
    usual = {
        **row.settings(config),
        "hidden_act": transformers_word(config.activation),
        "pad_token_id": planned.padding_id,
    }
    return {
        **{row.family.config_words.get(key, key): value for key, value in usual.items()},
        "model_type": row.model_type,
        "architectures": list(chosen.architectures),
        "tie_word_embeddings": _DECODER not in {each.ours for each in planned.plan.variables},
        "torch_dtype": "float32",
    }


# -- model.safetensors ------------------------------------------------------------------------------------------------


def _by_transformers_names(planned: PlannedEncoder, chosen: ChosenClass) -> Arrays:
    """Return every variable of the class under its name in transformers' files."""
    layout = _layout_of(chosen.row)
    names = Names({}, layout)
    found: Arrays = {}
    for ours, value in chosen.row.weights(_apart(planned, chosen.heads), planned.config).items():
        leaf = layout.leaves[ours.rpartition("/")[2]]
        for name in _names(ours, names, layout):
            found[name] = np.ascontiguousarray(value.T if leaf.transposed else value)
    return found


def _layout_of(row: TransformersClass) -> Layout:
    """Return the names of the class in transformers' files, those of its heads included."""
    [published] = (layout for layout in row.family.layouts if layout.format == "huggingface")
    layout = with_heads(published)
    scopes = {**layout.scopes, **row.scopes}
    if row.prefix is not None:
        scopes = {ours: row.prefix + scope.removeprefix(layout.prefix) for ours, scope in scopes.items()}
    return replace(layout, scopes=scopes)


def _names(ours: str, names: Names, layout: Layout) -> set[str]:
    """Return the names of one of our variables: one, but the bias of a decoder is stored with the decoder, too."""
    candidates = names.find(ours)[1]
    module, _, leaf = ours.rpartition("/")
    if leaf != "output_bias":
        return {candidates[0]}
    decoder = module.replace("mlm/output", "mlm/decoder")
    return {candidates[-1], *([names.find(f"{decoder}/bias")[1][0]] if decoder in layout.scopes else [])}


def _apart(planned: PlannedEncoder, heads: Collection[str]) -> Arrays:
    """Return the numbers of every planned variable by our names, each query, key, value, bias and norm apart."""
    parts = variable_parts(planned.config)
    found: Arrays = {}
    for variable in planned.plan.variables:
        if variable.ours.partition("/")[0] in HEADS.keys() - {*heads}:
            continue
        value = planned.plan.read(variable, planned.checkpoint)
        pieces = parts.get(variable.ours, {variable.ours: variable.shape})
        ends = np.cumsum([shape[-1] for shape in pieces.values()])[:-1]
        found |= dict(zip(pieces, np.split(value, ends, axis=-1), strict=True))
    return found
