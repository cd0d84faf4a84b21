"""gzip streams: by isa-l where the package `isal` is installed, many times faster, else by zlib. Both read the other's.

The bytes they write differ, and so does the digest of an archive; the tar inside is the same.
"""

from __future__ import annotations

import zlib
from typing import Any

isal_zlib: Any
try:
    from isal import isal_zlib
except ImportError:
    isal_zlib = None

_GZIP = zlib.MAX_WBITS | 16  # with gzip's header, without name or time, and its checksum
_ZLIB_LEVEL = 6  # 9 takes half as long again and saves nothing on float32 weights
_ISAL_LEVEL = 2

errors: tuple[type[Exception], ...] = (zlib.error,) if isal_zlib is None else (zlib.error, isal_zlib.error)


def compressor() -> Any:
    """Return an object with zlib's `compress` and `flush`."""
    if isal_zlib is None:
        return zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, _GZIP)
    return isal_zlib.compressobj(_ISAL_LEVEL, zlib.DEFLATED, _GZIP)


def decompressor() -> Any:
    """Return an object with zlib's `decompress`, `eof`, `unconsumed_tail` and `unused_data`.

    It compares gzip's checksum and length itself and raises one of `errors`.
    """
    return (zlib if isal_zlib is None else isal_zlib).decompressobj(wbits=_GZIP)
