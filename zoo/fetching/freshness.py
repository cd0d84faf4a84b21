"""Checks that a registry is the latest one: by its expiry, and by the highest number that was trusted here.

A signature says who wrote a registry. It does not say that nothing newer was written since. An attacker who controls
the server or the connection could send an older registry, which has a lower number, or send the same registry for ever,
which then expires.

Numbers are remembered for each URL and key, and only if a signature was checked: without a signature anybody could send
a number so high that every later registry is refused. An expiry is always checked.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.archive.card import to_json
from zoo.basics.files import read_regular, written_file
from zoo.basics.locks import locked
from zoo.basics.untrusted import BadJson, parse_strict_json
from zoo.basics.urls import shown
from zoo.errors import Stale
from zoo.fetching.places import cache_directory
from zoo.registry.entry import MOMENT, Count

VARIABLE = "ZOO_ALLOW_STALE"
_INSIST = f"{VARIABLE}=1 takes it all the same."
_MOST = 1 << 16  # bytes


class _Highest(BaseModel):
    """The highest number of a trusted registry, for one URL and key."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    url: str
    key: str
    number: Count


def check_expiry(expires: str | None, place: str) -> None:
    """Raise Stale when the moment `expires`, as '2027-01-31T00:00:00Z', has passed, unless ZOO_ALLOW_STALE is set."""
    if expires is None or _is_allowed() or time.time() < seconds(expires):
        return
    raise Stale(
        f"{shown(place)} has expired: its publisher stated that it is valid until {expires}. Somebody may hold back a "
        f"newer one, or nobody has signed it since. Ask its publisher, and check this machine's clock. {_INSIST}"
    )


def check_number(number: int, url: str, key: str | None) -> None:
    """Remember the number of a registry that `key` signed; without a key do nothing.

    Raises Stale when a registry with a higher number, of that URL and key, was trusted before, unless ZOO_ALLOW_STALE
    is set.
    """
    if key is None:
        return
    record = number_record_of(url, key)
    highest = _highest(record)
    if number < highest and not _is_allowed():
        raise Stale(
            f"{shown(url)} is number {number} of its registries, and number {highest} by the key {key} was trusted "
            "here before. Somebody may hold back the newer one, or a mirror is not up to date: try again later, or ask "
            f"its publisher. {_INSIST}"
        )
    if number > highest:
        _remember(record, _Highest(url=shown(url), key=key, number=number))


def number_record_of(url: str, key: str) -> Path:
    """Return the file that remembers the highest number of a URL and key. Remove it, and any number is accepted."""
    return cache_directory() / f"number-{hashlib.sha256(f'{key} {url}'.encode()).hexdigest()[:32]}.json"


def seconds(moment: str) -> float:
    """Return a moment, as '2027-01-31T00:00:00Z', in seconds since 1970."""
    return datetime.strptime(moment, MOMENT).replace(tzinfo=timezone.utc).timestamp()


def moment_after(now: float, days: float) -> str:
    """Return the moment `days` after `now` (seconds since 1970), as '2027-01-31T00:00:00Z'."""
    return (datetime.fromtimestamp(now, timezone.utc) + timedelta(days=days)).strftime(MOMENT)


def _is_allowed() -> bool:
    """True when ZOO_ALLOW_STALE is set to anything but 0, false or no."""
    return os.environ.get(VARIABLE, "").strip().lower() not in ("", "0", "false", "no")


def _highest(record: Path) -> int:
    """Return the remembered number, 0 when there is none. Raises Stale when the file is damaged."""
    try:
        return _Highest.model_validate(parse_strict_json(read_regular(record, _MOST), _MOST)).number
    except FileNotFoundError:
        return 0
    except (OSError, BadJson, ValidationError) as error:
        if _is_allowed():
            return 0
        raise Stale(
            f"{record}, which remembers the highest number of a registry, cannot be read: {_reason(error)}. Remove it "
            f"to begin again with the registry that is served now. {_INSIST}"
        ) from None


def _reason(error: Exception) -> str:
    return "it was changed" if isinstance(error, ValidationError) else str(error)


def _remember(record: Path, highest: _Highest) -> None:
    """Write the highest number, unless another process has written a higher one meanwhile."""
    # The cache may be read-only: an OSError, and CannotWrite is one.
    with suppress(OSError), locked(record.with_name(f".{record.stem}.lock")):
        if highest.number > _highest(record):
            with written_file(record) as temporary:
                temporary.write_text(to_json(highest.model_dump()), encoding="utf-8")
