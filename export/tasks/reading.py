"""Finds the task of a checkpoint, from its class, the names of its variables and the files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.families.table import Layout, joined
from export.readers.protocol import Checkpoint, CheckpointView, Format
from export.readers.sentence_model import SentenceModel
from export.readers.sentence_transformers import limit_of_tokenizer
from export.tasks import TASKS
from export.tasks.heads import FoundHead, dense_variables, find_head, forms, named_by_heads
from export.tasks.schemes import scheme_of
from export.tasks.table import STORED, Task
from export.weights.config import EncoderConfig
from export.weights.plan import PlannedVariable
from tokenizer.core_rules import checked_for_core
from tokenizer.source import TokenizerConfig, read_tokenizer_source
from zoo.archive.activation import Activation
from zoo.archive.task import DenseRecord, Scores, TextTask, Truncation
from zoo.contract import TaskName
from zoo.errors import BadArgument, BadConfig
from zoo.loading.pooling import check_limit, check_pooling
from zoo.safety.written import MOST_LOOPED

_DOUBT = (
    "No file says whether the head is of texts or of their tokens: it is taken for one of texts. For entities add "
    "--task token_classification."
)


class WithDenseLayers(CheckpointView):
    """A checkpoint that has the variables of sentence-transformers' dense layers too: "2_Dense/linear.weight"."""

    def __init__(self, parent: Checkpoint, sentence: SentenceModel) -> None:
        super().__init__(parent)
        self._layers = {layer.folder: layer.weights for layer in sentence.dense}
        beside = {
            name: layer.weights.shapes[name.partition("/")[2]] for layer in sentence.dense for name in layer.variables
        }
        self.shapes = {**parent.shapes, **beside}

    def read(self, name: str) -> Any:
        folder, _, own = name.partition("/")
        return self._layers[folder].read(own) if folder in self._layers else self.parent.read(name)


@dataclass(frozen=True)
class AskedTask:
    """What a person chose about the task; None: as the files say."""

    name: TaskName | None = None
    pooling: str | None = None
    max_length: int | None = None
    labels: Path | None = None
    prompts: Mapping[str, str] | None = None


@dataclass(frozen=True)
class FoundTask:
    """A task, and the variables of its head as the archive will hold them."""

    task: TextTask
    head: tuple[PlannedVariable, ...] = ()
    doubt: str = ""  # what no file says, and the option that says it

    @property
    def sources(self) -> set[str]:
        """The names of the head in the checkpoint."""
        return {source for each in self.head for source in each.sources}

    @property
    def reads_pooler(self) -> bool:
        return "pooled" in (self.task.pooling or "").split("+")

    def __str__(self) -> str:
        """The task in words: "classification: negative, positive; scores by softmax; at most 512 tokens"."""
        task = self.task
        how = [f"pooling {task.pooling}"] if task.pooling else []
        hidden = task.dense if task.name == "vector" else task.dense[:-1]
        how += [f"dense layer to {layer.outputs:,}" + _with(layer.activation) for layer in hidden]
        how += ["normalised"] if task.normalize else []
        if task.labels:
            of_tokens = f" of tokens, by {task.scheme}{', decoded by a CRF' if task.crf else ''}"
            some = ", ".join(task.labels[:5]) + (", …" if len(task.labels) > 5 else "")
            word = "class" if len(task.labels) == 1 else "classes"
            how += [f"{len(task.labels):,} {word}{of_tokens if task.scheme else ''}: {some}"]
        words = f"{TASKS[task.name].title}: {'; '.join([*how, f'at most {task.max_length:,} tokens'])}"
        return f"{words}. {self.doubt}" if self.doubt else words


def _with(activation: Activation) -> str:
    return "" if activation == "linear" else f" and {activation}"


def find_task(
    checkpoint: Checkpoint,
    layout: Layout,
    config: EncoderConfig,
    sentence: SentenceModel | None,
    asked: AskedTask = AskedTask(),
) -> FoundTask | None:
    """Return the task of a checkpoint, None if it is an encoder alone and no task was asked for.

        find_task(checkpoint, layout, config, None).task.name  # "classification"

    sentence-transformers' files mean vectors; else the class in config.json decides, else the names of a head. Raises
    BadConfig if the task that was asked for does not fit, BadArgument for a wrong option.
    """
    if asked.max_length is not None:
        check_limit(f"--max-length {asked.max_length}", asked.max_length, config.position_limit)
    name = asked.name or _named(checkpoint, layout, config, sentence)
    if name is None:
        if option := _of_vectors(asked):
            raise BadArgument(f"{option} is of a text archive of vectors: add --task vector.")
        return None
    if name != "vector" and (option := _of_vectors(asked)):
        raise BadArgument(f"{option} is of vectors, and this is {TASKS[name].title}: add --task vector.")
    if name == "vector":
        return _vectors(checkpoint, config, sentence, asked)
    return _with_head(TASKS[name], checkpoint, layout, config, asked)


def _of_vectors(asked: AskedTask) -> str:
    """Return an option that was given and that only vectors have, '' without one."""
    return "--pooling" if asked.pooling else "--prompts" if asked.prompts else ""


