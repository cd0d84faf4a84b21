"""Limits for an archive that a stranger made: to how many bytes it unpacks, how large a zip's directory may be.

Not in export/readers/: `zoo build` checks downloads with these functions, too, and importing that package opens all
readers.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST_RATIO = 50  # unpacked size divided by packed size; weights shrink by a tenth only
_MOST_WITHOUT_RATIO = 256 << 20  # bytes that any archive may unpack to, however small it is
_MOST_AT_ONCE = 4 << 20  # bytes of one read; the directory of a zip with a thousand members has a tenth of a megabyte
# Errors that zipfile and zlib raise for damaged files; some of them are accidents in their code.
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
    """Return how many bytes the members of an archive may have together: 50 times the archive, 256 MiB at least."""
    return max(_MOST_RATIO * archive.stat().st_size, _MOST_WITHOUT_RATIO)


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Yield a zip for reading. A damaged zip raises one of ZIP_ERRORS, on opening or on a later read."""
    with _BoundedReads(path, "rb") as source, zipfile.ZipFile(source) as archive:
        yield archive


class _BoundedReads(io.FileIO):
    """A file that refuses reads of more than 4 MiB: zipfile reads a zip's directory at once, of any size it claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_AT_ONCE:
            raise zipfile.BadZipFile(f"its directory claims {size:,} bytes")
        return super().read(-1 if size is None else size) or b""
