"""Writes checkpoints of true size in which every number is a hole of the file: names and shapes without any bytes.

A model of a gigabyte takes some kilobytes of disk this way, and every reader opens it as it opens the published one.
All numbers are zeros.
"""

from __future__ import annotations

import json
from functools import cache
from math import prod
from pathlib import Path

from scripts.fuzz.table import masked_crc32c, write_table
from scripts.layouts import Shapes

_FLOAT, _STRING, _INT64 = 1, 7, 9  # of tensorflow/core/framework/types.proto
_EMPTY_TEXT = 5  # bytes: its length, 0, and four for a checksum of the length, which we do not compare
_CRC_OF_EMPTY_TEXT = masked_crc32c(bytes(4) + masked_crc32c(bytes(4)).to_bytes(4, "little"))
_ALL_ONES = 0xFFFFFFFF
_POLYNOMIAL = 0x82F63B78


def write_safetensors(file: Path, shapes: Shapes) -> None:
    """Write a .safetensors file of float32 variables."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        opened.truncate(8 + len(text) + end)


def write_bundle(prefix: Path, shapes: Shapes) -> None:
    """Write a TensorFlow checkpoint: PREFIX.index, and PREFIX.data-00000-of-00001 as one hole.

    The object graph of TF2, a text, is empty: it describes no objects.
    """
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

    header = BundleHeaderProto(num_shards=1)
    header.version.producer = 1
    entries, end = [(b"", header.SerializeToString())], 0
    for name in sorted(shapes):
        kind = {"global_step": _INT64, "_CHECKPOINTABLE_OBJECT_GRAPH": _STRING}.get(name, _FLOAT)
        size = {_FLOAT: 4, _INT64: 8, _STRING: _EMPTY_TEXT}[kind] * prod(shapes[name])
        crc = _CRC_OF_EMPTY_TEXT if kind == _STRING else masked_crc32c_of_zeros(size)
        entry = BundleEntryProto(dtype=kind, offset=end, size=size, crc32c=crc)
        for length in shapes[name]:
            entry.shape.dim.add(size=length)
        entries.append((name.encode(), entry.SerializeToString()))
        end += size
    prefix.with_name(f"{prefix.name}.index").write_bytes(write_table(entries))
    with prefix.with_name(f"{prefix.name}.data-00000-of-00001").open("wb") as opened:
        opened.truncate(end)


def masked_crc32c_of_zeros(count: int) -> int:
    """Return the CRC-32C of so many zero bytes as TensorFlow stores it, in time that grows with the digits of `count`.

    A zero bit changes the register by a linear map of its 32 bits. The map of 2^k zero bits is that of 2^(k-1), twice.
    """
    crc, bits = _ALL_ONES, 8 * count
    for k in range(bits.bit_length()):
        if bits >> k & 1:
            crc = _mapped(_zero_bits(k), crc)
    crc ^= _ALL_ONES
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ALL_ONES


@cache
def _zero_bits(k: int) -> tuple[int, ...]:
    """Return what becomes of each of the 32 bits of the register after 2^k zero bits."""
    if k == 0:
        return (_POLYNOMIAL, *(1 << bit - 1 for bit in range(1, 32)))
    half = _zero_bits(k - 1)
    return tuple(_mapped(half, bit) for bit in half)


def _mapped(images: tuple[int, ...], register: int) -> int:
    result = 0
    for bit, image in enumerate(images):
        if register >> bit & 1:
            result ^= image
    return result