def _named(
    checkpoint: Checkpoint, layout: Layout, config: EncoderConfig, sentence: SentenceModel | None
) -> TaskName | None:
    if sentence is not None:
        return "vector"
    classes = checkpoint.config.get("architectures")
    said = [each for each in classes if isinstance(each, str)] if isinstance(classes, list) else []
    for task in TASKS.values():
        if any(each.endswith(end) for each in said for end in task.classes):
            return task.name
    return named_by_heads(TASKS.values(), checkpoint.shapes, layout, config, bool(said))


def find_tokenizer(
    checkpoint: Checkpoint, task: TextTask, vocab: Path | None = None, cased: bool | None = None
) -> tuple[TokenizerConfig, bool]:
    """Return the tokenizer of a text archive, and whether it finds literal special tokens in texts.

    In files of transformers a literal [SEP] in a text is the special token. Raises what `read_tokenizer_source` does,
    and Unsupported for rules that core operations cannot follow.
    """
    tokenizer = read_tokenizer_source(vocab or checkpoint.path, cased)
    in_text = checkpoint.format == "huggingface" or TASKS[task.name].special_tokens_in_text
    checked_for_core(tokenizer.vocabulary, tokenizer.rules, in_text)
    return tokenizer, in_text


# -- vectors ----------------------------------------------------------------------------------------------------------


def _vectors(
    checkpoint: Checkpoint, config: EncoderConfig, sentence: SentenceModel | None, asked: AskedTask
) -> FoundTask:
    if asked.pooling:
        check_pooling(asked.pooling)
    if sentence is None:
        if asked.pooling is None:
            raise BadArgument(
                "no file beside this checkpoint says how the vector of a text is made of its tokens. Choose it: "
                "`--task vector --pooling mean`, or first, max, …"
            )
        return FoundTask(
            TextTask(
                name="vector",
                pooling=asked.pooling,
                max_length=asked.max_length or _limit(checkpoint, config),
                truncation=_truncation(checkpoint),
                prompts=dict(asked.prompts or {}),
                reasons=[f"--pooling {asked.pooling}", *_reason_of_prompts(asked)],
            )
        )
    if sentence.unknown and not asked.pooling:
        raise BadConfig(
            f"its vectors need more than is known here: {'; '.join(sentence.unknown)}. Export the encoder alone with "
            "`--kind encoder`, or choose another vector with `--task vector --pooling mean`."
        )
    prompts = {**sentence.prompts, **(asked.prompts or {})}
    if not sentence.include_prompt and any(prompts.values()):
        raise BadConfig(
            "the tokens of a prompt are not pooled (include_prompt is false), which is not computed here. Export the "
            "encoder alone with `--kind encoder`."
        )
    dense = () if asked.pooling else sentence.dense
    records, variables = [], []
    for number, layer in enumerate(dense):
        has_bias = "linear.bias" in layer.weights.shapes
        activation: Activation = "linear" if layer.activation == "identity" else layer.activation  # type: ignore[assignment]
        records.append(
            DenseRecord(outputs=layer.outputs, activation=activation, bias=has_bias, unit_inputs=layer.unit_inputs)
        )
        names = (f"{layer.folder}/linear.weight", f"{layer.folder}/linear.bias" if has_bias else None)
        variables += dense_variables(number, layer.inputs, layer.outputs, names, transposed=True)
    task = TextTask(
        name="vector",
        pooling=asked.pooling or "+".join(sentence.pooling),
        dense=records,
        normalize=sentence.normalize,
        max_length=asked.max_length or sentence.max_length,
        truncation=_truncation(checkpoint),
        lower_case=sentence.lower_case,
        prompts=prompts,
        default_prompt=sentence.default_prompt,
        similarity=sentence.similarity,
        reasons=[
            f"--pooling {asked.pooling}; dense layers are left out" if asked.pooling else "modules.json",
            *_reason_of_prompts(asked),
        ],
    )
    return FoundTask(task, tuple(variables))


def _reason_of_prompts(asked: AskedTask) -> list[str]:
    return [f"--prompts {', '.join(asked.prompts)}: given with the export"] if asked.prompts else []


# -- heads ------------------------------------------------------------------------------------------------------------


