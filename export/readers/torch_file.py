"""Reads one file of torch.save without torch: today's zip, or the stream of pickles from before torch 1.6.

Both hold a pickle that describes tensors as views into numbered storages; state_dict.py finds the weights in it. A zip
holds every storage as a member; the stream holds the storages one after the other behind the pickles.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.limits import ZIP_ERRORS, opened_zip
from export.readers.protocol import Shape
from export.readers.state_dict import state_dict_of
from export.readers.torch_pickle import BadPickle, Described, Storage, StoredTensor, load_pickle
from zoo.errors import BadCheckpoint

_PICKLE_LIMIT = 1 << 24  # bytes; the pickle of a large BERT has 100 kB
_MOST_SHARED = 4  # how many tensors may use a byte, on average; the word table may be tied to two heads
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_ZIP_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, …, length of the name, length of the extra field


@dataclass(frozen=True)
class _Place:
    """The place of a storage's bytes in the file."""

    start: int
    size: int
    crc: int | None = None


class TorchFile:
    """The tensors of a state_dict by name. Reads one at a time; strides and shared storages are supported."""

    def __init__(self, file: Path) -> None:
        self.files = (file,)
        self._file = file
        try:
            read_index = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            described, self._places = read_index(file)
            found = state_dict_of(described, file)
            self._tensors, self.facts = found.tensors, found.facts
            _check_places(self._tensors, self._places)
        except (BadPickle, OSError, *ZIP_ERRORS) as error:
            raise BadCheckpoint(f"{file} cannot be read: {error}.") from None
        self.shapes: Mapping[str, Shape] = {name: self._tensors[name].shape for name in sorted(self._tensors)}

    def read(self, name: str) -> np.ndarray:
        tensor = self._tensors[name]
        place, dtype = self._places[tensor.storage.key], tensor.storage.dtype
        count = tensor.span * dtype.itemsize
        raw = np.fromfile(self._file, np.uint8, count, offset=place.start + tensor.offset * dtype.itemsize)
        if raw.size < count or (count == place.size and place.crc not in (None, zlib.crc32(raw.data))):
            raise BadCheckpoint(f"'{name}' of {self._file} is damaged: its checksum is wrong. Fetch it again.")
        strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
        return np.lib.stride_tricks.as_strided(raw.view(dtype), tensor.shape, strides, writeable=False)


def _check_places(tensors: Mapping[str, StoredTensor], places: Mapping[str, _Place]) -> None:
    for name, tensor in tensors.items():
        storage = tensor.storage
        place, size = places.get(storage.key), storage.elements * storage.dtype.itemsize
        if place is None or place.size != size:
            found = "is not in the file" if place is None else f"has {place.size:,} in the file"
            raise BadPickle(f"the storage of '{name}' claims {size:,} bytes but {found}. Fetch the file again")
    used = sum(tensor.span * tensor.storage.dtype.itemsize for tensor in tensors.values())
    if used > _MOST_SHARED * (stored := sum(place.size for place in places.values())):
        raise BadPickle(f"its tensors claim {used:,} bytes, but it stores {stored:,}: too many tensors share bytes")


# -- the zip of today -------------------------------------------------------------------------------------------------


def _read_zip(file: Path) -> tuple[Described, dict[str, _Place]]:
    with opened_zip(file) as archive, file.open("rb") as raw:
        records = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in records if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise BadPickle("it is a zip that torch.save did not write: there is no data.pkl in its folder")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}constants.pkl" in records:
            line = f"import torch; torch.save(torch.jit.load({file.name!r}).state_dict(), 'state.pt')"
            raise BadPickle(f"it is a program of TorchScript. Save its weights alone, in Python: `{line}`")
        described = load_pickle(io.BytesIO(_small(archive, records[pickles[0]])))
        if order := records.get(f"{root}byteorder"):
            _check_byteorder(_small(archive, order) == b"little")
        end = file.stat().st_size
        places = {
            name.removeprefix(f"{root}data/"): _zip_place(raw, info, end)
            for name, info in records.items()
            if name.startswith(f"{root}data/")
        }
    if sum(place.size for place in places.values()) > end:
        raise BadPickle("its records overlap")
    return described, places


def _small(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return the content of a small member of the zip. Raises BadPickle for a large one."""
    if (claimed := max(info.file_size, info.compress_size)) > _PICKLE_LIMIT:
        raise BadPickle(f"its {info.filename} claims {claimed:,} bytes; at most {_PICKLE_LIMIT:,} are read")
    return archive.read(info)


def _zip_place(raw: io.BufferedReader, info: zipfile.ZipInfo, end: int) -> _Place:
    """Return the place of a member's bytes. torch.save does not compress, so a tensor can be read out of the middle."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise BadPickle(f"its record {info.filename} is compressed or encrypted; torch.save does neither")
    raw.seek(info.header_offset)
    signature, name, extra = _ZIP_LOCAL_HEADER.unpack(raw.read(_ZIP_LOCAL_HEADER.size))
    start = info.header_offset + _ZIP_LOCAL_HEADER.size + name + extra
    if signature != b"PK\x03\x04" or start + info.file_size > end:
        raise BadPickle(f"its record {info.filename} claims {info.file_size:,} bytes, more than the file holds")
    return _Place(start, info.file_size, info.CRC)


# -- before 1.6: magic number, protocol, system, description, keys, then length and bytes of every storage ------------


def _read_legacy(file: Path) -> tuple[Described, dict[str, _Place]]:
    with file.open("rb") as raw:
        head = io.BytesIO(raw.read(_PICKLE_LIMIT))
        begin = (_LEGACY_MAGIC, _LEGACY_PROTOCOL)
        if head.getbuffer()[:1] != b"\x80" or any(load_pickle(head).value != value for value in begin):
            raise BadPickle(
                "it is not a file of torch.save (MindSpore and other programs use such endings too), or it is a zip "
                "that was cut short. Fetch it again, or give the checkpoint for PyTorch"
            )
        system = load_pickle(head).value
        _check_byteorder(isinstance(system, dict) and system.get("little_endian") is True)
        described = load_pickle(head)
        if described.stranger:
            return described, {}  # which is refused
        keys, storages = load_pickle(head).value, described.storages
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or {*keys} != storages.keys():
            raise BadPickle("its list of storages differs from the storages that its tensors use")
        places, start, end = {}, head.tell(), file.stat().st_size
        for key in keys:
            places[key] = place = _legacy_place(raw, storages[key], start, end)
            start = place.start + place.size
    return described, places


def _legacy_place(raw: io.BufferedReader, storage: Storage, start: int, end: int) -> _Place:
    raw.seek(start)
    length, size = raw.read(8), storage.elements * storage.dtype.itemsize
    if len(length) < 8 or start + 8 + size > end:
        raise BadPickle(f"it is cut short: storage {storage.key} needs {size:,} bytes. Fetch it again")
    if int.from_bytes(length, "little", signed=True) != storage.elements:
        raise BadPickle(f"storage {storage.key} does not have the length that its tensors state")
    return _Place(start + 8, size)


def _check_byteorder(is_little: bool) -> None:
    if not is_little:
        raise BadPickle("its numbers are big-endian; save it again on a little-endian machine, such as any PC")
