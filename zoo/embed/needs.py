"""Parquet files and engines come with extras: the import of `zoo.embed.parquet`, and an engine's error in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo.basics.extras import imported
from zoo.errors import ZooError, first_line

# Where in a foreign traceback the reason stands: an error of ours, or what Spark says of the task it lost.
_REASONS = (re.compile(r"^zoo\.errors\.(.+)$", re.MULTILINE), re.compile(r"most recent failure: (.+)$", re.MULTILINE))


def parquet() -> Any:
    """Return `zoo.embed.parquet`, which imports pyarrow. Raises ZooError when pyarrow is not installed."""
    return imported("zoo.embed.parquet", "`zoo embed`", "embed")


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
