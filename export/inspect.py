"""Describes a checkpoint and the export of it: as a sheet for people, as a dict for programs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from export.families import FAMILIES, detect
from export.families.scope import placement
from export.families.table import Family, Layout
from export.heads.planning import chosen_heads, head_states, plan_with_heads
from export.options import NO_VOCABULARY
from export.readers import open_checkpoint
from export.readers.beside import Beside, files_beside
from export.readers.protocol import Checkpoint, Format
from export.readers.sentence_model import SentenceModel
from export.readers.sentence_transformers import sentence_model
from export.tasks.reading import FoundTask, find_task, find_tokenizer
from export.vocabulary import choose_vocabulary, heads_without_mask
from export.weights.config import EncoderConfig, read_config
from export.weights.folded import folded
from export.weights.naming import table_shapes
from export.weights.plan import WeightPlan
from zoo.archive.activation import Activation
from zoo.archive.card import HeadState, Pooler, Positions
from zoo.basics.display import sheet, size
from zoo.errors import BadCheckpoint, BadConfig, BadVocabulary, Unsupported

_SHOWN = 8  # names of each kind of problem in the sheet; `--json` has them all

_NAMING: Mapping[Format, str] = {
    "tf1": "TensorFlow 1, variables by name",
    "tf2": "TF2 Model Garden, variables by object",
    "huggingface": "transformers' names",
    "uer": "UER-py's names",
    "archive": "an archive of this project",
}
# Words for activations whose name does not say enough.
_ACTIVATIONS: Mapping[Activation, str] = {
    "gelu": "gelu with erf",
    "gelu_tanh": "gelu with tanh",
    "gelu_10": "gelu with erf, at most 10",
    "quick_gelu": "gelu with a sigmoid",
    "relu2": "the square of relu",
}
_POSITIONS: Mapping[Positions, str] = {
    "absolute": "",
    "rotary": ", which turn queries and keys",
    "rotary_values": ", which turn queries, keys and values",
    "relative": "; attention counts distances of up to 64",
}
_POOLERS: Mapping[Pooler, str] = {
    "dense": "dense and tanh over the first token",
    "first_token": "none: pooled_output is the first token's vector",
    "discriminator": "the discriminator head's dense layer",
}


@dataclass(frozen=True)
class FoundVocabulary:
    """The vocabulary beside a checkpoint, or why there is none to use."""

    needed: int  # entries
    file: str | None = None
    entries: int | None = None
    sha256: str | None = None
    problem: str | None = None
    notes: tuple[str, ...] = ()
    padding_id: int = 0
    has_mask: bool = True
    is_foreign: bool = False  # the tokenizer is of a kind that is not converted, byte pairs for example

    @property
    def fits(self) -> bool:
        return self.problem is None

    def __str__(self) -> str:
        if self.problem:
            return f"one of {self.needed:,} entries is needed: {self.problem}"
        return "\n".join([f"{self.file}, {self.entries:,} entries, fits, sha256 {self.sha256}", *self.notes])


@dataclass(frozen=True)
class Inspection:
    """Everything that is known from names, shapes, config and the numbers of the heads; printed, it is the sheet."""

    path: Path  # as it was asked for
    files: tuple[str, ...]
    format: Format
    family: str
    also: tuple[str, ...]  # families that can be asked for by name
    prefix: str  # of the encoder's names; empty where the bare model was saved
    config: EncoderConfig
    activation_word: str  # the config's
    heads_in_shapes: int | None
    head_states: Mapping[str, HeadState]
    exported_heads: tuple[str, ...]
    plan: WeightPlan
    notes: tuple[str, ...]
    vocabulary: FoundVocabulary
    export_options: tuple[str, ...] | None  # None: no options make the plan complete
    sentence: SentenceModel | None = None
    task: FoundTask | None = None
    no_task: str = ""  # why no text archive can be made of a checkpoint that has a task
    beside: Beside = field(default_factory=Beside)

    @property
    def problems(self) -> Mapping[str, tuple[str, ...]]:
        """Kind -> every problem of that kind that stops an export."""
        return self.plan.problems

    @property
    def complete(self) -> bool:
        return not self.problems

    @property
    def bytes_in_fp32(self) -> int:
        return 4 * self.plan.parameters

    @property
    def export_command(self) -> str | None:
        """The command that exports it; the reader replaces NAME, DIR and FILE."""
        if self.export_options is None:
            return None
        return " ".join(
            ["zoo export", shlex.quote(str(self.path)), "--name NAME --out DIR", *map(shlex.quote, self.export_options)]
        )

    def to_dict(self) -> dict[str, object]:
        """Return the inspection for programs, in the words of an archive's card where the card has one."""
        config = self.config
        return {
            "path": str(self.path),
            "files": list(self.files),
            "format": self.format,
            "family": self.family,
            "also": list(self.also),
            "prefix": self.prefix,
            "sizes": config.sizes().model_dump(),
            "activation_word": self.activation_word,
            "activation_reason": config.activation_reason,
            "heads_in_shapes": self.heads_in_shapes,
            "pooler": config.pooler,
            "heads": dict(self.head_states),
            "exported_heads": list(self.exported_heads),
            "left_out": {reason: list(names) for reason, names in self.plan.left_out.items()},
            "notes": list(self.notes),
            "sentence": self.sentence and self.sentence.to_dict(),
            "task": self.task and self.task.task.model_dump(mode="json"),
            "no_task": self.no_task,
            "kind": "text" if self.task else "encoder",
            "beside": asdict(self.beside),
            "complete": self.complete,
            "problems": {kind: list(problems) for kind, problems in self.problems.items()},
            "parameters": self.plan.parameters,
            "bytes_in_fp32": self.bytes_in_fp32,
            "vocabulary": {**asdict(self.vocabulary), "fits": self.vocabulary.fits},
            "export": self.export_command,
        }

    def __str__(self) -> str:
        config, plan = self.config, self.plan
        return sheet(
            {
                "path": str(self.path),
                "files": ", ".join(self.files),
                "format": f"{self.format}: {_NAMING[self.format]}, {self._prefix_in_words()}",
                "family": self.family,
                "holds also": ", ".join(f"{name} (--family {name})" for name in self.also),
                "layers": f"{config.layers}, {_blocks_in_words(config)}",
                "hidden size": f"{config.hidden_size:,}",
                "embedding size": f"{config.embedding_size:,}",
                "attention heads": f"{config.heads}, {self._heads_source()}",
                "intermediate size": f"{config.intermediate_size:,}",
                "vocab size": f"{config.vocab_size:,}",
                "positions": f"{config.position_limit:,}{_POSITIONS[config.positions]}",
                "types": f"{config.type_vocab_size:,}",
                "layer norm": f"epsilon {config.layer_norm_epsilon:g}",
                "activation": f"{self.activation_word!r} means "
                f"{_ACTIVATIONS.get(config.activation, config.activation)}: {config.activation_reason}",
                "dropout": f"{config.hidden_dropout:g} hidden, {config.attention_dropout:g} attention",
                "pooler": "none: the task does not read it"
                if self.task and not self.task.reads_pooler
                else f"{config.pooler}, by default; {_POOLERS[config.pooler]}",
                **{f"{head} head": self._head_in_words(head) for head in self.head_states},
                "left out": "\n".join(f"{reason}: {_count(names)}" for reason, names in plan.left_out.items()),
                "notes": "\n".join(self.notes),
                "sentences": str(self.sentence or ""),
                "task": str(self.task or ""),
                "becomes": self._becomes(),
                "other files": str(self.beside),
                "vocabulary": str(self.vocabulary),
                "parameters": f"{plan.parameters:,}{' with these heads' * bool(self.exported_heads)}, "
                f"{size(self.bytes_in_fp32)} in fp32",
                "problems": "\n".join(
                    f"{len(all_of_a_kind)} {kind}: {_some(all_of_a_kind)}"
                    for kind, all_of_a_kind in self.problems.items()
                ),
                "export": self.export_command or "not possible as it is, see the problems",
            }
        )

    def _becomes(self) -> str:
        if self.task:
            return "a text archive, which takes strings; --kind encoder makes an encoder, --kind all both"
        return "an encoder" + (f"; no text archive: {self.no_task}" if self.no_task else "")

    def _prefix_in_words(self) -> str:
        return f"under {self.prefix!r}" if self.prefix else "without a prefix"

    def _heads_source(self) -> str:
        # readers refuse a config that contradicts shapes
        return "as config and shapes say" if self.heads_in_shapes else "as the config says; shapes cannot tell"

    def _head_in_words(self, head: str) -> str:
        state = self.head_states[head]
        if state == "absent":
            return state
        return f"{state}, {'exported' if head in self.exported_heads else f'exported only with --heads {head}'}"


