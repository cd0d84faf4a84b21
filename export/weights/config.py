"""EncoderConfig: every size and choice that decides the arithmetic, checked once and then passed along unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from export.families.table import DEFAULTS, Family, Projection, Settings
from export.readers.protocol import Format, Shape
from zoo.archive.activation import Activation
from zoo.archive.card import EncoderSizes, Pooler, Positions
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
# The word of a config for the rows of an embedding table -> our name of the table.
_ROWS = {"vocab_size": "word", "type_vocab_size": "type", "max_position_embeddings": "position"}
# Keys that configs of a format never have: that they are missing is no note on the card.
_NEVER_WRITTEN: Mapping[Format, tuple[str, ...]] = {
    "tf1": ("layer_norm_eps",),
    "tf2": ("layer_norm_eps",),
    "huggingface": (),
    "uer": ("layer_norm_eps",),
    "archive": (),
}
_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob")


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes and choices of an encoder: activation, pooler, and the block of weights that each layer uses."""

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
    always_projects: bool = False  # also to the same width
    positions: Positions = "absolute"
    layer_norm_epsilon: float = 1e-12
    hidden_dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_word: str = ""  # the config's
    mlm_activation: Activation | None = None  # of the masked-language-model head; None: `activation`
    padding_id: int = 0
    kept_padding_id: int | None = None  # the place of `padding_id` among the tokens that --keep-tokens keeps
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
        return self.projection == "after_norm" and (self.embedding_size != self.hidden_size or self.always_projects)

    @property
    def normed_size(self) -> int:
        """Width at which positions and types are added and the embeddings normed."""
        return self.hidden_size if self.projection == "word" else self.embedding_size

    def truncated(self, layers: int, stored: int = 0) -> EncoderConfig:
        """Return the config of the first `layers` layers, remembering how many there were.

            config.truncated(3).layers  # 3

        A checkpoint may have `stored` more layers than the config says. Raises BadConfig when the model has no such
        number of layers.
        """
        if not 1 <= layers <= self.layers:
            raise BadConfig(f"cannot keep {layers} layers: this model has {self.layers}; choose 1 to {self.layers}.")
        if layers == (whole := max(self.layers, stored)):
            return self
        return replace(self, block_of_layer=self.block_of_layer[:layers], truncated_from=whole)

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
    the embedding `tables` of the checkpoint show, or a count of `heads` that its shapes tell, are filled in and noted,
    and so are defaults of the family's class. Raises BadConfig with every problem found, and Unsupported for choices
    that are not converted.
    """
    raw = in_usual_words(raw, family)
    _refuse_what_we_do_not_compute(raw, family)
    raw, notes = _filled_in(raw, family, source_format, tables or {}, heads)
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
    word = raw["hidden_act"]
    meanings = family.activations[source_format]
    if activation is None and (not isinstance(word, str) or word not in meanings):
        problems.append(f"'hidden_act' is {_shown(word)}; known here: {', '.join(meanings)} (or give --activation)")
    if pooler is not None and pooler not in family.poolers:
        problems.append(f"{family.name} has no pooler of kind {pooler!r}; choose from {', '.join(family.poolers)}")
    hidden, said = raw.get("hidden_size"), raw.get("num_attention_heads")
    positions = family.positions(raw)
    if isinstance(hidden, int) and isinstance(said, int) and said > 0:
        if hidden % said:
            problems.append(f"'hidden_size' {_shown(hidden)} is not a multiple of 'num_attention_heads' {_shown(said)}")
        elif hidden // said % 2 and positions != "absolute":
            problems.append(
                f"'hidden_size' {hidden} makes {said} heads of an odd width; {positions} positions need pairs"
            )
    if heads is not None and said != heads:
        problems.append(f"'num_attention_heads' is {_shown(said)}, the shapes have {heads} heads")
    groups, layers = raw.get("num_hidden_groups", 1), raw.get("num_hidden_layers")
    if not _is_count(groups) or (_is_count(layers) and groups > layers):
        problems.append(f"'num_hidden_groups' is {_shown(groups)}, not a number from 1 to the number of layers")
    epsilon = raw["layer_norm_eps"]
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        problems.append(f"'layer_norm_eps' is {_shown(epsilon)}, not a small positive number")
    for key in _RATES:
        if not (isinstance(raw[key], int | float) and 0 <= raw[key] < 1):
            problems.append(f"'{key}' is {_shown(raw[key])}, not a rate from 0 to 1")
    if problems:
        raise BadConfig(
            f"the config cannot be used for family {family.name}: {'; '.join(problems)}. Correct it, or name the "
            "config that belongs to this checkpoint with --config."
        )

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
        always_projects=raw.get("embedding_size") == raw["hidden_size"]
        and (source_format in family.always_projects or raw.get("always_projects") is True),
        positions=positions,
        layer_norm_epsilon=float(raw["layer_norm_eps"]),
        hidden_dropout=float(raw["hidden_dropout_prob"]),
        attention_dropout=float(raw["attention_probs_dropout_prob"]),
        activation_word=str(word),
        # The card of an archive states it: what a person chose for its checkpoint counted for the head, too.
        mlm_activation=None if chosen else raw.get("mlm_activation", family.mlm_activation.get(source_format)),
        padding_id=_padding_id(raw),
        notes=notes,
    )


def in_usual_words(raw: Settings, family: Family) -> Settings:
    """Return the settings of a config with the keys that most families use, and numbers as they are meant.

        in_usual_words({"dim": 768.0, "dropout": None}, DISTILBERT)  # {…, "hidden_size": 768, "hidden_dropout_prob": 0}

    Raises BadConfig if a config has both words for a setting, and two values.
    """
    found = {ours: raw[theirs] for ours, theirs in family.config_words.items() if theirs in raw}
    both = [
        f"'{family.config_words[key]}' is {_shown(value)} and '{key}' is {_shown(raw[key])}"
        for key, value in found.items()
        if raw.get(key, value) != value
    ]
    if both:
        raise BadConfig(f"the config says two things about one setting: {'; '.join(both)}. Remove the wrong one.")
    found = {**raw, **found}
    whole = {key: int(value) for key, value in found.items() if isinstance(value, float) and value.is_integer()}
    counts = {key: value for key, value in whole.items() if key in (*_REQUIRED, "embedding_size", "pad_token_id")}
    rates = {key: 0.0 for key in _RATES if found.get(key) is None}
    none = {"pad_token_id"} if found.get("pad_token_id") is None else set()
    return {key: value for key, value in {**found, **counts, **rates}.items() if key not in none}


def _filled_in(
    raw: Settings, family: Family, source_format: Format, tables: Mapping[str, Shape], heads: int | None
) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings with those that the config lacks, and a note for each of these."""
    folds = {fold.module: fold for fold in family.folds_of(source_format, raw)}
    settings = family.settings(source_format, raw)
    of_archive: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for key, table in _ROWS.items():
        fold = folds.get(f"embeddings/{table}")
        if fold is not None and _is_count(raw.get(key)):
            of_archive[key] = fold.rows(raw[key], settings)  # the config counts the rows of the checkpoint
        elif key not in raw and tables.get(table):
            (found if fold is None else of_archive)[key] = tables[table][0]
    if family.projection != "none" and "embedding_size" not in raw and tables.get("word"):
        found["embedding_size"] = tables["word"][-1]
    if heads is not None and "num_attention_heads" not in raw:
        found["num_attention_heads"] = heads
    notes = [f"{key} {value} is not in the config; it was read from the shapes" for key, value in found.items()]
    defaults = {**DEFAULTS, **family.defaults.get(source_format, {})}
    missing = {key: value for key, value in defaults.items() if key not in raw}
    notes += [
        f"{key} is not in the config; {value!r} is the default of the family's code"
        for key, value in missing.items()
        if key not in (*_NEVER_WRITTEN[source_format], *(family.refused or ()))
    ]
    said = raw.get("model_type")
    if family.model_types and said and said not in family.model_types:
        notes.append(f"the config says model_type {_shown(said)}; names and sizes are those of family {family.name}")
    return {**raw, **missing, **found, **of_archive}, tuple(notes)


