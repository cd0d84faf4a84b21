"""How much of a file may be written: what is allowed where nobody recorded its size, and what the disk has left."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

MOST = 4 << 30  # bytes of a file whose size nobody recorded; the largest archive of this zoo has a third of it
RESERVE = 64 << 20  # bytes of the disk that stay free for others


def require_room(place: Path, more: int) -> None:
    """Raise OSError (no space) unless so many bytes fit beside `place` and RESERVE is left."""
    free = shutil.disk_usage(place.parent).free
    if more > free - RESERVE:
        raise OSError(
            errno.ENOSPC,
            f"{spaced(more)} bytes more are to come, {spaced(free)} are free, and {spaced(RESERVE)} of these stay so",
        )


def spaced(number: int) -> str:
    """Return a number with its thousands apart: '10 240'."""
    return f"{number:,}".replace(",", " ")
