"""One process at a time works on a place; what killed processes left there is removed, what can be continued stays."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.zoo.small import tree
from zoo.basics.files import unique_beside
from zoo.basics.locks import locked, locked_if_free, part_of, remove_temporary


def test_only_one_holds_a_lock_and_the_other_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.basics.locks._SILENCE", 0.05)
    lock, order, held = tmp_path / "new" / ".x.lock", list[str](), threading.Event()

    def first() -> None:
        with locked(lock):
            held.set()
            waiting.wait(20)
            order.append("first")

    waiting = threading.Event()
    monkeypatch.setattr("zoo.basics.locks._log.warning", lambda *words: (order.append(words[-1]), waiting.set()))
    thread = threading.Thread(target=first)
    thread.start()
    held.wait(20)
    with locked_if_free(lock) as is_free:
        assert not is_free
    with locked(lock, "Somebody works there: waiting."):
        order.append("second")
    thread.join()
    assert order == ["Somebody works there: waiting.", "first", "second"]
    with locked_if_free(lock) as is_free:
        assert is_free


def test_a_part_stays_after_an_error_and_goes_when_all_is_well(tmp_path: Path) -> None:
    place = tmp_path / "x"
    with pytest.raises(KeyError), part_of(place) as part:
        assert part == tmp_path / ".x.part" and not part.exists()
        part.mkdir()
        raise KeyError
    assert tree(tmp_path) == []  # nothing has arrived
    with pytest.raises(KeyboardInterrupt), part_of(place) as part:
        part.mkdir()
        (part / "file").write_text("half")
        raise KeyboardInterrupt
    unique_beside(place).mkdir()
    unique_beside(tmp_path / "y").touch()
    with part_of(place) as part:
        assert (part / "file").read_text() == "half"
    assert [name.partition(".")[2].partition(".")[0] for name in tree(tmp_path)] == ["y"]


def test_what_others_write_is_not_removed(tmp_path: Path) -> None:
    for name in ("a[1]", "a1", "a[1].json", "b"):
        unique_beside(tmp_path / name).touch()
    remove_temporary(tmp_path / "a[1]")
    left = {path.name[1:].rsplit(".", 2)[0] for path in tmp_path.iterdir()}
    assert left == {"a1", "a[1].json", "b"}
