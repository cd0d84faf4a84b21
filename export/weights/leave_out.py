"""Variables that a person leaves out with --leave-out, and the patterns that are proposed for it.

A pattern is like a shell's, for whole names: * stands for any characters, separators too, ? for one, [ab] for a or b.
"""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from zoo.errors import BadConfig

BY_REQUEST = "left out by request"


def matched(patterns: Sequence[str], names: Collection[str]) -> frozenset[str]:
    """Return the names that any pattern matches. Raises BadConfig if a pattern matches none.

    matched(["fc.*"], ["bert.pooler.dense.bias", "fc.bias"])  # {"fc.bias"}
    """
    found = {pattern: [name for name in names if fnmatchcase(name, pattern)] for pattern in patterns}
    if idle := [pattern for pattern, those in found.items() if not those]:
        first = ", ".join(dict.fromkeys(repr(_first_part(name)) for name in sorted(names)))
        raise BadConfig(
            f"no variable has a name like {' or '.join(map(repr, idle))}. The names begin with {first}. A pattern of "
            "--leave-out is for whole names: 'fc.*' fits fc.weight, 'fc' does not."
        )
    return frozenset(name for those in found.values() for name in those)


def proposed_patterns(names: Iterable[str], kept: Iterable[str], separator: str) -> list[str]:
    """Return a short list of patterns that match all `names` and nothing that is kept.

    proposed_patterns(["bert.fc.bias", "fc.bias", "fc.weight", "scale"], ["bert.pooler.dense.bias"], ".")
    # ["bert.fc.*", "fc.*", "scale"]
    """
    taken = {scope for name in kept for scope in _scopes(name, separator)}
    found = dict.fromkeys(
        next((f"{_exactly(scope)}*" for scope in _scopes(name, separator) if scope not in taken), _exactly(name))
        for name in sorted(names)
    )
    return list(found)


def as_words(options: Sequence[str]) -> str:
    """Return options as a shell takes them: "--leave-out 'fc.*'"."""
    return " ".join(map(shlex.quote, options))


def _scopes(name: str, separator: str) -> Iterator[str]:
    """Yield "crf." and "crf.layer." for "crf.layer.transitions"."""
    return (name[: end + 1] for end, mark in enumerate(name) if mark == separator)


def _exactly(name: str) -> str:
    """Return the pattern for one name.

    A comma would end the pattern, a dash in front would make it an option, and "none" alone stands for no pattern.
    """
    return re.sub("^-|,|^n(?=one$)", "?", glob.escape(name))


def _first_part(name: str) -> str:
    return name[: min((name.index(mark) + 1 for mark in "/." if mark in name), default=len(name))]
