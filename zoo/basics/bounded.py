"""Small files that strangers wrote: read only as far as a stated limit, and JSON only where it is cheap to hold.

A limit on bytes alone does not bound the cost: a megabyte of `[],[],[],` becomes a hundred megabytes of lists.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from zoo.basics.files import open_regular

_MOST_DEPTH = 32  # lists within lists; a card has 4
_MARKS = b",:[{"  # each value of a JSON text follows one of them, but for the first


class Refused(ValueError):
    """What was found in a file; the caller says in which."""


def read_small(path: Path, most: int) -> bytes:
    """Return what a file of at most `most` bytes holds. A directory, a pipe or a device is refused.

        read_small(Path("bert_config.json"), 1 << 20)

    Raises Refused, or the OSError of a file that is not there or cannot be opened.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EISDIR):  # the answers to pipes, devices and directories
            raise
        raise Refused("it is a directory, a pipe or a device, not a file") from None
    if len(data) > most:
        raise Refused(f"it has more than {most:,} bytes, which none of its kind needs")
    return data


def check_cost(text: bytes, most_values: int) -> None:
    """Raise Refused for a JSON text that may hold more than `most_values` values; nothing is parsed."""
    if (values := 1 + sum(map(text.count, (bytes([mark]) for mark in _MARKS)))) > most_values:
        raise Refused(f"it may hold {values:,} values, more than the {most_values:,} that are read")


def parse_json(text: bytes, most_values: int) -> Any:
    """Return what a JSON text says, `most_values` values at most and not deeply nested.

        parse_json(b'{"hidden_size": 768}', 1000)  # {"hidden_size": 768}

    Raises Refused or another ValueError.
    """
    check_cost(text, most_values)
    try:
        value = json.loads(text)
    except RecursionError:
        raise Refused("its lists are nested too deeply") from None
    level = [value]
    for _ in range(_MOST_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise Refused(f"its lists are nested more than {_MOST_DEPTH} deep")


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
