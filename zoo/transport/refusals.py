"""Why a source did not deliver a file: one exception for each reason, and the error that names all sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zoo.basics.urls import shown
from zoo.errors import DigestMismatch, DownloadFailed


class Expected(Protocol):
    """The sha256 and the size in bytes that a file has to have; None for an unknown one."""

    @property
    def sha256(self) -> str | None: ...

    @property
    def size(self) -> int | None: ...


class Refused(Exception):
    """The source did not deliver the file. The message can be printed: secrets and control characters are removed."""

    def __init__(self, message: str) -> None:
        super().__init__("".join(character for character in shown(message) if character.isprintable())[:500])


class Cut(Refused):
    """The connection broke, or was never made. Another attempt at the same source may help."""


class Slow(Cut):
    """The source sent nothing for too long, or too few bytes a second. Another source may be faster."""


class TooSlow(TimeoutError):
    """The headers or the body of an answer come too slowly, or not at all. It becomes Slow."""


class OtherRange(Refused):
    """The source does not send the bytes that follow those on the disk (HTTP 416, or 206 with another range).

    Only the whole file can be requested.
    """


class Mismatch(Refused):
    """The source sent a complete file, but its length or its sha256 is not the expected one."""


class TooLong(Refused):
    """The source announced, or sent, more bytes than are allowed for a file of unknown size."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"has more than {spaced(limit)} bytes, the limit for a file whose size is not recorded")


# The error ends with the advice for each kind of refusal that occurred.
_ADVICE = {
    TooLong: "Record its size in the registry, or fetch it yourself and give the file.",
    Slow: "Set ZOO_MIRROR to a faster source.",
}


def failure(name: str, refusals: Sequence[tuple[str, Refused]], expected: Expected | None, kept: int) -> Exception:
    """Return the error for a file that no source delivered.

    `refusals` are pairs (source, what it said), in the order of the attempts; `kept` bytes of the file are on the disk.
    """
    lines = "; ".join(f"{shown(source)}: {refused}" for source, refused in refusals) or "no source is known"
    kinds = {type(refused) for _, refused in refusals}
    if kinds == {Mismatch}:
        found = f"{refusals[0][1]}, from {shown(refusals[0][0])}" if len(refusals) == 1 else f"but from {lines}"
        return DigestMismatch(
            f"{name} should be {_described(expected)}, {found}. The file was removed; run again or check the registry."
        )
    rest = [f"It should be {_described(expected)}."] if Mismatch in kinds else []
    rest += [advice for kind, advice in _ADVICE.items() if kind in kinds]
    rest += [f"{spaced(kept)} bytes are kept: run again to go on from there."] if kept else []
    return DownloadFailed(" ".join([f"{name} could not be fetched. Tried in order: {lines}.", *rest]))


def spaced(number: int) -> str:
    """Return a number with a space between thousands: '10 240'."""
    return f"{number:,}".replace(",", " ")


def _described(expected: Expected | None) -> str:
    if expected and expected.sha256:
        return f"sha256 {expected.sha256[:12]}…"
    return f"{spaced(expected.size)} bytes" if expected and expected.size is not None else "another file"
