"""Whether an unpacked archive may be loaded: proved from saved_model.pb and its files before TensorFlow sees them.

What our exporter writes is small and known; that is accepted, and everything else refused by its name:

    operations  which operations there are, and which of them only saving and restoring may run
    written     every field, attribute, object and file that the exporter writes, as tables
    form        fields, names and attributes compared with the tables
    objects     the same for the objects that TensorFlow makes in Python
    sizes       what grows faster than the bytes of the file: looked at first, and bounded
    constants   types, shapes and values of constants
    saver       operations that reach files: only for saving and restoring, and only to the name that is given there
    wordpiece   the model of the tokenizer: made again and compared
    weights     the index of the weights: every entry
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from zoo.archive.card import Card
from zoo.basics.untrusted import BadInput, read_small
from zoo.errors import BadArchive
from zoo.safety import written
from zoo.safety.constants import odd_constants
from zoo.safety.form import bodies, odd_fields, odd_form, odd_nodes
from zoo.safety.objects import odd_objects
from zoo.safety.operations import ALLOWED_OPS, SAVER_OPS
from zoo.safety.saver import forbidden
from zoo.safety.sizes import odd_calls, odd_sizes, too_many_fields
from zoo.safety.weights import odd_weights
from zoo.safety.wordpiece import odd_models
from zoo.safety.written import GRAPH_FILE

__all__ = ["ALLOWED_OPS", "GRAPH_FILE", "SAVER_OPS", "check_ops", "used_ops"]

_MOST_PROBLEMS = 20  # that a message lists
_MOST_CHARACTERS = 2_500  # of each: room for two names, each as long as any may be


def used_ops(directory: Path) -> list[str]:
    """Return the names of all operations in a SavedModel, sorted: its main graph, and every function called or not.

    Imports TensorFlow for its message types. Raises BadArchive when saved_model.pb cannot be read.
    """
    return sorted(_ops(_read(directory)))


def check_ops(directory: Path, card: Card) -> list[str]:
    """Return the operations of an unpacked archive, which may be loaded then: it computes, and does nothing else.

    Raises BadArchive, which lists every operation that is not allowed and where it stands, everything else that the
    exporter does not write, and every difference from the card's list.
    """
    model = _read(directory)
    found = _ops(model)
    problems = [problem for graph in model.meta_graphs for problem in odd_sizes(graph)]
    if problems:
        _refuse(directory, card, problems)
    problems = [*_odd_files(directory), *odd_form(model)]
    for graph in model.meta_graphs:
        problems += [
            *forbidden(graph),
            *odd_nodes(graph),
            *odd_constants(graph),
            *odd_objects(graph),
            *odd_calls(graph),
        ]
        problems += odd_models(graph, card.vocabulary_sha256 or "none")
    problems += [*odd_fields(model), *odd_weights(directory)]
    if unlisted := sorted(found - set(card.ops)):
        problems.append(f"its card does not list {', '.join(unlisted)}")
    if absent := sorted(set(card.ops) - found):
        problems.append(f"its card lists {', '.join(absent)}, which it does not hold")
    if problems:
        _refuse(directory, card, problems)
    return sorted(found)


def _refuse(directory: Path, card: Card, problems: Sequence[str]) -> NoReturn:
    more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
    listed = "; ".join(problem[:_MOST_CHARACTERS] for problem in problems[:_MOST_PROBLEMS])
    raise BadArchive(
        f"{card.name} in {directory} is not loaded: {listed}{more}. An archive of this zoo only computes, and its card "
        "says with what: leave this one alone or, where a later bert-zoo made it, load it with that."
    )


def _read(directory: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = directory / GRAPH_FILE
    try:
        content = read_small(path, written.MOST_GRAPH_BYTES)
        if too_many_fields(content, saved_model_pb2.SavedModel):
            raise BadArchive(f"{path} holds more fields than any model of this zoo. Leave it alone.")
        return saved_model_pb2.SavedModel.FromString(content)
    except (OSError, DecodeError, BadInput) as error:
        raise BadArchive(f"{path} cannot be read: {error}. Fetch or build it again.") from error


def _ops(model: Any) -> set[str]:
    return {node.op for graph in model.meta_graphs for _, nodes in bodies(graph) for node in nodes}


def _odd_files(directory: Path) -> list[str]:
    """Return every file that does not belong to an archive: some runtime may act on it."""
    problems = []
    for path in sorted(directory.rglob("*")):
        name, mode = path.relative_to(directory).as_posix(), path.lstat().st_mode
        allowed = written.FOLDERS if stat.S_ISDIR(mode) else written.FILES
        is_right = name in allowed and (stat.S_ISDIR(mode) or stat.S_ISREG(mode))
        if not is_right:
            kind = ", a link," if stat.S_ISLNK(mode) else ""
            problems.append(f"{name}{kind} is no part of a model of this zoo")
    return problems
