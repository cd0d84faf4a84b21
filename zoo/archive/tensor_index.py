"""Reads the .index file of a TensorFlow checkpoint, and checks every entry before TensorFlow reads the file.

TensorFlow ends the process for an impossible index: a negative size, 300 dimensions, an unknown type. Nothing here
imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from zoo.archive.bundle_messages import message
from zoo.archive.tensor_table import BadTable, read_number, read_table
from zoo.basics.untrusted import BadInput, read_small

Shape: TypeAlias = tuple[int, ...]

MOST_DIMENSIONS = 8
_MOST_BYTES = 16 << 20  # the index of a large BERT with its optimiser's slots has 100 kilobytes
_MOST_TEXT = 64 << 20  # bytes
_MOST_TEXTS = 100_000
_MOST_ELEMENTS = 1 << 48  # of a shape, with sizes of zero counted as one
# Number of a type in tensorflow/core/framework/types.proto -> bytes of an element.
_SIZES = MappingProxyType(
    {
        **dict.fromkeys((4, 6, 10), 1),  # uint8, int8, bool
        **dict.fromkeys((5, 14, 17, 19), 2),  # int16, bfloat16, uint16, half
        **dict.fromkeys((1, 3, 22), 4),  # float, int32, uint32
        **dict.fromkeys((2, 9, 23), 8),  # double, int64, uint64
    }
)
_LITTLE = 0  # of BundleHeaderProto.Endianness
TEXT = 7  # DT_STRING; an element takes at least one byte


class BadIndex(Exception):
    """The message states the problem; the caller adds the path."""


@dataclass(frozen=True)
class IndexEntry:
    """Type, shape and place of one variable."""

    dtype: int
    shape: Shape
    shard: int
    offset: int
    size: int
    crc32c: int  # of its bytes, as zoo.basics.crc32c masks it
    slices: tuple[bytes, ...]  # for a variable stored in parts: the keys of the parts' entries
    parts: tuple[Shape, ...]  # and the shapes of the parts


@dataclass(frozen=True)
class TensorIndex:
    """The variables of a checkpoint by name, and the data files that hold them."""

    entries: Mapping[str, IndexEntry]
    data: Mapping[int, Path]

    def texts(self, name: str) -> list[bytes]:
        """Return the elements of a variable of the type TEXT, in order. Raises BadIndex."""
        entry = self.entries[name]
        try:
            return _texts(self.data[entry.shard], entry)
        except (BadTable, BadInput, OSError) as error:
            raise BadIndex(str(error).removesuffix(".")) from None


def read_index(index: Path) -> TensorIndex:
    """Return the entries of an .index file, compared with the data files beside it.

        read_index(Path("bert_model.ckpt.index")).entries["bert/pooler/dense/kernel"].shape  # (768, 768)

    Raises BadIndex. TensorFlow can read an index that passes without ending the process.
    """
    from google.protobuf.message import DecodeError

    prefix = index.name.removesuffix(".index")
    try:
        table = read_table(read_small(index, _MOST_BYTES))
        shards, entries = _header(table), _read_entries(table)
        data = {i: index.with_name(f"{prefix}.data-{i:05d}-of-{shards:05d}") for i in sorted(_shards_of(entries))}
        if missing := [file.name for file in data.values() if not file.is_file()]:
            raise BadInput(f"it has no data file beside it ({', '.join(missing[:5])})")
        _check_places(entries, data, shards)
        return TensorIndex(_variables(entries), data)
    except (BadTable, BadInput, DecodeError, OSError) as error:
        raise BadIndex(str(error).removesuffix(".")) from None


# -- entries ----------------------------------------------------------------------------------------------------------


def _header(table: dict[bytes, bytes]) -> int:
    """Remove the header from the table and return the number of data files that it states."""
    header = message("BundleHeaderProto").FromString(table.pop(b"", b""))
    if header.endianness != _LITTLE:
        raise BadInput("its numbers are big-endian; save it again on a little-endian machine, such as any PC")
    if not 1 <= header.num_shards < 100_000:
        raise BadInput(f"it claims {header.num_shards:,} data files")
    return header.num_shards


def _read_entries(table: Mapping[bytes, bytes]) -> dict[bytes, IndexEntry]:
    if not table:
        raise BadInput("it holds no variables")
    entry = message("BundleEntryProto")
    return {key: _entry(key, entry.FromString(value)) for key, value in table.items()}


def _entry(key: bytes, stored: Any) -> IndexEntry:
    shape = tuple(dim.size for dim in stored.shape.dim)
    if stored.dtype not in _SIZES and stored.dtype != TEXT:
        raise BadInput(f"{key!r} is of type {stored.dtype}, which is not a type of weights")
    if stored.shape.unknown_rank or len(shape) > MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise BadInput(f"{key!r} has the impossible shape {shape[: MOST_DIMENSIONS + 1]}")
    if prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
        raise BadInput(f"{key!r} has the impossible shape {shape}")
    if min(stored.shard_id, stored.offset, stored.size) < 0:
        raise BadInput(f"{key!r} lies at the impossible place {stored.offset} of data file {stored.shard_id}")
    slices = [_slice(shape, each) for each in stored.slices]
    promised = 0 if slices else prod(shape) * _SIZES.get(stored.dtype, 1)
    if stored.dtype == TEXT and (slices or prod(shape) > _MOST_TEXTS or stored.size > _MOST_TEXT):
        raise BadInput(f"{key!r} holds more text than a checkpoint needs")
    if stored.size < promised or (stored.size > promised and stored.dtype != TEXT):
        raise BadInput(f"{key!r} has {stored.size:,} bytes, but its shape {shape} and type need {promised:,}")
    keys, parts = [_slice_key(key, extents) for extents, _ in slices], [part for _, part in slices]
    place = (stored.shard_id, stored.offset, stored.size, stored.crc32c)
    return IndexEntry(stored.dtype, shape, *place, tuple(keys), tuple(parts))


def _shards_of(entries: Mapping[bytes, IndexEntry]) -> set[int]:
    return {entry.shard for entry in entries.values() if not entry.slices}


def _check_places(entries: Mapping[bytes, IndexEntry], data: Mapping[int, Path], shards: int) -> None:
    """Raise BadInput if the data files are too short for the entries, so that a download cut short is found at once."""
    for shard, file in data.items():
        if shard >= shards:
            raise BadInput(f"an entry lies in data file {shard} of {shards}")
        held = [entry for entry in entries.values() if entry.shard == shard and not entry.slices]
        promised, size = max(entry.offset + entry.size for entry in held), file.stat().st_size
        if promised > size:
            raise BadInput(f"{file.name} is cut short: its index promises {promised:,} bytes, but it has {size:,}")
        if sum(entry.size for entry in held) > size:
            raise BadInput(f"several of its entries share bytes of {file.name}")


def _texts(file: Path, entry: IndexEntry) -> list[bytes]:
    """Return the texts of an entry. The file holds all lengths, their checksum (4 bytes), then the texts.

    TensorFlow allocates as much memory as a length states, so the lengths are checked here.
    """
    with file.open("rb") as opened:
        opened.seek(entry.offset)
        data = opened.read(entry.size)
    lengths, at = [], 0
    for _ in range(prod(entry.shape)):
        length, at = read_number(data, at, len(data))
        lengths.append(length)
    ends = [*accumulate(lengths, initial=at + 4)]
    if ends[-1] != len(data):
        raise BadInput("the lengths of its texts do not add up to the bytes of the entry")
    return [data[start:end] for start, end in pairwise(ends)]


# -- variables stored in parts, as TF1's partitioner makes them --------------------------------------------------------

_Extents = list[tuple[int, int]]  # start and length in every dimension; the length -1 means the whole dimension


def _variables(entries: Mapping[bytes, IndexEntry]) -> dict[str, IndexEntry]:
    """Return name -> entry of every variable. Entries for a part of a variable are checked and left out."""
    parts = {key for entry in entries.values() for key in entry.slices}
    for key, entry in entries.items():
        held = [entries.get(part) for part in entry.slices]
        found = [each and (each.dtype, each.shape, each.slices) for each in held]
        if found != [(entry.dtype, shape, ()) for shape in entry.parts] or len({*entry.slices}) < len(entry.slices):
            raise BadInput(f"the parts of {key!r} differ from those that its entry lists")
        if entry.slices and sum(map(prod, entry.parts)) != prod(entry.shape):
            raise BadInput(f"the parts of {key!r} do not make up its shape {entry.shape}")
    return {_text(key): entry for key, entry in entries.items() if key not in parts}


def _slice(shape: Shape, stored: Any) -> tuple[_Extents, Shape]:
    """Return the stored extents of a part, and its shape."""
    extents = [(extent.start, extent.length if extent.HasField("length") else -1) for extent in stored.extent]
    if len(extents) != len(shape) or all(length == -1 for _, length in extents):
        raise BadInput(f"a part of a variable of shape {shape} has {len(extents)} extents")
    for (start, length), size in zip(extents, shape, strict=True):
        if (start, length) != (0, -1) and not 0 <= start < start + length <= size:
            raise BadInput(f"a part of a variable of shape {shape} begins at {start} and has the length {length}")
    return extents, tuple(size if length == -1 else length for (_, length), size in zip(extents, shape, strict=True))


def _slice_key(key: bytes, extents: _Extents) -> bytes:
    """Return the key of a part's own entry, as tensorflow/core/util/saved_tensor_slice_util.cc makes it."""
    numbers = b"".join(_ordered(number) for extent in extents for number in extent)
    return b"\0" + key + b"\0\1" + bytes([1, len(extents)]) + numbers


def _ordered(number: int) -> bytes:
    """Return a number as bytes whose order is that of the numbers. The first bits state how many bytes there are."""
    if number == -1:
        return b"\x7f"
    length = number.bit_length() // 7 + 1
    marks = (0xFF00 >> length & 0xFF) << 8 * (length - 1)
    return (number | marks).to_bytes(length, "big")


def _text(key: bytes) -> str:
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{key!r} is not UTF-8, so it is not the name of a variable") from None
