"""What a handle is and where the cache is, by the standard library alone: `zoo.lite` reads it before anything else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from zoo.contract import CARD_FILE, REGISTRY_FILE
from zoo.errors import CannotWrite


def model_name(handle: str | Path) -> str | None:
    """Return the model's name if the handle is one, None if it is a URL, an archive or a directory.

    "albert_tiny" is a directory if there is one of that name with a card; "zoo://albert_tiny" is always the model.
    """
    if isinstance(handle, Path):
        return None
    if handle.startswith("zoo://"):
        return handle.removeprefix("zoo://").rstrip("/")
    is_path = "/" in handle or os.sep in handle or handle.endswith((".gz", ".tgz"))
    return None if is_path or (Path(handle) / CARD_FILE).is_file() else handle


def cache_directory() -> Path:
    """Return ZOO_CACHE, or this platform's directory for caches, as ~/.cache/zoo."""
    if given := os.environ.get("ZOO_CACHE"):
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError:
            raise CannotWrite(f"ZOO_CACHE={given}: there is no such home directory. Name another one.") from None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "zoo" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "zoo"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo"


def installed_place() -> Path:
    """Return the path of the registry of installed models, whether there is one or not."""
    return cache_directory() / "installed" / REGISTRY_FILE


def directories_place() -> Path:
    """Return the path of the list of installed directories, whether there is one or not."""
    return installed_place().with_name("directories.json")