def inspect_checkpoint(
    path: Path, config: Path | None = None, family: str | None = None, prefix: str | None = None
) -> Inspection:
    """Return what is known of a checkpoint without exporting it.

        print(inspect_checkpoint(Path("chinese_L-12_H-768_A-12")))

    It reads names, shapes, config and vocabulary, and of the heads the numbers that tell whether they are trained.
    If the plan has problems, they are in the result. Raises BadCheckpoint, BadConfig or Unsupported if there can be no
    plan.
    """
    checkpoint = open_checkpoint(path, config)
    given = {"--config": config, "--family": family, "--prefix": prefix}
    asked = tuple(str(word) for option in given.items() if option[1] is not None for word in option)
    return inspected(checkpoint, path, family, prefix, asked)


def inspected(
    checkpoint: Checkpoint,
    path: Path,
    family_name: str | None = None,
    prefix: str | None = None,
    asked: tuple[str, ...] = (),
) -> Inspection:
    """Return what is known of an opened checkpoint; `asked` are the options that were needed to open it."""
    family, layout = detect(checkpoint, family_name, prefix)
    checkpoint = folded(checkpoint, family, layout)
    tables = table_shapes(checkpoint.shapes, layout)
    config = read_config(checkpoint.config, family, layout.format, tables=tables, heads=checkpoint.heads)
    states = head_states(checkpoint, layout)
    heads = chosen_heads(states, None, config)
    sentence = sentence_model(checkpoint, config.hidden_size, config.position_limit)
    vocabulary = _vocabulary(checkpoint, family, config)
    task, no_task = _task(checkpoint, layout, config, sentence, vocabulary)
    if task:
        heads, pooler = (), config.pooler if task.reads_pooler else "first_token"
        config = read_config(checkpoint.config, family, layout.format, None, pooler, tables, checkpoint.heads)
    taken = task.sources if task else ()
    plan = plan_with_heads(checkpoint, config, family, layout, heads, taken=taken)
    plan = plan.leaving_out(sentence.left_out if sentence else {}).taking(task.head if task else ())
    return Inspection(
        path=path,
        files=tuple(file.name for file in checkpoint.files),
        format=checkpoint.format,
        family=family.name,
        also=_also(checkpoint, family, layout.prefix),
        prefix=layout.prefix,
        config=config,
        activation_word=config.activation_word,
        heads_in_shapes=checkpoint.heads,
        head_states=states,
        exported_heads=heads,
        plan=plan,
        notes=(*checkpoint.facts, *placement(family, layout), *config.notes, *(sentence.facts if sentence else ())),
        vocabulary=vocabulary,
        export_options=None if plan.remedy is None else (*asked, *plan.remedy, *_vocabulary_options(vocabulary, heads)),
        sentence=sentence,
        task=task,
        no_task=no_task,
        beside=files_beside(checkpoint.path),
    )


