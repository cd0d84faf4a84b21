"""What is known of a file before it comes, how an answer may differ from it, and the error when no source brings it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zoo.basics.urls import shown
from zoo.errors import DigestMismatch, DownloadFailed
from zoo.transport.http import Refused, Slow
from zoo.transport.limits import spaced


class Expected(Protocol):
    """What is known of a file beforehand, None for what is not."""

    @property
    def sha256(self) -> str | None: ...

    @property
    def size(self) -> int | None: ...


class Mismatch(Refused):
    """A complete answer with other bytes than promised."""


class TooLong(Refused):
    """An answer of more bytes than a file may have whose size nobody recorded; `came` says that so many have come."""

    def __init__(self, limit: int, came: bool = False) -> None:
        super().__init__(f"has more than {spaced(limit)} bytes, the most where no size is recorded")
        self.came = came


def failure(name: str, said: Sequence[tuple[str, Refused]], expected: Expected | None, kept: int) -> Exception:
    """Return the error for a file that no source brought: what each source `said`, and how much of it is `kept`."""
    lines = "; ".join(f"{shown(source)}: {refused}" for source, refused in said) or "no source is known"
    kinds = {type(refused) for _, refused in said}
    promised = _promised(expected)
    if kinds == {Mismatch}:
        found = f"{said[0][1]}, from {shown(said[0][0])}" if len(said) == 1 else f"but from {lines}"
        return DigestMismatch(
            f"{name} should be {promised}, {found}. The file was removed; run again or check the registry."
        )
    rest = [f"It should be {promised}."] if Mismatch in kinds else []
    rest += [advice for kind, advice in _ADVICE.items() if kind in kinds]
    rest += [f"{spaced(kept)} bytes are kept: run again to go on from there."] if kept else []
    return DownloadFailed(" ".join([f"{name} could not be fetched. Tried in order: {lines}.", *rest]))


_ADVICE = {
    TooLong: "Record its size in the registry, or fetch it yourself and give the file.",
    Slow: "ZOO_MIRROR names a quicker source.",
}


def _promised(expected: Expected | None) -> str:
    if expected and expected.sha256:
        return f"sha256 {expected.sha256[:12]}…"
    return f"{spaced(expected.size)} bytes" if expected and expected.size is not None else "another file"
