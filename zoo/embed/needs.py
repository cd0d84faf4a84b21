"""What an extra brings, imported when it is needed, and what its engine raises, in our words."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo.errors import ZooError, first_line

# Where in a foreign traceback the reason stands: an error of ours, or what Spark says of the task it lost.
_REASONS = (re.compile(r"^zoo\.errors\.(.+)$", re.MULTILINE), re.compile(r"most recent failure: (.+)$", re.MULTILINE))


def needed(module: str, extra: str) -> Any:
    """Return a module of ours whose packages an extra brings. Raises ZooError, which names the extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "zoo":
            raise
        raise ZooError(
            f"`zoo embed` needs the extra {extra!r} for this: pip install 'bert-zoo[{extra}]' ({error})."
        ) from error


def parquet() -> Any:
    """Return `zoo.embed.parquet`, which imports pyarrow."""
    return needed("zoo.embed.parquet", "embed")


@contextmanager
def gave_up(engine: str) -> Iterator[None]:
    """Turn whatever an engine raises into an error with the reason; an error of ours in a worker is that reason."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        found = next((match for each in _REASONS if (match := each.search(str(error)))), None)
        reason = (found[1] if found else first_line(error)).rstrip(".")
        raise ZooError(f"{engine} gave up: {reason}. What was finished stays; run again to go on.") from error
