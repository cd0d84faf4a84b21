"""Writes checkpoints of true size in which every number is a hole of the file: names and shapes without any bytes.

A large model takes some kilobytes of disk this way, and every reader opens it as it opens the published one. Numbers
must not be read: they are zeros, and TensorFlow compares checksums that are not there.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

from scripts.fuzz.table import write_table
from scripts.layouts import Shapes

_FLOAT, _STRING, _INT64 = 1, 7, 9  # of tensorflow/core/framework/types.proto


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
    """Write a TensorFlow checkpoint: PREFIX.index, and PREFIX.data-00000-of-00001 as one hole."""
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

    header = BundleHeaderProto(num_shards=1)
    header.version.producer = 1
    entries, end = [(b"", header.SerializeToString())], 0
    for name in sorted(shapes):
        kind = {"global_step": _INT64, "_CHECKPOINTABLE_OBJECT_GRAPH": _STRING}.get(name, _FLOAT)
        entry = BundleEntryProto(dtype=kind, offset=end, size=(4 if kind == _FLOAT else 8) * prod(shapes[name]))
        for size in shapes[name]:
            entry.shape.dim.add(size=size)
        entries.append((name.encode(), entry.SerializeToString()))
        end += entry.size
    prefix.with_name(f"{prefix.name}.index").write_bytes(write_table(entries))
    with prefix.with_name(f"{prefix.name}.data-00000-of-00001").open("wb") as opened:
        opened.truncate(end)
