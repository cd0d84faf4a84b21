"""Finds the head of a task among the variables of a checkpoint, and the task that a head belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from export.families.table import Layout, joined
from export.readers.protocol import Format, Shape
from export.tasks.crf import find_crf
from export.tasks.table import STORED, HeadForm, Task
from export.weights.config import EncoderConfig
from export.weights.plan import PlannedVariable
from zoo.archive.task import DenseRecord
from zoo.contract import TaskName
from zoo.errors import BadConfig

# Model Garden's ALBERT is read as TF1's, which has the same names and arithmetic; its heads stay Model Garden's.
_ALSO: Mapping[Format, tuple[Format, ...]] = {"tf1": ("tf2",)}


@dataclass(frozen=True)
class FoundHead:
    """A head that a checkpoint has whole: its form, its dense layers, their variables, and those of a CRF behind it."""

    form: HeadForm
    layers: tuple[DenseRecord, ...]
    variables: tuple[PlannedVariable, ...]
    crf: tuple[PlannedVariable, ...] = ()


def forms(task: Task, layout: Layout) -> Sequence[HeadForm]:
    """Return the forms that a task's head may have in a layout."""
    formats = (layout.format, *_ALSO.get(layout.format, ()))
    found = [form for form in task.forms if form.format in formats]
    return [form for form in found if layout.family in form.families] or [form for form in found if not form.families]


def find_head(task: Task, shapes: Mapping[str, Shape], layout: Layout, config: EncoderConfig) -> FoundHead | None:
    """Return the first form of a head, under the first place beside the encoder, that a checkpoint has whole."""
    for form in forms(task, layout):
        for place in dict.fromkeys((layout.prefix, *layout.beside, "")):
            if head := _head_at(form, place, shapes, config):
                classes = head.layers[-1].outputs
                crf = find_crf(shapes, form.format, classes) if task.of_tokens else ()
                return replace(head, crf=crf)
    return None


def named_by_heads(
    tasks: Iterable[Task], shapes: Mapping[str, Shape], layout: Layout, config: EncoderConfig, has_class: bool
) -> TaskName | None:
    """Return the task whose head a checkpoint has, None if there is no head, or if several differ.

    A head that reads the pooler is none where no pooler is stored: transformers' classes for tokens have no pooler.
    `has_class`: the config names a class, whose task is not known; then only a CRF tells. Raises BadConfig if the head
    may be of several tasks.
    """
    has_pooler = config.pooler == "first_token" or layout.has("pooler", shapes)
    heads: dict[TaskName, FoundHead] = {}
    for task in tasks:
        if (head := find_head(task, shapes, layout, config)) and _may_be(task, head, has_pooler):
            heads[task.name] = head
    for name, head in heads.items():
        if head.crf:  # a class of one's own has any name
            return name
    if has_class:
        return None
    certain = [name for name, head in heads.items() if head.form.tells]
    if len(heads) > 1 and not certain:
        scope = next(iter(heads.values())).form.layers[-1][0]
        raise BadConfig(
            f"the head {scope} may be of {' or '.join(heads)}, and no file says which. Choose with --task, or export "
            "the encoder alone with `--kind encoder`."
        )
    found = certain or [*heads]
    return found[0] if len(found) == 1 else None


def _may_be(task: Task, head: FoundHead, has_pooler: bool) -> bool:
    """Return whether a head fits a task by its sizes; one class of tokens would choose nothing."""
    outputs = head.layers[-1].outputs
    if task.outputs not in (None, outputs) or (task.of_tokens and outputs == 1):
        return False
    return has_pooler or head.form.pooling != "pooled"


def dense_variables(
    number: int, inputs: int, outputs: int, names: tuple[str, str | None], transposed: bool
) -> list[PlannedVariable]:
    """Return kernel and bias of the head's dense layer `number`, stored under `names`; None: it has no bias."""
    kernel, bias = f"task/dense_{number}/kernel", f"task/dense_{number}/bias"
    planned = [PlannedVariable(kernel, kernel, (names[0],), (outputs,), (inputs, outputs), transposed)]
    if names[1]:
        planned.append(PlannedVariable(bias, bias, (names[1],), (outputs,), (outputs,), False))
    return planned


def _head_at(form: HeadForm, place: str, shapes: Mapping[str, Shape], config: EncoderConfig) -> FoundHead | None:
    kernel, bias = STORED[form.format]
    width = config.hidden_size
    records, variables = [], []
    for number, (scope, activation) in enumerate(form.layers):
        names = [joined(place + scope, leaf.endings[0]) for leaf in (kernel, bias)]
        shape = shapes.get(names[0])
        if shape is None or len(shape) != 2 or names[1] not in shapes:
            return None
        inputs, outputs = shape[::-1] if kernel.transposed else shape
        if inputs != width or shapes[names[1]] != (outputs,):
            return None
        records.append(DenseRecord(outputs=outputs, activation=activation or config.activation))
        variables += dense_variables(number, inputs, outputs, (names[0], names[1]), kernel.transposed)
        width = outputs
    return FoundHead(form, tuple(records), tuple(variables))
