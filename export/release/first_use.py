"""The builder that `zoo` finds by its entry point: a model is exported when its name, or a hub's id, is first used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

from export.release.builder import Builder, Job
from export.release.plan import Step, estimate, make_step
from export.release.report import BuildReport, read_report, write_report
from export.release.sources import Inputs, Shelf
from zoo.basics.display import size
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.fetching.building import Order

_log = logging.getLogger("zoo")


def build(order: Order, out: Path) -> None:
    """Write the archives of an order and their registry.json into `out`; go on with what an earlier run left there.

    Raises DownloadFailed when no source delivers the checkpoint, and what an export raises.
    """
    step = make_step(order.name, order.models)
    inputs = _shelf(order).get(step.origin, order.models[step.origin])
    about = estimate(step, order.models)
    words = "exporting %s from %s, and comparing it with this checkpoint: about %.0f seconds."
    _log.warning(words, order.name, inputs.said, about.seconds)
    _outside_of_scopes(lambda: _export(order, step, inputs, out))


def _export(order: Order, step: Step, inputs: Inputs, out: Path) -> None:
    with Builder(Job(order.models, out, done=read_report(out).rows)) as builder:
        rows = builder.build(step, inputs)
    write_report(BuildReport().with_rows(rows), out)


def _shelf(order: Order) -> Shelf:
    """Return the shelf of an order; before a download it says what is built from where, and how large that is."""
    entry = order.models[order.name]

    def announce(said: str, known: int | None) -> None:
        guessed = 4 * (entry.parameters or 0)
        much = f", {size(known)}" if known else f", about {size(guessed)}" if guessed else ""
        _log.warning("%s is not published; building it from %s%s", order.name, said, much)

    return Shelf(order.sources, announce=announce)


def _outside_of_scopes(task: Callable[[], None]) -> None:
    """Run a task where no graph is traced and no strategy distributes variables, as they may be for the caller."""
    import_tensorflow_quietly()
    import tensorflow as tf

    if tf.executing_eagerly() and not tf.distribute.has_strategy():
        return task()
    with ThreadPoolExecutor(1) as pool:  # graphs and strategies belong to a thread
        pool.submit(copy_context().run, task).result()
