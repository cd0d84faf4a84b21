"""Files and directories that appear whole or not at all: written under a unique name beside, then moved."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import CannotWrite, ZooError

_ADVICE = {
    errno.ENOSPC: "The disk is full: make room or choose another place.",
    errno.EDQUOT: "Your quota is used up: make room or choose another place.",
    errno.EACCES: "You have no permission there: choose another place.",
    errno.EPERM: "You have no permission there: choose another place.",
    errno.EROFS: "That file system is read-only: choose another place.",
    errno.ENOTEMPTY: "Something is there already: remove it or choose another place.",
}


@contextmanager
def cannot_write(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into CannotWrite, which names `path`, the reason and the next move."""
    try:
        yield
    except ZooError:
        raise
    except OSError as error:
        found = error.strerror or str(error)
        if error.filename is not None and Path(os.fsdecode(error.filename)) != path:
            found += f" ({os.fsdecode(error.filename)})"
        advice = _ADVICE.get(error.errno or 0, "Nothing was left behind.")
        raise CannotWrite(f"{path} could not be written: {found}. {advice}") from error


@contextmanager
def written_file(path: Path) -> Iterator[Path]:
    """Yield a name beside `path`; the file written there becomes `path` when the block ends well, else it is removed.

        with written_file(Path("registry.json")) as temporary:
            temporary.write_text("{}")

    Raises CannotWrite for any OSError of the block.
    """
    temporary = unique_beside(path)
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def written_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory beside `path`; it becomes `path` when the block ends well, else it is removed.

    Raises CannotWrite for any OSError of the block, and when `path` exists and is not an empty directory.
    """
    temporary = unique_beside(path)
    with cannot_write(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.mkdir()
            yield temporary
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def unique_beside(path: Path) -> Path:
    """Return a hidden name in the directory of `path` that nobody else uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
