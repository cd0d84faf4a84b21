"""Everything about an export that is decided before the work begins: `plan_encoder(request)` makes a PlannedEncoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export.families import detect
from export.families.scope import placement
from export.families.table import Family, Layout
from export.heads.planning import chosen_heads, head_states, plan_with_heads, rows_of_tokens
from export.options import EncoderRequest, TokenizerRequest
from export.oracle.fitted import Steps
from export.oracle.names import Under
from export.readers import open_checkpoint
from export.readers.beside import beside_notes
from export.readers.protocol import Checkpoint
from export.readers.sentence_model import SentenceModel
from export.readers.sentence_transformers import sentence_model, transformer_folder
from export.tasks import TASKS
from export.tasks.reading import AskedTask, FoundTask, WithDenseLayers, find_task, find_tokenizer
from export.vocabulary import check_heads, choose_vocabulary
from export.weights.config import EncoderConfig, read_config
from export.weights.derived import DerivedCheckpoint, kept_ids, pruned
from export.weights.folded import folded
from export.weights.leave_out import matched
from export.weights.leftovers import averaged
from export.weights.naming import Names, table_shapes
from export.weights.plan import WeightPlan
from tokenizer.core_rules import checked_for_core
from tokenizer.sentencepiece import is_of_sentencepiece
from tokenizer.source import TokenizerConfig, read_tokenizer_source
from tokenizer.vocabulary import PAD, Vocabulary
from zoo.archive.card import FittedFrom, HeadState
from zoo.archive.task import TextTask
from zoo.errors import BadArgument, BadConfig, BadVocabulary, Unsupported

_NO_RULES = (
    "an archive that is exported again does not say how its tokenizer treats capitals, accents and added tokens. Give "
    "the tokenizer's own files with --vocab DIR, or choose --cased or --uncased."
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class PlannedEncoder:
    """A request, and what was decided for it: which family, sizes, variables, heads and vocabulary."""

    request: EncoderRequest
    opened: Checkpoint  # as it was read, before anything was derived from it
    checkpoint: Checkpoint
    derived: DerivedCheckpoint | None  # of fewer tokens or in half precision; None: neither of them
    family: Family
    layout: Layout  # where the names lie in this checkpoint
    config: EncoderConfig
    plan: WeightPlan
    head_states: Mapping[str, HeadState]
    heads: tuple[str, ...]
    vocabulary: Vocabulary | None  # None: the archive takes no string tokens
    vocabulary_files: tuple[Path, ...]
    vocabulary_notes: tuple[str, ...]
    padding_id: int
    sentence: SentenceModel | None  # of the files of sentence-transformers beside the checkpoint
    no_task: str = ""  # why no text archive is made of a checkpoint that has a task

    def to_dict(self) -> dict[str, object]:
        """Return the weight plan for programs."""
        return {**self.plan.to_dict(), **({"no_task": self.no_task} if self.no_task else {})}

    def __str__(self) -> str:
        return str(self.plan)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the card about what was found and filled in."""
        checkpoint, sentence = self.checkpoint, self.sentence.facts if self.sentence else ()
        found = (*checkpoint.facts, *placement(self.family, self.layout), *self.config.notes)
        return (*found, *self.vocabulary_notes, *sentence, *beside_notes(checkpoint.path))

    @property
    def under(self) -> Under:
        """The place in the file where the oracle finds the published names."""
        return Under(self.layout.prefix, self.request.averages)


