"""Reads small files and JSON that strangers wrote, with limits on the bytes and on the cost of parsing.

A limit on bytes is not enough: a megabyte of `[],[],[],` becomes a hundred megabytes of lists.
"""

from __future__ import annotations

import errno
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from zoo.basics.files import open_regular

_MOST_DEPTH = 32  # lists within lists; a card has 4
_MOST_VALUES = 1_000_000  # of strict JSON; a value takes a hundred bytes of memory or more, however short its text is
_MOST_FORMAT = 1 << 53  # a higher `format` number is a mistake, not a later version
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # half of a character beyond U+FFFF; the other half should follow
_MARKS = b",:[{"  # every value of a JSON text but the first follows one of these characters


class BadInput(ValueError):
    """The message states the problem of a file; the caller adds the path."""


class BadJson(BadInput):
    """The problem of a strict JSON text; the caller puts the path in front."""


def read_small(path: Path, most: int) -> bytes:
    """Return the bytes of a file with at most `most` bytes. A directory, a pipe or a device is refused.

        read_small(Path("bert_config.json"), 1 << 20)

    Raises BadInput, or OSError for a file that is missing or cannot be opened.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        # `open_regular` raises EINVAL for pipes and devices, EISDIR for directories.
        if error.errno not in (errno.EINVAL, errno.EISDIR):
            raise
        raise BadInput("it is a directory, a pipe or a device, not a file") from None
    if len(data) > most:
        raise BadInput(f"it has more than {most:,} bytes, too many for a file of this kind")
    return data


def check_cost(text: bytes, most_values: int) -> None:
    """Raise BadInput for a JSON text that may hold more than `most_values` values. Counts characters only."""
    if (values := 1 + sum(map(text.count, (bytes([mark]) for mark in _MARKS)))) > most_values:
        raise BadInput(f"it may hold {values:,} values; at most {most_values:,} are read")


def parse_json(text: bytes, most_values: int) -> Any:
    """Return the value of a JSON text that holds at most `most_values` values and is not deeply nested.

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
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadInput("it holds half of a character, as \\ud800 is, which no text can have") from None
    return value


def values_within(value: Any) -> Iterator[Any]:
    """Yield a JSON value and every value inside it, at any depth. Raises BadInput if they are nested too deeply."""
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
    """Return the value of a JSON text in UTF-8 with at most `most` bytes. Raises BadJson.

        parse_strict_json(b'{"a": 1}', 1 << 20)  # {"a": 1}

    A key that occurs twice in one object is an error: Python's json module takes the last value, other readers take the
    first, so two programs could read two different things.
    """
    if len(text) > most:
        raise BadJson(f"it has {len(text):,} bytes; at most {most:,} are read")
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
    raise BadJson(f"Invalid JSON: {constant} is not a JSON number")
