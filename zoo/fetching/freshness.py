"""Whether a registry is the latest: its expiry, its number, and the highest number that was trusted here.

A signature says who wrote a registry, not that nothing newer was written since. Whoever holds the server or the line
can go back to an older one (a rollback: the number tells) or never show another (a freeze: the expiry tells).

Numbers count where a signature was checked, for each URL and key apart: without a signature anybody could send a number
so high that everything later is refused. An expiry always counts: it can only make a reader more careful.
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
from zoo.fetching.cache import cache_directory
from zoo.registry.entry import MOMENT, Count

VARIABLE = "ZOO_ALLOW_STALE"
_INSIST = f"{VARIABLE}=1 takes it all the same."
_MOST = 1 << 16  # bytes


class _Highest(BaseModel):
    """The highest number that was trusted of a URL and key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    key: str
    number: Count


def check_expiry(expires: str | None, place: str) -> None:
    """Raise Stale when the moment, as a registry states it, has passed, unless ZOO_ALLOW_STALE insists."""
    if expires is None or _insists() or time.time() < seconds(expires):
        return
    raise Stale(
        f"{shown(place)} has expired: its publisher vouched for it until {expires}. Somebody may hold back a newer "
        f"one, or nobody has signed it since. Ask its publisher, and look at this machine's clock. {_INSIST}"
    )


def check_number(number: int, url: str, key: str | None) -> None:
    """Remember the number of a registry whose signature by `key` was checked; without a key do nothing.

    Raises Stale when a higher one was trusted before of that URL and key, unless ZOO_ALLOW_STALE insists.
    """
    if key is None:
        return
    record = record_of(url, key)
    highest = _highest(record)
    if number < highest and not _insists():
        raise Stale(
            f"{shown(url)} is number {number} of its registries, and number {highest} by the key {key} was trusted "
            "here before. Somebody may hold back the newer one, or a mirror lags behind: try again later, or ask its "
            f"publisher. {_INSIST}"
        )
    if number > highest:
        _remember(record, _Highest(url=shown(url), key=key, number=number))


def record_of(url: str, key: str) -> Path:
    """Return where the highest number of a URL and key is remembered. Without that file any number is taken again."""
    return cache_directory() / f"number-{hashlib.sha256(f'{key} {url}'.encode()).hexdigest()[:32]}.json"


def seconds(moment: str) -> float:
    """Return a moment, '2027-01-31T00:00:00Z', in seconds."""
    return datetime.strptime(moment, MOMENT).replace(tzinfo=timezone.utc).timestamp()


def moment_after(now: float, days: float) -> str:
    """Return the moment so many days after `now`, in seconds: '2027-01-31T00:00:00Z'."""
    return (datetime.fromtimestamp(now, timezone.utc) + timedelta(days=days)).strftime(MOMENT)


def _insists() -> bool:
    return os.environ.get(VARIABLE, "").strip().lower() not in ("", "0", "false", "no")


def _highest(record: Path) -> int:
    """Return the remembered number, 0 when there is none. Raises Stale when nobody can tell what it was."""
    try:
        return _Highest.model_validate(parse_strict_json(read_regular(record, _MOST), _MOST)).number
    except FileNotFoundError:
        return 0
    except (OSError, BadJson, ValidationError) as error:
        if _insists():
            return 0
        raise Stale(
            f"{record}, which remembers the highest number of a registry, cannot be read: {_reason(error)}. Remove it "
            f"to begin again with what is served now. {_INSIST}"
        ) from None


def _reason(error: Exception) -> str:
    return "it is not as it was written" if isinstance(error, ValidationError) else str(error)


def _remember(record: Path, highest: _Highest) -> None:
    # The cache may be read-only: an OSError, and CannotWrite is one.
    with suppress(OSError), locked(record.with_name(f".{record.stem}.lock")):
        if highest.number > _highest(record):  # another process may have seen a newer one
            with written_file(record) as temporary:
                temporary.write_text(to_json(highest.model_dump()), encoding="utf-8")