def plan_encoder(
    request: EncoderRequest, opened: Checkpoint | None = None, taken: Collection[str] = ()
) -> PlannedEncoder:
    """Return the plan of an export, made from names, shapes, config, vocabulary and the numbers of the heads alone.

        print(plan_encoder(EncoderRequest(Path("chinese_L-12_H-768_A-12"), "bert", Path("dist"))).plan)

    `taken` are names that a task uses beside the encoder. Give `opened` if the request's checkpoint is open already, so
    that several exports unpack an archive only once. The plan may lack variables; then `plan.checked(…)` raises
    WeightMismatch. Raises BadCheckpoint, BadConfig, BadVocabulary or Unsupported if no plan can be made.
    """
    check_name(request.name)
    parent = opened or open_checkpoint(request.checkpoint, request.config)
    family, layout = detect(parent, request.family, request.prefix)
    if request.averages:
        layout = averaged(layout, parent.shapes)
    leave_out = matched(request.leave_out, parent.shapes)
    config = _read_config(request, folded(parent, family, layout), family, layout)
    settings = family.settings(parent.format, parent.config)
    chosen = choose_vocabulary(request.vocab, parent.path, settings, config.vocab_size)
    vocabulary, kept = chosen.vocabulary, None
    if request.keep_tokens:
        if vocabulary is None:
            raise BadArgument(
                "--keep-tokens needs the vocabulary that --vocab none leaves out. Give only one of the two."
            )
        if is_of_sentencepiece(vocabulary):
            raise Unsupported(
                "--keep-tokens cannot leave out pieces of a SentencePiece model, whose scores belong together. Export "
                "the model without it."
            )
        kept = kept_ids(vocabulary, request.keep_tokens)
    derived = None
    if kept is not None or request.dtype != "float32":
        derived = DerivedCheckpoint(parent, rows_of_tokens(parent, layout), request.dtype, kept)
    checkpoint = folded(derived or parent, family, layout)
    padding_id = chosen.padding_id
    if kept is not None and vocabulary is not None:
        vocabulary = pruned(vocabulary, kept)
        padding_id = vocabulary.special_tokens[PAD]
        at = kept.tolist().index(config.padding_id) if config.padding_id in kept else None
        config = replace(config, vocab_size=len(kept), kept_padding_id=at)
    states = head_states(parent, layout)
    heads = chosen_heads(states, request.heads, config)
    sentence = sentence_model(parent, config.hidden_size, config.position_limit)
    plan = plan_with_heads(checkpoint, config, family, layout, heads, leave_out, taken)
    plan = plan.leaving_out(sentence.left_out if sentence else {})
    check_heads(heads, vocabulary)
    return PlannedEncoder(
        request,
        parent,
        checkpoint,
        derived,
        family,
        layout,
        config,
        plan,
        states,
        heads,
        vocabulary,
        chosen.files,
        chosen.notes,
        padding_id,
        sentence,
    )


