"""Mutations: functions that damage the bytes of a file, blindly or with knowledge of its format.

All randomness comes from the given generator, so that a case can be made again from its number.
"""

from __future__ import annotations

import io
import json
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from scripts.fuzz.table import write_table

Mutation = Callable[[Random, bytes], bytes]

_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63)
_VALUES: tuple[Any, ...] = (
    *_NUMBERS,
    10**400,
    -(10**30),
    1e308,
    float("inf"),
    float("nan"),
    0.5,
    None,
    True,
    "",
    "x" * 5000,
    "../../evil",
    "\ud800",
    "\x1b[31m\n\0",
    "gelu",
    [],
    {},
    [[]] * 2000,
    {str(i): i for i in range(2000)},
)


# -- any file ---------------------------------------------------------------------------------------------------------


def flip(random: Random, data: bytes) -> bytes:
    """Flip one bit, or up to eight."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes) -> bytes:
    """Overwrite a few bytes with a number at the edge of a type, such as 2**31, or with noise."""
    size, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    number = random.choice((*_NUMBERS, random.getrandbits(64))) % 256**size
    at = random.randrange(max(len(data) - size, 1))
    return data[:at] + number.to_bytes(size, "big" if order == "big" else "little") + data[at + size :]


def cut(random: Random, data: bytes) -> bytes:
    """End the file early, or take a piece out of it."""
    at = random.randrange(len(data) + 1)
    return data[:at] if random.random() < 0.5 else data[:at] + data[at + random.randrange(64) :]


def grow(random: Random, data: bytes) -> bytes:
    """Insert zeros, noise or a copy of the last bytes, somewhere or at the end."""
    at = random.choice((len(data), random.randrange(len(data) + 1)))
    extra = random.choice((bytes(random.randrange(5000)), random.randbytes(random.randrange(1, 64)), data[-100:]))
    return data[:at] + extra + data[at:]


def splice(random: Random, data: bytes) -> bytes:
    """Copy one piece of the file over another."""
    size = random.randrange(1, 200)
    start, at = random.randrange(len(data) or 1), random.randrange(len(data) or 1)
    return data[:at] + data[start : start + size] + data[at + size :]


BYTES: tuple[Mutation, ...] = (flip, overwrite, cut, grow, splice)


# -- texts ------------------------------------------------------------------------------------------------------------


def json_value(random: Random, data: bytes) -> bytes:
    """Replace, remove or repeat one value of a JSON text."""
    value = json.loads(data)
    places = list(_places(value))
    holder, key = random.choice(places)
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]] * random.choice((1, 2, 50))
        case 2:
            other, its = random.choice(places)
            holder[key] = json.loads(json.dumps(other[its]))
        case _:
            holder[key] = random.choice(_VALUES)
    return json.dumps(value).encode()


def _places(value: Any) -> Any:
    """Yield (container, key) of every value inside of a JSON value."""
    for key in [*value] if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def json_text(random: Random, data: bytes) -> bytes:
    """Write a text into a JSON file that no writer of JSON would write there, such as 1e999 or 50,000 brackets."""
    number = re.compile(rb"-?\d+(\.\d+)?")
    what = random.choice(
        (
            b"9" * 5000,
            b"1e999",
            b"-0",
            b"NaN",
            b"[" * 50_000,
            b"[" * 40 + b"]" * 40,
            b'{"a":' * 500,
            b'"\\ud800"',
            b"0x10",
        )
    )
    found = list(number.finditer(data))
    if not found or random.random() < 0.2:
        return what + data
    chosen = random.choice(found)
    return data[: chosen.start()] + what + data[chosen.end() :]


def lines(random: Random, data: bytes) -> bytes:
    """Replace or insert a line of a text, or change the line endings."""
    all_lines = data.split(b"\n")
    at = random.randrange(len(all_lines))
    new = random.choice(
        (b"", b"\xff\xfe", b"x" * 70_000, b"[PAD]", b"\xef\xbb\xbfa", b"a\0b", b"\r", b"## ", b"\n" * 3000)
    )
    all_lines[at : at + random.choice((0, 1))] = [new]
    return random.choice((b"\n", b"\n", b"\n", b"\r\n", b"\r")).join(all_lines)


# -- TensorFlow's index -----------------------------------------------------------------------------------------------


def index_entry(random: Random, data: bytes) -> bytes:
    """Change keys or entries of an index, and write it again with right checksums."""
    from zoo.archive.tensor_table import read_table

    table = list(read_table(data).items())
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(table))
        key, value = table[at]
        match random.randrange(6):
            case 0:
                new = (key, random.choice(BYTES)(random, value))
            case 1:
                new = (random.choice((b"\xff\xfe", b"\0" + key, key + b"\0", b"w" * 3000, b"", key.upper())), value)
            case 2:
                new = (key, random.choice(table)[1])
            case _:
                new = (key, _other_entry(random, value))
        table[at] = new
    if random.random() < 0.8:
        table = sorted(dict(table).items())
    return write_table(
        table, entries_a_block=random.choice((1000, 1000, 3)), damage=random if random.random() < 0.1 else None
    )


def _other_entry(random: Random, value: bytes) -> bytes:
    """Change a field of an entry: its dtype, shape, offset, size, shard or slices."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

    try:
        entry = BundleEntryProto.FromString(value)
    except DecodeError:
        return random.randbytes(random.randrange(40))
    number = random.choice((*(each for each in _NUMBERS if each < 2**63), 7, 14, 20, 21, 101, 120))
    dims = random.choice(
        ([number], [number, number], [1] * random.choice((9, 33, 300)), [0, 2**62, 2**62], [-1], [2**32, 2**32], [])
    )
    match random.randrange(5):
        case 0:
            entry.dtype = number % 2**31
        case 1:
            entry.ClearField("shape")
            for size in dims:
                entry.shape.dim.add().size = size
        case 2:
            field = random.choice(("offset", "size", "shard_id"))
            setattr(entry, field, number if field != "shard_id" else number % 2**31)
        case 3:
            for _ in range(random.choice((1, 2))):
                part = entry.slices.add()
                for size in random.choice((dims, [dim.size for dim in entry.shape.dim])):
                    part.extent.add(start=random.choice((0, 0, number)), length=random.choice((size, 1, number)))
        case _:
            entry.shape.unknown_rank = True
    return entry.SerializeToString()