# -- what it is made of -----------------------------------------------------------------------------------------------


def _also(checkpoint: Checkpoint, chosen: Family, prefix: str) -> tuple[str, ...]:
    found = []
    for family in FAMILIES:
        if family.on_request and family is not chosen:
            try:
                detect(checkpoint, family.name, prefix)
            except (BadCheckpoint, Unsupported):
                continue
            found.append(family.name)
    return tuple(found)


def _vocabulary(checkpoint: Checkpoint, family: Family, config: EncoderConfig) -> FoundVocabulary:
    needed = config.vocab_size
    try:
        found = choose_vocabulary(None, checkpoint.path, family.settings(checkpoint.format, checkpoint.config), needed)
    except (BadConfig, BadVocabulary, Unsupported) as error:
        return FoundVocabulary(needed, problem=str(error), is_foreign=isinstance(error, Unsupported))
    vocabulary, file = found.vocabulary, found.files[0].name
    assert vocabulary is not None  # only --vocab none gives none
    about = (found.notes, found.padding_id, vocabulary.has_mask)
    return FoundVocabulary(needed, file, len(vocabulary), vocabulary.sha256, None, *about)


def _task(
    checkpoint: Checkpoint,
    layout: Layout,
    config: EncoderConfig,
    sentence: SentenceModel | None,
    vocabulary: FoundVocabulary,
) -> tuple[FoundTask | None, str]:
    """Return the task of a text archive, or why none can be made of a checkpoint that has a task."""
    try:
        found = find_task(checkpoint, layout, config, sentence)
        if found is None or not vocabulary.fits:
            return None, "" if found is None else "no vocabulary fits"
        find_tokenizer(checkpoint, found.task)
    except (BadConfig, BadVocabulary, Unsupported) as error:
        return None, str(error)
    return found, ""


def _vocabulary_options(found: FoundVocabulary, heads: tuple[str, ...]) -> tuple[str, ...]:
    """The options that an export needs for its vocabulary; FILE is left to the reader."""
    if not found.fits:
        return ("--vocab", NO_VOCABULARY.name if found.is_foreign else "FILE")
    rest = heads_without_mask(heads)
    return () if found.has_mask or rest == heads else ("--heads", ",".join(rest) or "none")


# -- words ------------------------------------------------------------------------------------------------------------


def _blocks_in_words(config: EncoderConfig) -> str:
    if config.blocks == config.layers:
        return "each with weights of its own"
    return f"sharing {config.blocks} block{'s' * (config.blocks > 1)} of weights"


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} variable{'s' * (len(names) != 1)}"


def _some(problems: tuple[str, ...]) -> str:
    more = len(problems) - _SHOWN
    return ", ".join(problems[:_SHOWN]) + (f" and {more} more (--json lists them)" if more > 0 else "")
