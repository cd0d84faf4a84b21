"""Downloads one file from several sources: in order, continued where an answer broke off, checked before it counts."""

from __future__ import annotations

import errno
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.archive.digests import sha256_of
from zoo.basics.files import cannot_write, move_into_place, unique_beside
from zoo.basics.progress import progress
from zoo.transport import http
from zoo.transport.http import Answer, Version, requested
from zoo.transport.refusals import Cut, Expected, Mismatch, OtherRange, Refused, Slow, TooLong, failure, spaced

LIMIT = 4 << 30  # bytes of a file whose size is not recorded; the largest archive of this zoo has a third of them
RESERVE = 64 << 20  # bytes of the disk that stay free for others
_ATTEMPTS = 3  # in a row that did not make the file longer; then a source is given up
# While other sources wait, a source that sends less than this over so many seconds has to wait for them.
_HURRY_SECONDS = 20.0
_HURRY_BYTES = 32 << 10  # a second


@dataclass(frozen=True)
class _Turn:
    """One source's turn: how the attempts to fetch from this source have gone so far."""

    source: str
    others_wait: bool  # sources that were not asked yet: if this one is slow, they are asked first
    version: Version  # the server's name for the bytes on the disk
    longest: int  # bytes: the longest that the file has been
    measured_at: float  # when the measurement of the speed began, over all attempts
    measured_from: int  # `longest` at that time
    failures: int = 0  # attempts in a row that did not make the file longer
    restarts: int = 0  # how often the bytes on the disk did not fit what this source sent, and were removed
    whole: bool = False  # request the file from its first byte


