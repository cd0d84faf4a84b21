"""What is seen of long work: in a log a line every ten seconds, and nothing of short work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from zoo.basics.progress import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [0.0]
    monkeypatch.setattr("zoo.basics.progress.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("total", "words"), [(400, "fetching a: 25%, 100/400 [00:12<00:36"), (None, "fetching a: 100B")]
)
def test_a_line_every_ten_seconds(
    total: int | None, words: str, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("fetching a", total) as advance:
        for clock[0] in (1, 3, 9, 12, 21, 22.5):
            advance(25)
    first, second = capsys.readouterr().err.splitlines()
    assert first.replace("  ", " ").startswith(words) and "[00:22" in second


def test_nothing_is_said_if_not_asked_to(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("fetching", 3, shown=False) as advance:
        clock[0] = 60
        advance(1)
    assert capsys.readouterr().err == ""