def _with_head(
    task: Task, checkpoint: Checkpoint, layout: Layout, config: EncoderConfig, asked: AskedTask
) -> FoundTask:
    common: dict[str, Any] = {
        "name": task.name,
        "max_length": asked.max_length or _limit(checkpoint, config),
        "truncation": task.truncation or _truncation(checkpoint),
        "most_tokens": task.most_tokens,
    }
    if asked.labels is not None and (task.encoder_head or task.outputs):
        raise BadArgument(f"--labels are of classes, and this is {task.title}: leave the option out.")
    if task.encoder_head:
        return FoundTask(TextTask(**common, pooling=None, reasons=list(task.reasons)))
    found = find_head(task, checkpoint.shapes, layout, config)
    if found is None:
        searched = ", ".join(
            dict.fromkeys(
                joined(scope, STORED[each.format][0].endings[0])
                for each in forms(task, layout)
                for scope, _ in each.layers
            )
        )
        raise BadConfig(
            f"no head for {task.title} was found: {searched or 'none is known in files of this format'}. Export the "
            "encoder alone with `--kind encoder`, or choose the task that it has with --task."
        )
    if found.crf and common["max_length"] > MOST_LOOPED:
        raise BadConfig(f"a CRF labels at most {MOST_LOOPED:,} tokens together: add `--max-length {MOST_LOOPED}`.")
    raw = checkpoint.config
    classes = found.layers[-1].outputs
    if task.outputs not in (None, classes):
        raise BadConfig(
            f"the head for {task.title} has {classes} outputs, not {task.outputs}. Export the encoder alone with "
            "`--kind encoder`."
        )
    labels: list[str] = []
    scores: Scores = "identity"
    reasons = list(task.reasons)
    if task.outputs is None:
        labels, why_labels = _labels(raw, classes, asked.labels)
        scores, why_scores = _scores_of_tokens(found) if task.of_tokens else _scores(raw, classes, found.form.format)
        reasons = [why_labels, why_scores]
    dropout = raw.get("classifier_dropout", raw.get("classifier_dropout_prob"))
    record = TextTask(
        **common,
        pooling=found.form.pooling,
        dense=list(found.layers),
        dropout=config.hidden_dropout if not isinstance(dropout, int | float) else float(dropout),
        labels=labels,
        scores=scores,
        scheme=scheme_of(labels) if task.of_tokens else None,
        crf=bool(found.crf),
        reasons=reasons,
    )
    doubted = asked.name is None and not task.of_tokens and not checkpoint.config.get("architectures")
    also = doubted and find_head(TASKS["token_classification"], checkpoint.shapes, layout, config)
    return FoundTask(record, (*found.variables, *found.crf), _DOUBT if also else "")


# -- settings of the config -------------------------------------------------------------------------------------------


def _labels(raw: Mapping[str, Any], count: int, file: Path | None) -> tuple[list[str], str]:
    """Return a name for each class, and where they were read. Raises BadConfig if they are not as many as classes."""
    if file is not None:
        try:
            names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise BadArgument(f"--labels {file} cannot be read: {error}.") from None
        if len(names) != count:
            raise BadConfig(f"{file} has {len(names)} labels, the head {count} classes. Give a line for each class.")
        return names, f"labels of {file.name}"
    stated = raw.get("id2label")
    if isinstance(stated, Mapping):
        named = {str(number): str(label) for number, label in stated.items()}
        if named.keys() == {str(number) for number in range(count)}:
            return [named[str(number)] for number in range(count)], "labels of id2label in config.json"
        raise BadConfig(
            f"id2label in the config has {len(named)} labels for the head's {count} classes. Give a file with a line "
            "for each class: `--labels FILE`."
        )
    return [f"LABEL_{number}" for number in range(count)], "no file names the classes; --labels FILE would"


def _scores(raw: Mapping[str, Any], classes: int, format: Format) -> tuple[Scores, str]:
    """Return what makes scores of logits, and why; as the pipelines of transformers and CrossEncoder choose it.

    Model Garden trains a head of one class as a regression, by the mean squared error.
    """
    if format == "tf2" and classes == 1:
        return "identity", "scores are the logits: one class of Model Garden is a regression"
    own = raw.get("sentence_transformers")
    word = own.get("activation_fn") if isinstance(own, Mapping) else raw.get("sbert_ce_default_activation_function")
    if isinstance(word, str):
        known: dict[str, Scores] = {"Sigmoid": "sigmoid", "Identity": "identity", "Softmax": "softmax"}
        last = word.rpartition(".")[2]
        if last not in known:
            raise BadConfig(f"the config computes scores by {word!r:.80}, which is not known here. Correct the config.")
        return known[last], f"scores by {word} in config.json"
    problem = raw.get("problem_type")
    if problem == "regression":
        return "identity", "scores are the logits: problem_type is regression"
    if problem == "multi_label_classification" or classes == 1:
        return "sigmoid", "scores by a sigmoid: " + ("one class" if classes == 1 else "several labels at once")
    return "softmax", "scores by softmax" + (f": problem_type is {problem}" if problem else "")


def _scores_of_tokens(head: FoundHead) -> tuple[Scores, str]:
    if head.crf:
        where = head.crf[0].sources[0].rpartition(".")[0] or head.crf[0].sources[0]
        return "softmax", f"labels by the CRF {where} over all tokens, [CLS] and [SEP] too; scores are their chances"
    return "softmax", "the best label of each token; scores by softmax, the mean of an entity's tokens"


def _truncation(checkpoint: Checkpoint) -> Truncation:
    return "longest_first" if checkpoint.format == "huggingface" else "round_robin"


def _limit(checkpoint: Checkpoint, config: EncoderConfig) -> int:
    """Return the most tokens of a text: those of the tokenizer's config, if it has fewer than the model."""
    return limit_of_tokenizer(checkpoint.path, config.position_limit)