def download(
    sources: Sequence[str],
    target: Path,
    expected: Expected | None = None,
    *,
    resume: bool = False,
    unless_version: Version | None = None,
    limit: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Version | None:
    """Write the file to `target` and return the version that its source names; None if that is `unless_version`.

        download(["https://a/x.tar.gz", "https://b/x.tar.gz", "/mnt/x.tar.gz"], Path("x.tar.gz"), digest)

    Sources are http(s) or file URLs or plain paths, tried in order. One that is too slow is put at the end of the
    queue, where it may take its time. Each may fail a few times; the next attempt continues where the last one stopped.

    `target` appears complete and checked, or not at all. With `resume`, it holds the bytes that have arrived so far,
    and the next call continues from there. That is safe if `expected` has a sha256. Without one there may be only one
    source; the file TARGET.etag beside the target then says which version the bytes belong to. Without `expected`,
    only the length that the server announces is checked.

    A file of unknown size may have `limit` bytes, by default 4 GiB. Some of the disk stays free. A source that sends
    less than a kilobyte a second, over a minute, is given up, even if it is the only one. `headers` go to every source:
    with a secret in them there may be only one.

    Raises DownloadFailed, or DigestMismatch when every source delivered other bytes; both name all sources and what
    each said. Raises CannotWrite when the target cannot be written.
    """
    from zoo.transport.sessions import session

    sha256, size = (expected.sha256, expected.size) if expected else (None, None)
    if resume and sha256 is None and len(sources) != 1:
        raise ValueError("resume needs the digest of the whole, or one source: parts of several may not fit")
    file = target if resume else unique_beside(target)
    tag = file.with_name(f"{file.name}.etag") if resume and sha256 is None else None
    queue = deque((source, False) for source in sources)  # True for one that was too slow before
    refusals: list[tuple[str, Refused]] = []
    turn: _Turn | None = None
    with cannot_write(target, kept=target if resume else None), session(headers) as connection:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            while turn or queue:
                if turn is None:
                    source, was_slow = queue.popleft()
                    turn = _begun(source, bool(queue) and not was_slow, tag, file)
                start = _first_byte(turn, file, sha256, size)
                try:
                    if start == 0 or start != size:
                        conditions = _conditions(turn, start, unless_version)
                        with requested(turn.source, connection, conditions, start) as answer:
                            if answer is None or (unless_version and answer.version == unless_version):
                                return None
                            # From here on the bytes on the disk are this answer's: if it is cut, continue from there.
                            # A source that refused two ranges answers none.
                            turn = replace(turn, version=answer.version, whole=turn.whole and turn.restarts > 1)
                            if tag and answer.start == 0:
                                file.unlink(missing_ok=True)  # first: a tag never stands beside another version's bytes
                                tag.write_text(answer.version.etag, encoding="latin-1")
                            _append(answer, file, target.name, size, LIMIT if limit is None else limit, turn)
                    _check(file, sha256, size)
                    if tag:
                        tag.unlink(missing_ok=True)
                    if not resume:
                        move_into_place(file, target)
                    return turn.version
                except Refused as refused:
                    following, reason = _after(turn, refused, start, file)
                    if following is None:
                        refusals.append((turn.source, reason))
                        if turn.others_wait and isinstance(reason, Slow):
                            queue.append((turn.source, True))
                    turn = following
        finally:
            if not resume:
                file.unlink(missing_ok=True)
    raise failure(target.name, refusals, expected, kept=_size(file) if resume else 0)


# -- one source's turn --------------------------------------------------------------------------------------------


def _begun(source: str, others_wait: bool, tag: Path | None, file: Path) -> _Turn:
    """Return a source's turn before its first attempt."""
    etag = tag.read_text(encoding="latin-1") if tag and tag.is_file() else ""
    version = Version(etag if etag.isprintable() else "")  # a damaged tag must not become a header
    return _Turn(source, others_wait, version, _size(file), time.monotonic(), _size(file))


def _first_byte(turn: _Turn, file: Path, sha256: str | None, size: int | None) -> int:
    """Return the number of bytes on the disk that the next attempt continues from; 0 if they may not fit.

    With a sha256, any bytes will do: it shows in the end whether they fit. Without one, they have to be of the version
    that the source still has, and only a strong ETag can say so.
    """
    there = _size(file)
    usable = not turn.whole and (sha256 is not None or turn.version.strong)
    return there if usable and (size is None or there <= size) else 0


def _conditions(turn: _Turn, start: int, unless_version: Version | None) -> dict[str, str]:
    """Return the request's headers that depend on versions.

    `If-Range: "a"` asks for the rest if the file is still version "a", else for all of it. `If-None-Match: "a"` and
    `If-Modified-Since` ask for the file only if it is another version.
    """
    if start:
        return {"If-Range": turn.version.etag} if turn.version.strong else {}
    known = unless_version or Version()
    headers = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
    return {name: value for name, value in headers.items() if value}


def _after(turn: _Turn, refused: Refused, start: int, file: Path) -> tuple[_Turn | None, Refused]:
    """Return the turn for the next attempt, None if the source is given up; and the refusal to report in that case."""
    if isinstance(refused, Mismatch | OtherRange):
        file.unlink(missing_ok=True)
        # The bytes that were there before may be the wrong ones: request the whole file. A second mismatch is the
        # fault of this source, whose bytes they were.
        if not start or (turn.restarts and isinstance(refused, Mismatch)):
            return None, refused
        now = time.monotonic()
        turn = replace(turn, whole=True, restarts=turn.restarts + 1, longest=0, measured_at=now, measured_from=0)
        return turn, refused
    if not isinstance(refused, Cut):
        return None, refused
    there = _size(file)
    failures = 0 if there > turn.longest else turn.failures + 1
    turn = replace(turn, failures=failures, longest=max(there, turn.longest))
    if failures == _ATTEMPTS or (turn.others_wait and isinstance(refused, Slow)):
        return None, refused
    from zoo.transport import patience

    # A server that sends one byte for each connection never fails and is never silent, but it is slow.
    if (seconds := time.monotonic() - turn.measured_at) >= patience.WINDOW:
        if problem := patience.too_slow(turn.longest - turn.measured_from, seconds):
            return None, refused if isinstance(refused, Slow) else Slow(problem)
        turn = replace(turn, measured_at=time.monotonic(), measured_from=turn.longest)
    time.sleep(http.PAUSE * 2**failures)
    return turn, refused


# -- bytes --------------------------------------------------------------------------------------------------------


def _append(answer: Answer, file: Path, name: str, size: int | None, limit: int, turn: _Turn) -> None:
    """Write an answer's bytes to the file, from byte `answer.start` on. Raises the kind of Refused that fits."""
    total = answer.total if size is None else size
    if answer.start and answer.total not in (None, total):
        raise OtherRange(f"has {answer.total} bytes, not {total}")
    if size is None and total is not None and total > limit:
        raise TooLong(limit)
    received, most = answer.start, limit if total is None else total
    _require_room(file, 0 if total is None else total - received)
    measured_at, measured_from = time.monotonic(), received
    with file.open("ab") as opened, progress(f"fetching {name}", total, received) as advance:
        opened.truncate(received)
        for chunk in answer.chunks():
            received += len(chunk)
            if received > most:
                break
            _require_room(file, len(chunk))
            opened.write(chunk)
            advance(len(chunk))
            if turn.others_wait and (seconds := time.monotonic() - measured_at) >= _HURRY_SECONDS:
                if received - measured_from < _HURRY_BYTES * seconds:
                    raise Slow(f"sends {spaced(round((received - measured_from) / seconds))} bytes a second")
                measured_at, measured_from = time.monotonic(), received
    if received > most:
        file.unlink()  # these bytes will never be a whole file
        raise TooLong(limit) if total is None else Mismatch(f"is longer than {spaced(total)} bytes")
    if total is not None and received < total and received != answer.total:
        raise Cut(f"ends after {spaced(received)} of {spaced(total)} bytes")


def _check(file: Path, sha256: str | None, size: int | None) -> None:
    """Raise Mismatch unless the file has the expected sha256 and size, as far as they are known."""
    found, there = sha256_of(file), _size(file)
    if sha256 not in (None, found) or size not in (None, there):
        raise Mismatch(f"is {found[:12]}… ({spaced(there)} bytes)")


def _require_room(file: Path, more: int) -> None:
    """Raise OSError (no space) unless `more` bytes fit on the disk and RESERVE bytes stay free."""
    free = shutil.disk_usage(file.parent).free
    if more > free - RESERVE:
        words = f"{spaced(more)} more bytes are needed, {spaced(free)} are free, {spaced(RESERVE)} must stay free"
        raise OSError(errno.ENOSPC, words)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
