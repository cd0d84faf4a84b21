"""Whether an unpacked archive may be loaded: proved from saved_model.pb and its files before TensorFlow sees them.

What our exporter writes is small and known; that is accepted, and everything else refused by its name:

    operations  which operations there are, and which of them only saving and restoring may run
    written     every field, attribute, object and file that the exporter writes, as tables
    form        fields, names and attributes compared with the tables
    objects     the same for the objects that TensorFlow makes in Python
    saver       operations that reach files: only for saving and restoring, and only to the name that is given there
    wordpiece   the model of the tokenizer: made again and compared
    weights     the index of the weights: every entry
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from zoo.card import EncoderCard, TokenizerCard
from zoo.errors import BadArchive
from zoo.safety import written
from zoo.safety.form import bodies, odd_fields, odd_form, odd_nodes
from zoo.safety.objects import odd_objects
from zoo.safety.operations import ALLOWED_OPS, SAVER_OPS
from zoo.safety.saver import forbidden
from zoo.safety.weights import odd_weights
from zoo.safety.wordpiece import odd_models
from zoo.safety.written import GRAPH_FILE

__all__ = ["ALLOWED_OPS", "GRAPH_FILE", "SAVER_OPS", "check_ops", "used_ops"]

_MOST_PROBLEMS = 20  # that a message lists


def used_ops(directory: Path) -> list[str]:
    """Return the names of all operations in a SavedModel, sorted: its main graph, and every function called or not.

    Imports TensorFlow for its message types. Raises BadArchive when saved_model.pb cannot be read.
    """
    return sorted(_ops(_read(directory)))


def check_ops(directory: Path, card: EncoderCard | TokenizerCard) -> list[str]:
    """Return the operations of an unpacked archive, which may be loaded then: it computes, and does nothing else.

    Raises BadArchive, which lists every operation that is not allowed and where it stands, everything else that the
    exporter does not write, and every difference from the card's list.
    """
    model = _read(directory)
    found = _ops(model)
    problems = [*_odd_files(directory), *odd_form(model)]
    for graph in model.meta_graphs:
        problems += [*forbidden(graph), *odd_nodes(graph), *odd_objects(graph)]
        problems += odd_models(graph, card.vocabulary_sha256 or "none")
    problems += [*odd_fields(model), *odd_weights(directory)]
    if unlisted := sorted(found - set(card.ops)):
        problems.append(f"its card does not list {', '.join(unlisted)}")
    if absent := sorted(set(card.ops) - found):
        problems.append(f"its card lists {', '.join(absent)}, which it does not hold")
    if problems:
        more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
        raise BadArchive(
            f"{card.name} in {directory} is not loaded: {'; '.join(problems[:_MOST_PROBLEMS])}{more}. An archive of "
            "this zoo only computes, and its card says with what: leave this one alone or, where a later bert-zoo made "
            "it, load it with that."
        )
    return sorted(found)


def _read(directory: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = directory / GRAPH_FILE
    try:
        if (size := path.stat().st_size) > written.MOST_GRAPH_BYTES:
            raise BadArchive(f"{path} has {size:,} bytes; at most {written.MOST_GRAPH_BYTES:,} are read.")
        return saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
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
