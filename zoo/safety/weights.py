"""Checks the index of the weights before TensorFlow reads it, since an impossible index makes TensorFlow abort."""

from __future__ import annotations

from pathlib import Path

from zoo.archive.tensor_index import TEXT, BadIndex, TensorIndex, read_index
from zoo.safety.form import odd_fields
from zoo.safety.written import INDEX_FILE, WEIGHTS_FILE

_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the one entry of text: which variable of which object each entry is


def odd_weights(directory: Path) -> list[str]:
    """Return every problem of the variables in an unpacked archive; a graph without variables has none."""
    index = directory / INDEX_FILE
    if not index.exists():
        return []
    try:
        found = read_index(index)
        others = sorted(name for name, entry in found.entries.items() if entry.dtype == TEXT and name != _OBJECTS)
        files = sorted(path.name for path in found.data.values())
        if files != [Path(WEIGHTS_FILE).name]:
            return [f"its weights lie in {', '.join(files)}, not in {Path(WEIGHTS_FILE).name} alone"]
        problems = [f"its variable {name!r} is text" for name in others]
        return problems + [f"{INDEX_FILE}: {problem}" for problem in _odd_objects(found)]
    except BadIndex as error:
        return [f"{INDEX_FILE} cannot be read: {error}"]


def _odd_objects(index: TensorIndex) -> list[str]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    if _OBJECTS not in index.entries:
        return [f"it lacks {_OBJECTS}"]
    try:
        (text,) = index.texts(_OBJECTS)
        objects = trackable_object_graph_pb2.TrackableObjectGraph.FromString(text)
    except (ValueError, DecodeError):
        return [f"its {_OBJECTS} cannot be read"]
    return odd_fields(objects)
