"""TensorFlow's own checkpoints, PREFIX.index and PREFIX.data-*: name-based of TF1 and object-based of TF2.

TensorFlow ends the process where an index says what no writer says: a negative size, 300 dimensions, a type that is
none. So every entry is checked here first. Then TensorFlow reads the numbers, and compares a checksum of each variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

from export.readers.protocol import MOST_DIMENSIONS, Shape
from export.readers.tf_table import BadTable, read_number, read_table
from zoo.bounded import Refused, read_small
from zoo.errors import BadCheckpoint

_MOST_BYTES = 16 << 20  # the index of a large BERT with its optimiser's slots has 100 kilobytes
_MOST_ELEMENTS = 1 << 48  # also of a shape whose other sizes are zero
_SIZES = {  # bytes of a number
    getattr(types_pb2, f"DT_{name}"): size
    for size, names in {
        1: "BOOL INT8 UINT8",
        2: "BFLOAT16 HALF INT16 UINT16",
        4: "FLOAT INT32 UINT32",
        8: "DOUBLE INT64 UINT64",
    }.items()
    for name in names.split()
}
_TEXT = types_pb2.DT_STRING  # an object-based checkpoint describes its objects in one
_MOST_TEXT = 64 << 20  # bytes
_MOST_TEXTS = 100_000
# What is found here, and what TensorFlow raises where a file is damaged: its own errors, or Python's in their place.
_ERRORS = (BadTable, Refused, DecodeError, OSError, tf.errors.OpError, ValueError, RuntimeError, IndexError)


@dataclass(frozen=True)
class _Entry:
    dtype: int
    shape: Shape
    shard: int
    offset: int
    size: int
    slices: tuple[bytes, ...]  # keys of the entries that hold the numbers, where the variable is kept in parts
    parts: tuple[Shape, ...]  # and their shapes


class TensorBundle:
    """What tf.train.Saver and tf.train.Checkpoint write. A variable that is kept in parts is read as a whole."""

    def __init__(self, index: Path) -> None:
        prefix = index.name.removesuffix(".index")
        try:
            table = read_table(read_small(index, _MOST_BYTES))
            shards, entries = _header(table), _read_entries(table)
            data = [index.with_name(f"{prefix}.data-{i:05d}-of-{shards:05d}") for i in sorted(_shards_of(entries))]
            self.files = (index, *data)
            if missing := [file.name for file in data if not file.is_file()]:
                raise Refused(f"it has no data file beside it ({', '.join(missing[:5])})")
            _check_places(entries, {file: file.stat().st_size for file in data}, prefix, shards)
            self._entries = _variables(entries)
            self._data = dict(zip(sorted(_shards_of(entries)), data, strict=True))
            # tf.train.load_checkpoint would look into a directory of that name, at what its `checkpoint` file says.
            self._reader = tf.compat.v1.train.NewCheckpointReader(str(index.parent / prefix))
        except _ERRORS as error:
            raise BadCheckpoint(f"{index} cannot be read: {_first_line(error)}. Fetch it again.") from None
        self.shapes: Mapping[str, Shape] = {name: self._entries[name].shape for name in sorted(self._entries)}

    def read(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        try:
            if entry.dtype == _TEXT:
                _check_texts(self._data[entry.shard], entry)
            return np.asarray(self._reader.get_tensor(name))
        except _ERRORS as error:
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {_first_line(error)}") from None


# -- entries ----------------------------------------------------------------------------------------------------------


def _header(table: dict[bytes, bytes]) -> int:
    """Return the number of data files; the header leaves the table."""
    header = tensor_bundle_pb2.BundleHeaderProto.FromString(table.pop(b"", b""))
    if header.endianness != tensor_bundle_pb2.BundleHeaderProto.LITTLE:
        raise Refused("its numbers are big-endian; save it again on an ordinary machine")
    if not 1 <= header.num_shards < 100_000:
        raise Refused(f"it claims {header.num_shards:,} data files")
    return header.num_shards


def _read_entries(table: Mapping[bytes, bytes]) -> dict[bytes, _Entry]:
    if not table:
        raise Refused("it holds no variables")
    return {key: _entry(key, tensor_bundle_pb2.BundleEntryProto.FromString(value)) for key, value in table.items()}


def _entry(key: bytes, stored: Any) -> _Entry:
    shape = tuple(dim.size for dim in stored.shape.dim)
    if stored.dtype not in _SIZES and stored.dtype != _TEXT:
        raise Refused(f"{key!r} is of type {stored.dtype}, which holds no weights")
    if stored.shape.unknown_rank or len(shape) > MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise Refused(f"{key!r} has the impossible shape {shape[: MOST_DIMENSIONS + 1]}")
    if prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
        raise Refused(f"{key!r} has the impossible shape {shape}")
    if min(stored.shard_id, stored.offset, stored.size) < 0:
        raise Refused(f"{key!r} lies at the impossible place {stored.offset} of data file {stored.shard_id}")
    slices = [_slice(shape, each) for each in stored.slices]
    promised = 0 if slices else prod(shape) * _SIZES.get(stored.dtype, 1)
    if stored.dtype == _TEXT and (slices or prod(shape) > _MOST_TEXTS or stored.size > _MOST_TEXT):
        raise Refused(f"{key!r} holds more text than any checkpoint does")
    if stored.size < promised or (stored.size > promised and stored.dtype != _TEXT):
        raise Refused(f"{key!r} of shape {shape} has {stored.size:,} bytes, its shape and type make {promised:,}")
    keys, parts = [_slice_key(key, extents) for extents, _ in slices], [part for _, part in slices]
    return _Entry(stored.dtype, shape, stored.shard_id, stored.offset, stored.size, tuple(keys), tuple(parts))


def _shards_of(entries: Mapping[bytes, _Entry]) -> set[int]:
    return {entry.shard for entry in entries.values() if not entry.slices}


def _check_places(entries: Mapping[bytes, _Entry], sizes: Mapping[Path, int], prefix: str, shards: int) -> None:
    """A download cut short is found before anything is read."""
    by_name = {file.name: size for file, size in sizes.items()}
    for shard in _shards_of(entries):
        if shard >= shards:
            raise Refused(f"an entry lies in data file {shard} of {shards}")
        held = [entry for entry in entries.values() if entry.shard == shard and not entry.slices]
        file = f"{prefix}.data-{shard:05d}-of-{shards:05d}"
        promised = max(entry.offset + entry.size for entry in held)
        if promised > by_name[file]:
            raise Refused(f"{file} is cut short: its index promises {promised:,} bytes, there are {by_name[file]:,}")
        if sum(entry.size for entry in held) > by_name[file]:
            raise Refused(f"several of its entries lie in the same bytes of {file}")


def _check_texts(file: Path, entry: _Entry) -> None:
    """TensorFlow makes room for a text as long as it is said to be: the lengths, a checksum of them, then the texts."""
    with file.open("rb") as opened:
        opened.seek(entry.offset)
        data = opened.read(entry.size)
    at = total = 0
    for _ in range(prod(entry.shape)):
        length, at = read_number(data, at, len(data))
        total += length
    if at + 4 + total != len(data):
        raise Refused("its texts do not have the length that they are said to have")


# -- variables kept in parts, as TF1's partitioner makes them ----------------------------------------------------------

_Extents = list[tuple[int, int]]  # start and length in each dimension; a length of -1 is all of it


def _variables(entries: Mapping[bytes, _Entry]) -> dict[str, _Entry]:
    """Return the entries by their names as text, without those that hold a part of another."""
    parts = {key for entry in entries.values() for key in entry.slices}
    for key, entry in entries.items():
        held = [entries.get(part) for part in entry.slices]
        found = [each and (each.dtype, each.shape, each.slices) for each in held]
        if found != [(entry.dtype, shape, ()) for shape in entry.parts] or len({*entry.slices}) < len(entry.slices):
            raise Refused(f"the parts of {key!r} are not those that its entry lists")
        if entry.slices and sum(map(prod, entry.parts)) != prod(entry.shape):
            raise Refused(f"the parts of {key!r} do not make up its shape {entry.shape}")
    return {_text(key): entry for key, entry in entries.items() if key not in parts}


def _slice(shape: Shape, stored: Any) -> tuple[_Extents, Shape]:
    """Return the extents of a part as they are stored, and its shape."""
    extents = [(extent.start, extent.length if extent.HasField("length") else -1) for extent in stored.extent]
    if len(extents) != len(shape) or all(length == -1 for _, length in extents):
        raise Refused(f"a part of shape {shape} has {len(extents)} extents")
    for (start, length), size in zip(extents, shape, strict=True):
        if (start, length) != (0, -1) and not 0 <= start < start + length <= size:
            raise Refused(f"a part of shape {shape} begins at {start} and has the length {length}")
    return extents, tuple(size if length == -1 else length for (_, length), size in zip(extents, shape, strict=True))


def _slice_key(key: bytes, extents: _Extents) -> bytes:
    """Return the key of a part's own entry, as tensorflow/core/util/saved_tensor_slice_util.cc makes it."""
    numbers = b"".join(_ordered(number) for extent in extents for number in extent)
    return b"\0" + key + b"\0\1" + bytes([1, len(extents)]) + numbers


def _ordered(number: int) -> bytes:
    """Return a number in bytes that sort as numbers do: the first bits say how many bytes there are."""
    if number == -1:
        return b"\x7f"
    length = number.bit_length() // 7 + 1
    marks = (0xFF00 >> length & 0xFF) << 8 * (length - 1)
    return (number | marks).to_bytes(length, "big")


def _text(key: bytes) -> str:
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{key!r} is not UTF-8, so it is not the name of a variable") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].removesuffix(".")