@dataclass(frozen=True)
class Fitted:
    """What a text archive of a model that was fitted in Keras needs, beyond its numbers.

    `takes(text)` says whether the Keras model takes a text, or a pair; `answers(texts)` are its own answers, as golden
    ones: `n/output` of text number n.
    """

    record: FittedFrom
    steps: Steps
    takes: Callable[[Sequence[str]], bool]
    answers: Callable[[Sequence[Sequence[str]]], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class PlannedText:
    """A text archive: its encoder, its tokenizer and its task. `checkpoint` has the variables of all of them."""

    encoder: PlannedEncoder  # whose plan has the variables of the task's head
    tokenizer: TokenizerConfig
    special_tokens_in_text: bool
    task: TextTask

    alone: PlannedEncoder  # the encoder without the head, as an archive of its own has it
    fitted: Fitted | None = None
    doubt: str = ""  # what no file says of the task, and the option that says it

    @property
    def request(self) -> EncoderRequest:
        return self.encoder.request

    @property
    def plan(self) -> WeightPlan:
        return self.encoder.plan

    @property
    def family(self) -> Family:
        return self.encoder.family

    def to_dict(self) -> dict[str, object]:
        """Return the weight plan and the task for programs."""
        return {**self.plan.to_dict(), "task": self.task.model_dump(mode="json")}

    def __str__(self) -> str:
        return f"{self.plan}\na text archive, {FoundTask(self.task, doubt=self.doubt)}"

    def apart(self) -> tuple[PlannedEncoder, TokenizerRequest, TokenizerConfig]:
        """Return the plans of the encoder and of the tokenizer as archives of their own."""
        request = self.request
        encoder = replace(self.alone, request=replace(self.alone.request, name=f"{request.name}_encoder"))
        name, in_text = f"{request.name}_tokenizer", self.special_tokens_in_text
        of_tokenizer = TokenizerRequest(request.checkpoint, name, request.out, request.licence, None, in_text, "core")
        return encoder, of_tokenizer, self.tokenizer


def plan_export(request: EncoderRequest, opened: Checkpoint | None = None) -> PlannedEncoder | PlannedText:
    """Return the plan of what a checkpoint is for: a text archive if it has a task, else an encoder.

        plan_export(EncoderRequest(Path("bge-small-zh"), "bge_small_zh", Path("dist"))).task.name  # "vector"

    `request.kind` decides it, if it is given. Raises what `plan_encoder` and `plan_text` do.
    """
    encoder = plan_encoder(request, opened)
    if request.kind == "encoder":
        return encoder
    try:
        planned = _text_of(encoder)
    except (BadConfig, BadVocabulary, Unsupported) as error:
        if request.kind is not None or request.task is not None:
            raise
        return replace(encoder, no_task=str(error))
    if planned is None and request.kind is not None:
        raise BadConfig(
            "nothing says for what this checkpoint was trained beyond its encoder. Choose a task, for example "
            "`--task vector --pooling mean`, or add `--kind encoder`."
        )
    return planned or encoder


def plan_text(request: EncoderRequest, opened: Checkpoint | None = None) -> PlannedText | None:
    """Return the plan of a text archive; None if the checkpoint is an encoder alone and no task is asked for.

    Raises what `plan_encoder` does, BadConfig where no text archive can be made of the task, and what reading the
    tokenizer raises.
    """
    return _text_of(plan_encoder(request, opened))


def _text_of(encoder: PlannedEncoder) -> PlannedText | None:
    request = encoder.request
    asked = AskedTask(request.task, request.pooling, request.max_length, request.labels, request.prompts)
    sentence = None if encoder.opened.format == "archive" else encoder.sentence  # it lacks the files that say it again
    found = find_task(encoder.checkpoint, encoder.layout, encoder.config, sentence, asked)
    if found is None:
        return None
    if TASKS[found.task.name].of_tokens and request.dtype == "bfloat16":
        raise BadArgument(
            "bfloat16 changes labels of tokens, and a certificate repeats them exactly. Use --dtype float16, which is "
            "as small, or add `--kind encoder`."
        )
    if encoder.vocabulary is None:
        raise BadConfig("a text archive needs the vocabulary that --vocab none leaves out. Add `--kind encoder`.")
    if encoder.opened.format == "archive" and request.vocab is None and request.cased is None:
        raise BadVocabulary(f"{_NO_RULES} Or add `--kind encoder`.")
    alone, encoder = with_head(encoder, found)
    if sentence:
        encoder = replace(encoder, checkpoint=WithDenseLayers(encoder.checkpoint, sentence))
    tokenizer, in_text = find_tokenizer(encoder.checkpoint, found.task, request.vocab, request.cased)
    if request.keep_tokens:
        tokenizer = of_kept_tokens(encoder, tokenizer)
    return PlannedText(encoder, tokenizer, in_text, found.task, alone, doubt=found.doubt)


def of_kept_tokens(encoder: PlannedEncoder, whole: TokenizerConfig) -> TokenizerConfig:
    """Return the tokenizer of an encoder with fewer tokens: the rules of its parent, but only the remaining tokens.

    Raises BadVocabulary if it could never give some of them.
    """
    request, vocabulary = encoder.request, encoder.vocabulary
    assert vocabulary is not None  # --keep-tokens needs one
    specials = set(vocabulary.spellings.values())
    capitals = [entry for entry in vocabulary.entries if entry != entry.lower() and entry not in specials]
    if request.cased is None and whole.lower_case and capitals:
        raise BadVocabulary(
            f"{request.keep_tokens} keeps {len(capitals)} tokens with capitals ({', '.join(capitals[:3])}, …), but a "
            "tokenizer that lower-cases never gives them. Choose --cased or --uncased."
        )
    return whole.of_kept(vocabulary)


def with_head(encoder: PlannedEncoder, found: FoundTask) -> tuple[PlannedEncoder, PlannedEncoder]:
    """Return the plans of an encoder alone, and of the same encoder with the variables of a task's head."""
    request = encoder.request
    of_task = [head] if (head := TASKS[found.task.name].encoder_head) else []
    wanted = replace(request, heads=(*(request.heads or ()), *of_task))
    if not found.reads_pooler and request.pooler is None:
        wanted = replace(wanted, pooler="first_token")  # the task reads no pooler, and some classes have none
    alone = plan_encoder(wanted, encoder.opened) if encoder.plan.problems else encoder
    encoder = plan_encoder(wanted, encoder.opened, found.sources)
    return alone, replace(encoder, plan=encoder.plan.taking(found.head))


def plan_tokenizer(request: TokenizerRequest) -> TokenizerConfig:
    """Return vocabulary and rules of a tokenizer's export. Raises BadConfig, BadVocabulary or Unsupported."""
    check_name(request.name)
    source = read_tokenizer_source(transformer_folder(request.source), request.cased)
    if request.ops == "core":
        checked_for_core(source.vocabulary, source.rules, request.special_tokens_in_text)
    return source


def _read_config(request: EncoderRequest, checkpoint: Checkpoint, family: Family, layout: Layout) -> EncoderConfig:
    tables = table_shapes(checkpoint.shapes, layout)
    config = read_config(
        checkpoint.config, family, layout.format, request.activation, request.pooler, tables, checkpoint.heads
    )
    if request.layers is None:
        return config
    return config.truncated(request.layers, Names(checkpoint.shapes, layout).stored_layers(config))


def check_name(name: str) -> None:
    """Raise BadConfig if no archive can have this name: `check_name("bert_3")` is fine, "a/b" is not."""
    if not _NAME.fullmatch(name):
        raise BadConfig(
            f"{name!r} cannot name an archive. A name has letters, digits, '.', '_' and '-', and begins with a letter "
            "or digit."
        )