def _refuse_what_we_do_not_compute(raw: Mapping[str, Any], family: Family) -> None:
    for key, converted in (family.refused or {}).items():
        if raw.get(key, converted[0]) not in converted:
            which = " or ".join(repr(value) for value in converted)
            raise Unsupported(f"{key!r} is {_shown(raw[key])}; of family {family.name} only {which} is converted.")
    attention = raw.get("attention_type") or "original_full"  # BigBird's word, whatever the model type says
    if attention != "original_full":
        raise Unsupported(f"'attention_type' is {_shown(attention)}; only attention of all tokens to all is converted.")
    if raw.get("pruned_heads"):
        raise Unsupported(
            f"'pruned_heads' is {_shown(raw['pruned_heads'])}: layers without some of their heads, which are not "
            "converted. Export the checkpoint from before the pruning."
        )
    positions = raw.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise Unsupported(
            f"'position_embedding_type' is {_shown(positions)}; only absolute positions are converted: "
            "relative ones take part in every layer, and no table of positions replaces them."
        )
    if raw.get("is_decoder") or raw.get("add_cross_attention"):
        raise Unsupported(
            "the config describes a decoder ('is_decoder' or 'add_cross_attention'); only encoders are converted."
        )


def _padding_id(raw: Settings) -> int:
    """Return the id of padding that a config states, 0 if it states none of the vocabulary's."""
    said: Any = raw.get("pad_token_id")
    return int(said) if _is_count(said) and said < raw["vocab_size"] else 0


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
