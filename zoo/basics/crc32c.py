"""The checksum CRC-32C, as TensorFlow's checkpoints store it, computed with numpy.

A checksum goes byte by byte, which is slow in Python. Here the bytes are cut into rows of equal length, and the
checksums of all rows are computed together, column by column. Two rows are joined like this: zero bytes behind the left
row change its checksum by a matrix of bits, and the checksum of both rows is `after_zeros(left) ^ right`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

_POLYNOMIAL = 0x82F63B78
_START = _END = 0xFFFFFFFF  # combined with the first four bytes, and with the result
_MASK = 0xA282EAD8
_SHORT = 512  # bytes, up to which a plain loop is the fastest


def masked_crc32c(data: Any) -> int:
    """Return the CRC-32C of some bytes in the form that TensorFlow stores: turned by 15 bits, plus a constant.

    masked_crc32c(b"123456789")  # 0xc78ab0e5, of the checksum 0xe3069283
    """
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def crc32c(data: Any) -> int:
    """Return the CRC-32C of bytes, or of a numpy array of bytes."""
    import numpy as np

    values = np.frombuffer(data, np.uint8)
    if values.size <= _SHORT:
        return _by_byte(values.tobytes())
    length = 64 if values.size < 1 << 16 else 1024
    rows = np.zeros(-(-values.size // length) * length, np.uint8)  # zeros in front change nothing
    first = rows.size - values.size
    rows[first:] = values
    rows[first : first + 4] ^= _START & 0xFF
    words = rows.view("<u4").reshape(-1, length // 4)
    crcs = np.zeros(len(words), np.uint32)
    tables = _tables()
    for column in range(words.shape[1]):
        crcs = _looked_up(tables, crcs ^ words[:, column])
    return int(_joined(crcs, length)) ^ _END


def _by_byte(data: bytes) -> int:
    table, crc = _tables()[3].tolist(), _START
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ _END


@cache
def _tables() -> Any:
    """Return four tables [4, 256]: what each byte of a word, the lowest first, does to a checksum."""
    import numpy as np

    crcs = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crcs = (crcs >> 1) ^ np.where(crcs & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    tables = [crcs]
    for _ in range(3):
        tables.insert(0, (tables[0] >> 8) ^ crcs[tables[0] & 255])
    return np.stack(tables)


def _looked_up(tables: Any, words: Any) -> Any:
    """Return, for every word, the four entries of its four bytes, added without carry."""
    low, high = tables[0][words & 255] ^ tables[1][words >> 8 & 255], tables[2][words >> 16 & 255]
    return low ^ high ^ tables[3][words >> 24]


def _joined(crcs: Any, length: int) -> Any:
    """Return the checksum of all rows behind each other, from the checksums of rows of `length` bytes."""
    import numpy as np

    bits = _bits_after_zeros(length)
    while len(crcs) > 1:
        if len(crcs) % 2:
            crcs = np.concatenate([np.zeros(1, np.uint32), crcs])
        crcs = _looked_up(_tables_of(bits), crcs[0::2]) ^ crcs[1::2]
        bits = _looked_up(_tables_of(bits), bits)  # as many zeros again
    return crcs[0]


@cache
def _bits_after_zeros(length: int) -> Any:
    """Return the checksums [32] that each single bit becomes when `length` zero bytes follow."""
    import numpy as np

    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(length // 4):
        bits = _looked_up(_tables(), bits)
    return bits


def _tables_of(bits: Any) -> Any:
    """Return four tables [4, 256] for `_looked_up`, from the checksums that each of 32 bits becomes."""
    import numpy as np

    tables = np.zeros((4, 1), np.uint32)
    for bit in range(8):
        tables = np.concatenate([tables, tables ^ bits.reshape(4, 8)[:, bit, None]], axis=1)
    return tables
