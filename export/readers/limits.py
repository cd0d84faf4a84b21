"""What an archive that a stranger made may cost: how far it unpacks, how much of a zip's directory is held.

Nothing here imports TensorFlow: builds look at downloads with it, too.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST_RATIO = 50  # unpacked to packed size; weights shrink by a tenth
_MOST_WITHOUT_RATIO = 256 << 20  # bytes that any archive may hold
_MOST_AT_ONCE = 4 << 20  # bytes; the directory of a thousand members has a tenth of a megabyte
# What zipfile and zlib raise over damaged files, some of it by accident.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
)


def most_unpacked(archive: Path) -> int:
    """Return how many bytes the members of an archive may have together."""
    return max(_MOST_RATIO * archive.stat().st_size, _MOST_WITHOUT_RATIO)


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Yield a zip for reading. Raises one of ZIP_ERRORS where it is damaged, here or later."""
    with _SmallReads(path, "rb") as source, zipfile.ZipFile(source) as archive:
        yield archive


class _SmallReads(io.FileIO):
    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_AT_ONCE:
            raise zipfile.BadZipFile(f"its directory claims {size:,} bytes")
        return super().read(-1 if size is None else size) or b""
