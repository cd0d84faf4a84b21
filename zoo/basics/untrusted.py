"""Small files and JSON that strangers wrote: read only as far as a stated limit, and parsed only where that is cheap.

A limit on bytes alone does not bound the cost: a megabyte of `[],[],[],` becomes a hundred megabytes of lists.
"""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from zoo.basics.files import open_regular

_MOST_DEPTH = 32  # lists within lists; a card has 4
_MOST_VALUES = 1_000_000  # of strict JSON; each takes a hundred bytes of memory and more, however short its text
_MOST_FORMAT = 1 << 53  # above this a number of a format is a mistake, not a later version
_MARKS = b",:[{"  # each value of a JSON text follows one of them, but for the first


class BadInput(ValueError):
    """What was found in a file; the caller says in which."""


class BadJson(BadInput):
    """What is wrong with a text of strict JSON, fit to follow the name of its file."""


def read_small(path: Path, most: int) -> bytes:
    """Return what a file of at most `most` bytes holds. A directory, a pipe or a device is refused.

        read_small(Path("bert_config.json"), 1 << 20)

    Raises BadInput, or the OSError of a file that is not there or cannot be opened.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EISDIR):  # the answers to pipes, devices and directories
            raise
        raise BadInput("it is a directory, a pipe or a device, not a file") from None
    if len(data) > most:
        raise BadInput(f"it has more than {most:,} bytes, which none of its kind needs")
    return data


def check_cost(text: bytes, most_values: int) -> None:
    """Raise BadInput for a JSON text that may hold more than `most_values` values; nothing is parsed."""
    if (values := 1 + sum(map(text.count, (bytes([mark]) for mark in _MARKS)))) > most_values:
        raise BadInput(f"it may hold {values:,} values, more than the {most_values:,} that are read")


def parse_json(text: bytes, most_values: int) -> Any:
    """Return what a JSON text says, `most_values` values at most and not deeply nested.

        parse_json(b'{"hidden_size": 768}', 1000)  # {"hidden_size": 768}

    Raises BadInput or another ValueError.
    """
    check_cost(text, most_values)
    try:
        value = json.loads(text)
    except RecursionError:
        raise BadInput("its lists are nested too deeply") from None
    for _ in values_within(value):
        pass
    return value


def values_within(value: Any) -> Iterator[Any]:
    """Yield a value of JSON, the values in it, and those in them. Raises BadInput when they are nested too deeply."""
    level = [value]
    for _ in range(_MOST_DEPTH):
        yield from level
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise BadInput(f"its lists are nested more than {_MOST_DEPTH} deep")


def made_later(stated: object, known: int) -> str:
    """Return the words for a file whose `format` number is higher than the one that is `known` here, else "".

    made_later(2, 1)  # "was made by a later bert-zoo (format 2, this one reads 1): update bert-zoo."
    """
    if not isinstance(stated, int) or not known < stated <= _MOST_FORMAT:
        return ""
    return f"was made by a later bert-zoo (format {stated}, this one reads {known}): update bert-zoo."


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def parse_strict_json(text: bytes, most: int) -> Any:
    """Return the value that a UTF-8 text of at most `most` bytes means.

        parse_strict_json(b'{"a": 1}', 1 << 20)  # {"a": 1}

    The json module takes the last of two equal keys, and another reader the first; here the key is refused by name.
    Raises BadJson.
    """
    if len(text) > most:
        raise BadJson(f"it has {len(text):,} bytes, and {most:,} at most are read")
    try:
        check_cost(text, _MOST_VALUES)
        return json.loads(text.decode(), object_pairs_hook=_once_each, parse_constant=_no_constant)
    except RecursionError:
        raise BadJson("Invalid JSON: it is nested too deeply") from None
    except BadInput as refused:
        raise BadJson(str(refused)) from None
    except ValueError as error:
        raise BadJson(f"Invalid JSON: {error}") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = [repr(key[:100]) for key, count in counts.items() if count > 1]
        raise BadJson(f"it has {', '.join(twice[:10])} twice in one object")
    return found


def _no_constant(constant: str) -> NoReturn:
    raise BadJson(f"Invalid JSON: {constant} is no number of JSON")
