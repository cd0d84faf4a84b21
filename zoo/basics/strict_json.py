"""JSON from outside: bounded before it is parsed, no key twice, nothing that only Python takes for JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from zoo.basics.bounded import Refused, check_cost

_MOST_VALUES = 1_000_000  # each takes a hundred bytes of memory and more, however short its text


class BadJson(Refused):
    """What is wrong with a text, fit to follow the name of its file."""


def parse_json(text: bytes, most: int) -> Any:
    """Return the value that a UTF-8 text of at most `most` bytes means.

        parse_json(b'{"a": 1}', 1 << 20)  # {"a": 1}

    The json module takes the last of two equal keys, and another reader the first; here the key is refused by name.
    Raises BadJson.
    """
    if len(text) > most:
        raise BadJson(f"it has {len(text):,} bytes, and {most:,} at most are read")
    try:
        check_cost(text, _MOST_VALUES)
        return json.loads(text.decode(), object_pairs_hook=_once_each, parse_constant=_refused)
    except RecursionError:
        raise BadJson("Invalid JSON: it is nested too deeply") from None
    except Refused as refused:
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


def _refused(constant: str) -> NoReturn:
    raise BadJson(f"Invalid JSON: {constant} is no number of JSON")
