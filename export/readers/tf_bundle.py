"""Reads TensorFlow's own checkpoints, PREFIX.index and PREFIX.data-*: name-based (TF1) and object-based (TF2).

zoo.archive.tensor_index checks every entry first. The numbers are read with numpy and compared with their checksum, so
that `zoo inspect` need not import TensorFlow. TensorFlow only reads variables stored in parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from export.readers.numbers import refuse_quantised
from export.readers.protocol import Shape
from zoo.archive.tensor_index import TEXT, BadIndex, IndexEntry, read_index
from zoo.basics.crc32c import masked_crc32c
from zoo.errors import BadCheckpoint

# Number of a type in tensorflow/core/framework/types.proto -> the type of numpy.
_TYPES: Mapping[int, np.dtype[Any]] = {
    number: np.dtype(kind)
    for number, kind in {
        **{1: "<f4", 2: "<f8", 19: "<f2", 14: ml_dtypes.bfloat16},
        **{6: "i1", 5: "<i2", 3: "<i4", 9: "<i8", 4: "u1", 17: "<u2", 22: "<u4", 23: "<u8", 10: "?"},
    }.items()
}
_SMALL = {np.dtype(np.uint8), np.dtype(np.int8)}


class TensorBundle:
    """The files that tf.train.Saver and tf.train.Checkpoint write. A variable stored in parts is read as a whole."""

    facts: tuple[str, ...] = ()

    def __init__(self, index: Path) -> None:
        try:
            self._index = read_index(index)
        except BadIndex as error:
            raise BadCheckpoint(f"{index} cannot be read: {error}. Fetch it again.") from None
        self.files = (index, *self._index.data.values())
        entries = self._index.entries
        self.shapes: Mapping[str, Shape] = {name: entries[name].shape for name in sorted(entries)}
        refuse_quantised(index, self.shapes, {n for n, entry in entries.items() if _TYPES.get(entry.dtype) in _SMALL})

    def read(self, name: str) -> np.ndarray:
        entry = self._index.entries[name]
        if entry.slices:
            return self._parts(name)
        try:
            values, checked = self._texts(name, entry) if entry.dtype == TEXT else self._numbers(entry)
        except (BadIndex, OSError) as error:
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {error}.") from None
        if masked_crc32c(checked) != entry.crc32c:
            file = self._index.data[entry.shard]
            raise BadCheckpoint(f"'{name}' of {file} is damaged: its checksum is wrong. Fetch it again.")
        return values

    def _numbers(self, entry: IndexEntry) -> tuple[np.ndarray, Any]:
        """Return the numbers of a variable, and the bytes that its checksum is of."""
        dtype = _TYPES[entry.dtype]
        values = np.fromfile(self._index.data[entry.shard], dtype, entry.size // dtype.itemsize, offset=entry.offset)
        if values.nbytes != entry.size:
            raise BadIndex(f"the file ends before its {entry.size:,} bytes")
        return values.reshape(entry.shape), values.view(np.uint8)

    def _texts(self, name: str, entry: IndexEntry) -> tuple[np.ndarray, Any]:
        """Return the texts of a variable, as objects since numpy's bytes lose zeros at the end.

        Their checksum is of the lengths, four bytes each, of the checksum of these, and of the texts.
        """
        texts = self._index.texts(name)
        values = np.empty(len(texts), object)
        values[:] = texts
        lengths = np.array([len(text) for text in texts], "<u4").tobytes()
        checked = b"".join([lengths, masked_crc32c(lengths).to_bytes(4, "little"), *texts])
        return values.reshape(entry.shape), checked

    def _parts(self, name: str) -> np.ndarray:
        import tensorflow as tf

        # TensorFlow raises these errors for damaged files.
        try:
            return np.asarray(self._tensorflow_reader.get_tensor(name))
        except (OSError, tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
            line = str(error).strip().split("\n")[0].removesuffix(".")
            raise BadCheckpoint(f"'{name}' of {self.files[0]} cannot be read: {line}.") from None

    @cached_property
    def _tensorflow_reader(self) -> Any:
        import tensorflow as tf

        # tf.train.load_checkpoint would obey the `checkpoint` file of a directory with that name.
        return tf.compat.v1.train.NewCheckpointReader(str(self.files[0]).removesuffix(".index"))
