"""Reads the table of keys and values in a TensorFlow checkpoint's .index file, without TensorFlow.

The format is LevelDB's table: blocks of entries, and a last block with the places of the other blocks. An entry stores
only the part of its key that differs from the key before. TensorFlow finds a key by binary search with the offsets at
the end of a block; this module reads everything in order. It checks order and offsets, so that both find the same value
for every key.

Source: tensorflow/core/lib/io/table_format.txt.
"""

from __future__ import annotations

from collections.abc import Iterator

from zoo.basics.crc32c import masked_crc32c

MOST_VARIABLES = 20_000  # a large BERT with its optimiser's slots has 1,200
_FOOTER = 48
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_TRAILER = 5  # bytes behind a block: the kind of compression, and a checksum
_NOT_COMPRESSED = 0  # TensorFlow has never written anything else
_LONGEST_KEY = 2_000
_LONGEST_VALUE = 1 << 16


class BadTable(Exception):
    """The message states the problem; the caller adds the path."""


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Return every key and its value, in the order of the keys. Raises BadTable."""
    if len(data) < _FOOTER or not data.endswith(_MAGIC):
        raise BadTable("it does not end with the bytes that end every index")
    footer = len(data) - _FOOTER
    _, _, at = _handle(data, footer)  # skips the place of a block that is not used
    start, size, _ = _handle(data, at)
    found: dict[bytes, bytes] = {}
    last, end = b"", 0  # the last key, and the end of the previous block
    for separator, handle in _entries(_block(data, start, size, footer)):
        start, size, at = _handle(handle, 0)
        if at != len(handle) or start < end:
            raise BadTable("its blocks are not one behind the other")
        for key, value in _entries(_block(data, start, size, footer)):
            if found and key <= last:
                raise BadTable(f"its keys are not in order at {key!r}")
            found[key] = value
            last = key
            if len(found) > MOST_VARIABLES:
                raise BadTable(f"it has more than {MOST_VARIABLES:,} entries")
        if separator < last:
            raise BadTable(f"the block that ends with {last!r} is listed under a smaller key, {separator!r}")
        last, end = separator, start + size + _TRAILER  # all keys of the next block are greater than the separator
    return found


def _block(data: bytes, start: int, size: int, footer: int) -> bytes:
    if start + size + _TRAILER > footer:
        raise BadTable(f"a block of {size:,} bytes at {start:,} reaches beyond the end of the file")
    if data[start + size] != _NOT_COMPRESSED:
        raise BadTable("a block is compressed, which TensorFlow never does")
    end = start + size + 1
    if masked_crc32c(data[start:end]) != int.from_bytes(data[end : end + 4], "little"):
        raise BadTable(f"the checksum of a block at {start:,} is wrong")
    return data[start : start + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block.

    A block ends with the offsets of the entries that store their whole key (restarts), and the number of these offsets.
    """
    count = int.from_bytes(block[-4:], "little")
    limit = len(block) - 4 - 4 * count
    if len(block) < 8 or count < 1 or limit < 1:
        raise BadTable("a block has no entries")
    offsets = iter([int.from_bytes(block[at : at + 4], "little") for at in range(limit, len(block) - 4, 4)])
    at, key, expected = 0, b"", next(offsets)
    while at < limit:
        is_restart = at == expected
        shared, at = read_number(block, at, limit)
        own, at = read_number(block, at, limit)
        size, at = read_number(block, at, limit)
        if is_restart:
            expected = next(offsets, -1)
        if shared > len(key) or (is_restart and shared) or at + own + size > limit:
            raise BadTable("an entry reaches beyond the end of its block")
        if shared + own > _LONGEST_KEY or size > _LONGEST_VALUE:
            raise BadTable(
                f"an entry has a key of {shared + own:,} bytes and a value of {size:,}; at most {_LONGEST_KEY:,} and "
                f"{_LONGEST_VALUE:,} are read"
            )
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size
    if expected != -1:
        raise BadTable("a block states an offset at which no entry begins")


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the start and the size of a block, read at `at`, and the place behind these two numbers."""
    start, at = read_number(data, at, len(data))
    size, at = read_number(data, at, len(data))
    return start, size, at


def read_number(data: bytes, at: int, limit: int) -> tuple[int, int]:
    """Return the number at `at`, stored with seven bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= limit:
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> 32:
                break
            return value, at
    raise BadTable("a number is cut short or too large")
