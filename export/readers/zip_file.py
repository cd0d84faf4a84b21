"""Opens a zip that a stranger made: its directory is held in memory, so its size is bounded, and so is every read."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
