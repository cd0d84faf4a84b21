"""gzip streams: with the package `isal`, if it is installed, which is many times faster; else with zlib.

Either reads the other's streams. The bytes that they write differ, so an archive's sha256 does too; the tar inside is
the same.
"""

from __future__ import annotations

import zlib
from typing import Any

isal_zlib: Any
try:
    from isal import isal_zlib
except ImportError:
    isal_zlib = None

_GZIP = zlib.MAX_WBITS | 16  # write gzip's header, without name and time, and its checksum
_ZLIB_LEVEL = 6  # level 9 takes 1.5 times as long and makes float32 weights no smaller
_ISAL_LEVEL = 2

errors: tuple[type[Exception], ...] = (zlib.error,) if isal_zlib is None else (zlib.error, isal_zlib.error)


def compressor() -> Any:
    """Return an object with zlib's `compress` and `flush`."""
    if isal_zlib is None:
        return zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, _GZIP)
    return isal_zlib.compressobj(_ISAL_LEVEL, zlib.DEFLATED, _GZIP)


def decompressor() -> Any:
    """Return an object with zlib's `decompress`, `eof`, `unconsumed_tail` and `unused_data`.

    The object itself compares gzip's checksum and length, and raises one of `errors`.
    """
    return (zlib if isal_zlib is None else isal_zlib).decompressobj(wbits=_GZIP)
