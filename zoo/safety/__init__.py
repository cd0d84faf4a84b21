"""Decides whether an unpacked archive may be loaded, from saved_model.pb and its files, before TensorFlow reads them.

Our exporter writes few and known things. Those are accepted; everything else is refused and named in the error:

    operations  the operations that are allowed, and which of them only saving and restoring may run
    written     tables of every field, attribute, object and file that the exporter writes
    form        compares fields, names and attributes with the tables
    objects     compares the objects that TensorFlow makes in Python with the tables
    sizes       runs first: bounds sizes that grow faster than the file, such as calls of calls
    loops       lets a loop take no more steps than a constant says
    constants   checks types, shapes and values of constants
    saver       operations that reach files: only for saving and restoring, and only under the name given there
    wordpiece   makes the model of the tokenizer again and compares the bytes
    sentencepiece   reads the model of the tokenizer again
    weights     checks every entry in the index of the weights
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
from zoo.safety.loops import odd_loops
from zoo.safety.objects import odd_objects
from zoo.safety.operations import ALLOWED_OPS, SAVER_OPS
from zoo.safety.saver import forbidden
from zoo.safety.sentencepiece import odd_sentencepiece
from zoo.safety.sizes import odd_calls, odd_sizes, too_many_fields
from zoo.safety.weights import odd_weights
from zoo.safety.wordpiece import odd_models
from zoo.safety.written import GRAPH_FILE

__all__ = ["ALLOWED_OPS", "GRAPH_FILE", "SAVER_OPS", "check_ops", "read_graph", "used_ops"]

_MOST_PROBLEMS = 20  # problems that a message lists
_MOST_CHARACTERS = 2_500  # characters of a problem: room for two names of the greatest length


def used_ops(directory: Path) -> list[str]:
    """Return the names of all operations in a SavedModel, sorted: in its main graph and in all functions.

    Imports TensorFlow for its message types. Raises BadArchive when saved_model.pb cannot be read.
    """
    return sorted(_ops(read_graph(directory)))


def check_ops(directory: Path, card: Card) -> list[str]:
    """Return the operations of an unpacked archive that may be loaded, because it only computes.

    Raises BadArchive for any other archive. The message lists every operation that is not allowed with its place,
    everything else that the exporter does not write, and every difference from the card's list.
    """
    model = read_graph(directory)
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
            *odd_loops(graph),
        ]
        problems += [*odd_models(graph, card), *odd_sentencepiece(graph, card)]
    problems += [*odd_fields(model), *odd_weights(directory)]
    if unlisted := sorted(found - set(card.ops)):
        problems.append(f"its card does not list {', '.join(unlisted)}")
    if absent := sorted(set(card.ops) - found):
        problems.append(f"its card lists {', '.join(absent)}, which the archive does not hold")
    if problems:
        _refuse(directory, card, problems)
    return sorted(found)


def _refuse(directory: Path, card: Card, problems: Sequence[str]) -> NoReturn:
    more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
    listed = "; ".join(problem[:_MOST_CHARACTERS] for problem in problems[:_MOST_PROBLEMS])
    raise BadArchive(
        f"{card.name} in {directory} is not loaded: {listed}{more}. Archives of this zoo only compute, with the "
        "operations that their card lists. Do not use this archive, or, if a later bert-zoo made it, update bert-zoo."
    )


def read_graph(directory: Path) -> Any:
    """Return the message in saved_model.pb. Raises BadArchive when it cannot be read, or would take much memory."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = directory / GRAPH_FILE
    try:
        content = read_small(path, written.MOST_GRAPH_BYTES)
        if too_many_fields(content, saved_model_pb2.SavedModel):
            raise BadArchive(f"{path} holds more fields than any model of this zoo. Do not use it.")
        return saved_model_pb2.SavedModel.FromString(content)
    except (OSError, DecodeError, BadInput) as error:
        raise BadArchive(f"{path} cannot be read: {error}. Fetch or build it again.") from error


def _ops(model: Any) -> set[str]:
    return {node.op for graph in model.meta_graphs for _, nodes in bodies(graph) for node in nodes}


def _odd_files(directory: Path) -> list[str]:
    """Return every file that the exporter does not write: some runtime may act on such a file."""
    problems = []
    for path in sorted(directory.rglob("*")):
        name, mode = path.relative_to(directory).as_posix(), path.lstat().st_mode
        allowed = written.FOLDERS if stat.S_ISDIR(mode) else written.FILES
        is_right = name in allowed and (stat.S_ISDIR(mode) or stat.S_ISREG(mode))
        if not is_right:
            kind = ", a link," if stat.S_ISLNK(mode) else ""
            problems.append(f"{name}{kind} is not part of a model of this zoo")
    return problems