# -- containers -------------------------------------------------------------------------------------------------------


def zip_record(inside: Sequence[Mutation]) -> Mutation:
    """Return a mutation of one member's name or bytes, in a zip whose checksums are right."""

    def mutate(random: Random, data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
        at = random.randrange(len(members))
        name, content, method = members[at]
        if random.random() < 0.3:
            name = random.choice(("", "/", "../x.bin", "a" * 300 + ".bin", name + "/", "x.json", "\x01.json", "é.txt"))
        else:
            content = random.choice(inside)(random, content)
        members[at] = (
            name,
            content,
            random.choice((method, method, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
        )
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as made:
            for name, content, method in members:
                info = zipfile.ZipInfo("x")
                info.filename = name  # set here, because the constructor would correct it
                made.writestr(info, content, method)
        return out.getvalue()

    return mutate


def zip_directory(random: Random, data: bytes) -> bytes:
    """Change a field in the directory at the end of a zip."""
    starts = [match.start() for match in re.finditer(rb"PK\x01\x02|PK\x05\x06|PK\x03\x04", data)]
    at = random.choice(starts) + random.randrange(4, 46)
    number = struct.pack("<I", random.choice(_NUMBERS) % 2**32)[: random.choice((1, 2, 4))]
    return data[:at] + number + data[at + len(number) :]


def tar_member(inside: Sequence[Mutation], gzipped: bool = True) -> Mutation:
    """Return a mutation of a tar: of a member's bytes, name or type, or of the bytes of the whole tar."""

    def mutate(random: Random, data: bytes) -> bytes:
        plain = zlib.decompress(data, 31) if gzipped else data
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            members = [(info, file.read() if (file := tar.extractfile(info)) else b"") for info in tar]
        if random.random() < 0.2:
            plain = random.choice(BYTES)(random, plain)
        else:
            at = random.randrange(len(members))
            info, content = members[at]
            match random.randrange(4):
                case 0:
                    info.name = random.choice(
                        ("", "/x", "../x", "a" * 90 + ".json", info.name + "/x", "é.txt", "a:b", members[0][0].name)
                    )
                case 1:
                    info.type = random.choice((b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"x", b"S", b"g", b"K"))
                    info.linkname = "../x"
                case _:
                    content = random.choice(inside)(random, content)
            members[at] = (info, content)
            plain = b"".join(_tar_header(info, content) for info, content in members) + bytes(1024)
        return _gzip(plain) if gzipped else plain

    return mutate


def _tar_header(info: tarfile.TarInfo, content: bytes) -> bytes:
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT, errors="replace") + content + bytes(-len(content) % 512)


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def safetensors_header(random: Random, data: bytes) -> bytes:
    """Change a value of a safetensors header, and write the right length before it."""
    size = int.from_bytes(data[:8], "little")
    header = random.choice((json_value, json_text))(random, data[8 : 8 + size])
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


_STEPS = (  # of a pickle: opcodes, and the beginnings of huge values
    *(bytes([step]) for step in b"(tRQ20N})]eusb.\x85\x86\x87"),
    b"h\x00",
    b"q\x00",
    b"(" * 20_000,
    b"]" * 20_000,
    b"}q\x00h\x00h\x00s",
    b"cos\nsystem\n",
    b"ccollections\nOrderedDict\n",
    b"\x8a\x09" + b"\xff" * 8 + b"\x7f",
    b"I" + b"9" * 5000 + b"\n",
    b"X\xff\xff\xff\x7f",
    b"J\xff\xff\xff\xff",
)


def pickle_steps(random: Random, data: bytes) -> bytes:
    """Insert steps of a pickle where they do not belong, or change one of its names."""
    what = random.choice(_STEPS)
    at = random.randrange(len(data) + 1)
    if random.random() < 0.3:
        return data.replace(
            random.choice((b"Float", b"_v2", b"torch", b"storage", b"K", b"J")),
            random.choice((b"", b"Half", b"Bool", b"x")),
            1,
        )
    return data[:at] + what + data[at + random.choice((0, 0, len(what) % 100)) :]
