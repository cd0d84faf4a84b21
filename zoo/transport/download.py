"""Sources in order to one file, gone on with where it was cut, checked before it counts. Knows nothing of models."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests

from zoo.archive.digests import sha256_of
from zoo.basics.files import cannot_write, move_into_place, unique_beside
from zoo.basics.progress import progress
from zoo.transport import http, limits, patience
from zoo.transport.http import Answer, Cut, OtherRange, Refused, Slow, Version, asked, session
from zoo.transport.limits import require_room, spaced
from zoo.transport.patience import too_slow
from zoo.transport.promised import Expected, Mismatch, TooLong, failure

_ATTEMPTS = 3  # in a row that brought nothing further
_WINDOW = 20.0  # seconds over which the pace of a source is measured while another one could be asked
_LEAST = 32 << 10  # bytes a second, below which the other one is


def download(
    sources: Sequence[str],
    target: Path,
    expected: Expected | None = None,
    *,
    resume: bool = False,
    unless: Version | None = None,
    most: int | None = None,
) -> Version | None:
    """Write the first source that delivers what is expected to `target` and return what the source calls this version.

        download(["https://a/x.tar.gz", "https://b/x.tar.gz", "/mnt/x.tar.gz"], Path("x.tar.gz"), digest)

    Sources are http(s) or file URLs or plain paths, tried in order, those that are slow once more after the others.
    The target appears complete and checked, or not at all. With `resume` it holds what has arrived so far, and the next
    call goes on from there: known by the digest, or else, of a single source, by the ETag that is kept beside it until
    the target is complete. Without `expected` only the announced length is checked.
    None, and no target, when the source still has the version `unless`.

    A file of unknown size has at most `most` bytes, by default 4 GiB, and some of the disk stays free. A source that
    sends less than a kilobyte a second, over a minute, is given up, the only one too.

    Raises DownloadFailed, or DigestMismatch when every source delivered other bytes; both name all sources tried and
    what each said. Raises CannotWrite when the target cannot be written.
    """
    if resume and (expected is None or expected.sha256 is None) and len(sources) != 1:
        raise ValueError("resume needs the digest of the whole, or one source: parts of several may not fit")
    file = target if resume else unique_beside(target)
    limit = limits.MOST if most is None else most
    with cannot_write(target, kept=target if resume else None):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            version = _first_right(sources, target, file, expected, unless, limit)
            if version is not None and not resume:
                move_into_place(file, target)
            return version
        finally:
            if not resume:
                file.unlink(missing_ok=True)


# -- sources in order ---------------------------------------------------------------------------------------------


def _first_right(
    sources: Sequence[str], target: Path, file: Path, expected: Expected | None, unless: Version | None, limit: int
) -> Version | None:
    said: list[tuple[str, Refused]] = []
    waiting, slow = deque(sources), set[str]()
    with session() as connection:
        while waiting:
            source = waiting.popleft()
            hurried = bool(waiting) and source not in slow
            try:
                return _Transfer(source, target.name, file, expected, unless, limit, connection).run(hurried)
            except Refused as refused:
                said.append((source, refused))
                if hurried and isinstance(refused, Slow):
                    slow.add(source)
                    waiting.append(source)
    raise failure(target.name, said, expected, kept=_size(file) if file == target else 0)


class _Transfer:
    """One source's bytes to one file, which may hold their beginning."""

    def __init__(
        self,
        source: str,
        name: str,
        file: Path,
        expected: Expected | None,
        unless: Version | None,
        limit: int,
        connection: requests.Session,
    ) -> None:
        self._source, self._name, self._file, self._limit, self._connection = source, name, file, limit, connection
        self._sha256 = expected.sha256 if expected else None
        self._length = expected.size if expected else None
        self._unless = unless or None  # a version that says nothing is no condition
        self._tag = file.with_name(f"{file.name}.etag") if file.name == name and self._sha256 is None else None
        tag = self._tag.read_text(encoding="latin-1") if self._tag and self._tag.is_file() else ""
        self._version = Version(tag if tag.isprintable() else "")  # it becomes a header
        self._resumes = True  # until the source, or what came of it, says otherwise

    def run(self, hurried: bool) -> Version | None:
        """Return the version that lies whole and right in the file, None when there is nothing new. Raises Refused."""
        furthest, fruitless = _size(self._file), 0
        began, had = time.monotonic(), furthest
        while True:
            start = self._start()
            try:
                return self._receive(start, hurried)
            except (Mismatch, OtherRange):
                self._file.unlink(missing_ok=True)
                if start == 0:
                    raise
                self._resumes = False  # once more from the beginning: what lay there before may be at fault
            except TooLong as long:
                if long.came:
                    self._file.unlink()  # what is here will never be whole
                raise
            except Cut as cut:
                fruitless = 0 if _size(self._file) > furthest else fruitless + 1
                furthest = max(furthest, _size(self._file))
                if fruitless == _ATTEMPTS or (hurried and isinstance(cut, Slow)):
                    raise
                if (seconds := time.monotonic() - began) >= patience.WINDOW:  # over all attempts: each may bring a byte
                    if problem := too_slow(max(furthest - had, 0), seconds):
                        raise cut if isinstance(cut, Slow) else Slow(problem) from None
                    began, had = time.monotonic(), furthest
                time.sleep(http.PAUSE * 2**fruitless)

    def _start(self) -> int:
        """Bytes to go on from: those of any source when a digest will tell, else those of this version alone."""
        size = _size(self._file)
        usable = self._resumes and (self._sha256 or self._version.strong)
        return size if usable and (self._length is None or size <= self._length) else 0

    def _receive(self, start: int, hurried: bool) -> Version | None:
        if start == 0 or start != self._length:
            with asked(self._source, self._connection, self._conditions(start), start) as answer:
                if answer is None or (self._unless and answer.version == self._unless):
                    return None
                self._version = answer.version
                if self._tag and answer.start == 0:
                    self._file.unlink(missing_ok=True)  # first: no tag is ever beside bytes of another version
                    self._tag.write_text(answer.version.etag, encoding="latin-1")
                self._append(answer, hurried)
        self._check()
        if self._tag:
            self._tag.unlink(missing_ok=True)
        return self._version

    def _conditions(self, start: int) -> dict[str, str]:
        if start:
            return {"If-Range": self._version.etag} if self._version.strong else {}
        known = self._unless or Version()
        asks = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
        return {name: value for name, value in asks.items() if value}

    def _append(self, answer: Answer, hurried: bool) -> None:
        total = answer.total if self._length is None else self._length
        if answer.start and answer.total not in (None, total):
            raise OtherRange(f"has {answer.total} bytes, not {total}")
        if self._length is None and (total or 0) > self._limit:
            raise TooLong(self._limit)
        received = answer.start
        require_room(self._file, (total or received) - received)
        with self._file.open("ab") as file, progress(f"fetching {self._name}", total, received) as advance:
            file.truncate(received)
            for chunk in _at_pace(answer.chunks()) if hurried else answer.chunks():
                received += len(chunk)
                if total is not None and received > total:
                    raise Mismatch(f"is longer than {spaced(total)} bytes")
                if self._length is None and received > self._limit:
                    raise TooLong(self._limit, came=True)
                require_room(self._file, len(chunk))
                file.write(chunk)
                advance(len(chunk))
        if total is not None and received < total and received != answer.total:
            raise Cut(f"ends after {spaced(received)} of {spaced(total)} bytes")

    def _check(self) -> None:
        size = _size(self._file)
        found = sha256_of(self._file)
        if self._sha256 not in (None, found) or self._length not in (None, size):
            raise Mismatch(f"is {found[:12]}… ({spaced(size)} bytes)")


def _at_pace(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass the chunks on. Raises Slow when they come at less than _LEAST over _WINDOW."""
    began, received = time.monotonic(), 0
    for chunk in chunks:
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - began
        if seconds >= _WINDOW:
            if received < _LEAST * seconds:
                raise Slow(f"sends {spaced(round(received / seconds))} bytes a second")
            began, received = time.monotonic(), 0


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
