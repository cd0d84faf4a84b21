"""Writes the table of a TensorFlow index from any keys and values, with right checksums."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_POLYNOMIAL = 0x82F63B78


def write_table(
    entries: Sequence[tuple[bytes, bytes]], entries_a_block: int = 1000, damage: Random | None = None
) -> bytes:
    """Return an index of these entries, in this order; with `damage`, a byte of each block is changed first."""
    out, index = bytearray(), []
    for start in range(0, len(entries), entries_a_block):
        part = entries[start : start + entries_a_block]
        block = _block(part)
        if damage is not None:
            at = damage.randrange(len(block))
            block = block[:at] + damage.randbytes(1) + block[at + 1 :]
        index.append((part[-1][0], varint(len(out)) + varint(len(block))))
        out += _with_trailer(block)
    handles = b""
    for block in (_block([]), _block(index)):
        handles += varint(len(out)) + varint(len(block))
        out += _with_trailer(block)
    return bytes(out) + handles.ljust(40, b"\0") + _MAGIC


def _block(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a block of entries. A key is stored without the part that it shares with the key before it."""
    out, offsets, last = bytearray(), [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % 16 == 0:
            offsets.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    offsets = offsets or [0]
    return bytes(out) + b"".join(each.to_bytes(4, "little") for each in (*offsets, len(offsets)))


def _with_trailer(block: bytes) -> bytes:
    """Return a block with its compression type, 0 for none, and its checksum."""
    return block + b"\0" + masked_crc32c(block + b"\0").to_bytes(4, "little")


def varint(value: int) -> bytes:
    """Return a number in seven bits a byte, as tables and protocol buffers write it; of a negative one, 64 bits."""
    value %= 1 << 64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes as TensorFlow and LevelDB store it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
