"""Parquet and the engines need extras: imports `zoo.embed.parquet`, and turns an engine's errors into ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from zoo.basics.extras import imported
from zoo.errors import ZooError, first_line

# The reason in an engine's traceback: an error of ours, or Spark's words about a lost task.
_REASONS = (re.compile(r"^zoo\.errors\.(.+)$", re.MULTILINE), re.compile(r"most recent failure: (.+)$", re.MULTILINE))


def parquet() -> Any:
    """Return `zoo.embed.parquet`, which imports pyarrow. Raises ZooError when pyarrow is not installed."""
    return imported("zoo.embed.parquet", "`zoo embed`", "embed")


@contextmanager
def gave_up(engine: str) -> Iterator[None]:
    """Turn any error of an engine into ZooError with the reason. If a worker raised an error of ours, that is it."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        found = next((match for each in _REASONS if (match := each.search(str(error)))), None)
        reason = (found[1] if found else first_line(error)).rstrip(".")
        raise ZooError(f"{engine} gave up: {reason}. Finished parts are kept; run again to go on.") from error
