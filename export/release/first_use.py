"""The builder that `zoo` finds by its entry point: a model is exported when its name, or a hub's id, is first used."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib.util import find_spec
from pathlib import Path

from export.options import EncoderRequest, TokenizerRequest
from export.readers.sentence_transformers import transformer_folder
from export.release.builder import Builder, Job
from export.release.plan import Step, estimate, make_step
from export.release.report import BuildReport, read_report, write_report
from export.release.sources import Inputs, Shelf
from zoo.basics.display import size
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.errors import (
    BadCheckpoint,
    BadConfig,
    BadVocabulary,
    DownloadFailed,
    MissingExtra,
    Unsupported,
    WeightMismatch,
)
from zoo.fetching.building import Order
from zoo.registry.entry import NoteSource

_log = logging.getLogger("zoo")


def build(order: Order, out: Path) -> None:
    """Write the archives of an order and their registry.json into `out`; go on with what an earlier run left there.

    Raises DownloadFailed when no source delivers the checkpoint, MissingExtra, and what an export raises.
    """
    if find_spec("tensorflow_text") is None:
        raise MissingExtra(
            f"building {order.name} needs tensorflow-text, which most models can be loaded without: "
            "`pip install tensorflow-text` brings it."
        )
    step = make_step(order.name, order.models)
    shelf, entry = _shelf(order), order.models[step.origin]
    if order.as_found and not isinstance(source := entry.sources[0], NoteSource):
        try:
            inputs = shelf.fetched(source, entry)
        except DownloadFailed as error:
            raise DownloadFailed(
                f"{str(error).rstrip('.')}. If you have its files in a directory: `zoo export DIRECTORY --name NAME "
                "--out DIR`, then `zoo install DIR`, and the name NAME loads it."
            ) from None
    else:
        inputs = shelf.get(step.origin, entry)
    about = "" if order.as_found else f": about {estimate(step, order.models).seconds:.0f} seconds"
    _log.warning("exporting %s from %s, and comparing it with this checkpoint%s.", order.name, inputs.said, about)
    _outside_of_scopes(lambda: (_export_found if order.as_found else _export)(order, step, inputs, out))


def _export(order: Order, step: Step, inputs: Inputs, out: Path) -> None:
    with Builder(Job(order.models, out, done=read_report(out).rows)) as builder:
        rows = builder.build(step, inputs)
    write_report(BuildReport().with_rows(rows), out)


def _export_found(order: Order, step: Step, inputs: Inputs, out: Path) -> None:
    """Make what `zoo export` makes of a repository that no row describes; and, with an encoder, its tokenizer."""
    from export.pipeline import export_checkpoint, export_tokenizer
    from export.planning import PlannedText, plan_export

    try:
        planned = plan_export(EncoderRequest(inputs.path, order.name, out))
        planned.plan.checked(order.name)
    except (BadCheckpoint, BadConfig, BadVocabulary, Unsupported, WeightMismatch) as error:
        raise type(error)(f"{error} {_with_options(order, inputs)}") from None
    export_checkpoint(planned)
    if isinstance(planned, PlannedText) or planned.vocabulary is None:
        return
    try:
        export_tokenizer(TokenizerRequest(transformer_folder(inputs.path), f"{order.name}_tokenizer", out))
    except (BadConfig, BadVocabulary, Unsupported) as error:
        _log.warning("%s has no tokenizer here: %s", order.name, error)


def _with_options(order: Order, inputs: Inputs) -> str:
    """Return the words about the command that takes options, for a checkpoint that does not do without them."""
    source, name = inputs.source, re.sub(r"\W", "_", order.name)
    handle = f"{'ms' if source.kind == 'modelscope' else 'hf'}://{source.repository}@{source.revision}"  # type: ignore[union-attr]
    return f"`zoo add {handle} --name {name} --out DIR` takes the options of `zoo export`; `zoo install DIR` then."


def _shelf(order: Order) -> Shelf:
    """Return the shelf of an order; before a download it says what is built from where, and how large that is."""
    entry = order.models[order.name]

    def announce(said: str, known: int | None) -> None:
        guessed = 4 * (entry.parameters or 0)
        much = f", {size(known)}" if known else f", about {size(guessed)}" if guessed else ""
        what = f"building {order.name}" if order.as_found else f"{order.name} is not published; building it"
        _log.warning("%s from %s%s", what, said, much)

    return Shelf(order.sources, announce=announce)


def _outside_of_scopes(task: Callable[[], None]) -> None:
    """Run a task where no graph is traced and no strategy distributes variables, as they may be for the caller."""
    import_tensorflow_quietly()
    import tensorflow as tf

    if tf.executing_eagerly() and not tf.distribute.has_strategy():
        return task()
    with ThreadPoolExecutor(1) as pool:  # graphs and strategies belong to a thread
        pool.submit(copy_context().run, task).result()
