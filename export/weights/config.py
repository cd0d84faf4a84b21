"""EncoderConfig: every size and choice that decides the arithmetic, checked once and then passed along unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from export.families.table import Family, Projection
from export.readers.protocol import Format, Shape
from zoo.archive.card import Activation, EncoderSizes, Pooler
from zoo.errors import BadConfig, Unsupported

# Keys of a config file that decide the arithmetic; all published configs of these families use the same words.
_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
)
_MOST: Mapping[str, int] = {"num_hidden_layers": 128}  # the deepest published model of these families has 24
_MOST_OF_ANY = 1 << 31


@dataclass(frozen=True)
class EncoderConfig:
    """What an encoder computes: sizes, activation, pooler, and which block of weights each layer uses."""

    family: str
    block_of_layer: tuple[int, ...]  # BERT: 0, 1, 2, …; a model that shares one block: 0, 0, 0, …
    hidden_size: int
    embedding_size: int
    heads: int
    intermediate_size: int
    vocab_size: int
    position_limit: int
    type_vocab_size: int
    activation: Activation
    activation_reason: str
    activation_chosen: bool  # by a person, not by what the release means
    pooler: Pooler
    projection: Projection = "none"
    layer_norm_epsilon: float = 1e-12
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    truncated_from: int | None = None
    notes: tuple[str, ...] = ()  # what was filled in, for the card

    @property
    def layers(self) -> int:
        return len(self.block_of_layer)

    @property
    def blocks(self) -> int:
        return len(set(self.block_of_layer))

    @property
    def projects(self) -> bool:
        """Whether normed embeddings are projected to the hidden size; by the config, not by what a file holds."""
        return self.projection == "after_norm" and self.embedding_size != self.hidden_size

    @property
    def normed_size(self) -> int:
        """Width at which positions and types are added and the embeddings normed."""
        return self.hidden_size if self.projection == "word" else self.embedding_size

    def truncated(self, layers: int) -> EncoderConfig:
        """Return the config of the first `layers` layers, remembering how many there were.

            config.truncated(3).layers  # 3

        Raises BadConfig when the model has no such number of layers.
        """
        if not 1 <= layers <= self.layers:
            raise BadConfig(f"cannot keep {layers} layers: this model has {self.layers}; choose 1 to {self.layers}.")
        if layers == self.layers:
            return self
        return replace(self, block_of_layer=self.block_of_layer[:layers], truncated_from=self.layers)

    def sizes(self) -> EncoderSizes:
        """Return the part of the config that a card states."""
        fields = EncoderSizes.model_fields
        return EncoderSizes(**{name: getattr(self, name) for name in fields})


def read_config(
    raw: Mapping[str, Any],
    family: Family,
    source_format: Format,
    activation: Activation | None = None,
    pooler: Pooler | None = None,
    tables: Mapping[str, Shape] | None = None,
    heads: int | None = None,
) -> EncoderConfig:
    """Return the config that a config file's words mean for one family in one checkpoint format.

        read_config({"hidden_size": 768, …}, BERT, "tf1").layers  # 12

    `activation` and `pooler` override what the release says; the reason is recorded. Sizes that the file leaves out and
    the embedding `tables` of the checkpoint show, or a count of `heads` that its shapes tell, are filled in and noted.
    Raises BadConfig with every problem found,
    and Unsupported for choices that are not converted.
    """
    _refuse_what_we_do_not_compute(raw, family)
    raw, notes = _filled_in(raw, tables or {}, heads)
    required = (*_REQUIRED, *(("embedding_size",) if family.projection != "none" else ()))
    problems = [f"no '{key}'" for key in required if key not in raw]
    counts = [key for key in required if key in raw and key != "hidden_act"]
    problems += [
        f"'{key}' is {_shown(raw[key])}, not a positive whole number" for key in counts if not _is_count(raw[key])
    ]
    problems += [
        f"'{key}' is {_shown(raw[key])}, more than the {most:,} that are converted"
        for key in counts
        if _is_count(raw[key]) and raw[key] > (most := _MOST.get(key, _MOST_OF_ANY))
    ]
    word = raw.get("hidden_act", "gelu")
    meanings = family.activations[source_format]
    if activation is None and (not isinstance(word, str) or word not in meanings):
        problems.append(f"'hidden_act' is {_shown(word)}; known here: {', '.join(meanings)} (or give --activation)")
    if pooler is not None and pooler not in family.poolers:
        problems.append(f"{family.name} has no pooler of kind {pooler!r}; choose from {', '.join(family.poolers)}")
    hidden, said = raw.get("hidden_size"), raw.get("num_attention_heads")
    if isinstance(hidden, int) and isinstance(said, int) and said > 0 and hidden % said:
        problems.append(f"'hidden_size' {_shown(hidden)} is not a multiple of 'num_attention_heads' {_shown(said)}")
    if heads is not None and said != heads:
        problems.append(f"'num_attention_heads' is {_shown(said)}, the shapes have {heads} heads")
    groups, layers = raw.get("num_hidden_groups", 1), raw.get("num_hidden_layers")
    if not _is_count(groups) or (_is_count(layers) and groups > layers):
        problems.append(f"'num_hidden_groups' is {_shown(groups)}, not a number from 1 to the number of layers")
    epsilon = raw.get("layer_norm_eps", 1e-12)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        problems.append(f"'layer_norm_eps' is {_shown(epsilon)}, not a small positive number")
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        if not (isinstance(raw.get(key, 0.0), int | float) and 0 <= raw.get(key, 0.0) < 1):
            problems.append(f"'{key}' is {_shown(raw[key])}, not a rate from 0 to 1")
    if problems:
        raise BadConfig(f"the config cannot be used for family {family.name}: {'; '.join(problems)}.")

    chosen = activation is not None
    if activation is None:
        activation, reason = meanings[word]
    else:
        reason = f"chosen by the exporter; the config says {_shown(word)}"
    layers, blocks = raw["num_hidden_layers"], family.blocks(raw)
    return EncoderConfig(
        family=family.name,
        block_of_layer=tuple(i * blocks // layers for i in range(layers)),
        hidden_size=raw["hidden_size"],
        embedding_size=raw["hidden_size"] if family.projection == "none" else raw["embedding_size"],
        heads=raw["num_attention_heads"],
        intermediate_size=raw["intermediate_size"],
        vocab_size=raw["vocab_size"],
        position_limit=raw["max_position_embeddings"],
        type_vocab_size=raw["type_vocab_size"],
        activation=activation,
        activation_reason=reason,
        activation_chosen=chosen,
        pooler=pooler or family.poolers[0],
        projection=family.projection,
        layer_norm_epsilon=float(raw.get("layer_norm_eps", 1e-12)),
        hidden_dropout=float(raw.get("hidden_dropout_prob", 0.0)),
        attention_dropout=float(raw.get("attention_probs_dropout_prob", 0.0)),
        notes=notes,
    )


def _filled_in(
    raw: Mapping[str, Any], tables: Mapping[str, Shape], heads: int | None
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    rows = {"vocab_size": "word", "type_vocab_size": "type", "max_position_embeddings": "position"}
    found = {key: tables[table][0] for key, table in rows.items() if key not in raw and tables.get(table)}
    if heads is not None and "num_attention_heads" not in raw:
        found["num_attention_heads"] = heads
    notes = tuple(f"{key} {value} is not in the config; it was read from the shapes" for key, value in found.items())
    return {**raw, **found}, notes


def _refuse_what_we_do_not_compute(raw: Mapping[str, Any], family: Family) -> None:
    for key, converted in (family.refused or {}).items():
        if raw.get(key, converted[0]) not in converted:
            which = " or ".join(repr(value) for value in converted)
            raise Unsupported(f"{key!r} is {_shown(raw[key])}; of family {family.name} only {which} is converted.")
    positions = raw.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise Unsupported(f"'position_embedding_type' is {_shown(positions)}; only absolute positions are converted.")
    if raw.get("is_decoder") or raw.get("add_cross_attention"):
        raise Unsupported(
            "the config describes a decoder ('is_decoder' or 'add_cross_attention'); only encoders are converted."
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
