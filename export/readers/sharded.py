"""Reads weights in several files with an index: model.safetensors.index.json, or the same with .bin or .h5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from export.readers.protocol import Container, Shape
from zoo.basics.untrusted import parse_json, read_small
from zoo.errors import BadCheckpoint

_MOST_BYTES = 4 << 20  # the index of a large BERT has 40 kilobytes
_MOST_VALUES = 100_000
_LONGEST_NAME = 60  # characters of a file's name; a character has up to four bytes, and file systems take 255 bytes


class Sharded:
    """All variables of all shards that an index names. `in_shard` turns a name in the index into that in the shard."""

    def __init__(
        self, index: Path, open_shard: Callable[[Path], Container], in_shard: Callable[[str], str] = str
    ) -> None:
        weight_map = _weight_map(index)
        names = sorted(set(weight_map.values()))
        if odd := [name[:80] for name in names if len(name) > _LONGEST_NAME]:
            raise BadCheckpoint(f"{index} names shards with more than {_LONGEST_NAME} characters: {', '.join(odd)}.")
        if outside := [name for name in names if Path(name).name != name or "\\" in name]:
            raise BadCheckpoint(f"{index} names shards outside of its directory: {', '.join(outside)}.")
        if missing := [name for name in names if not (index.parent / name).is_file()]:
            raise BadCheckpoint(
                f"{index} names {len(names)} shards, but {len(missing)} are missing: {', '.join(missing)}. Fetch them."
            )
        self._home: dict[str, Container] = {}
        shards = {name: open_shard(index.parent / name) for name in names}
        for shard in shards.values():
            if twice := sorted(self._home.keys() & shard.shapes.keys()):
                raise BadCheckpoint(f"{len(twice)} variables are in several shards of {index}: {', '.join(twice)}.")
            self._home |= dict.fromkeys(shard.shapes, shard)
        if absent := [name for name, file in weight_map.items() if in_shard(name) not in shards[file].shapes]:
            raise BadCheckpoint(
                f"{index} names {len(absent)} variables that its shards do not hold: {', '.join(absent)}."
            )
        self.facts = tuple(fact for shard in shards.values() for fact in shard.facts)
        self.files = (index, *(index.parent / name for name in names))
        self.shapes: Mapping[str, Shape] = {name: self._home[name].shapes[name] for name in sorted(self._home)}

    def read(self, name: str) -> np.ndarray:
        return self._home[name].read(name)


def _weight_map(index: Path) -> dict[str, str]:
    """Return variable -> file name: {"bert.pooler.dense.bias": "model-00001-of-00002.safetensors"}."""
    try:
        weight_map = parse_json(read_small(index, _MOST_BYTES), _MOST_VALUES)["weight_map"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{index} is not an index of shards: {error!r}.") from None
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise BadCheckpoint(f"{index} is not an index of shards: its 'weight_map' does not map names to file names.")
    return weight_map
