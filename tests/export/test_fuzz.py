"""scripts.fuzz for some seconds: no damaged file of any format is a fault, and faults would be told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest

from scripts.fuzz import __main__ as command
from scripts.fuzz.__main__ import Tally, fuzz, table
from scripts.fuzz.child import damaged
from scripts.fuzz.formats import FORMATS

BROKEN = "tests.export.broken"
CASES = 12  # of each format; a long run has 10,000


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def tallies(work: Path) -> Mapping[str, Tally]:
    return fuzz([*FORMATS], 1, range(CASES), work)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_refused_or_does_no_harm(name: str, tallies: Mapping[str, Tally]) -> None:
    tally = tallies[name]
    assert not tally.faults
    assert tally.tried == CASES == tally.refused + tally.accepted
    assert tally.refused, "some of it is found"


def test_a_case_is_the_same_whenever_it_is_made(work: Path, tallies: Mapping[str, Tally]) -> None:
    for name in ("tf1", "torch_zip", "bundle"):
        good = work / name / "good"
        first, again = ([damaged(FORMATS[name], Random(i), good) for i in range(CASES)] for _ in range(2))
        assert first == again
        assert len({content for _, content in first}) > CASES // 2, "and not all the same"


def test_faults_are_told(tmp_path: Path) -> None:
    """After a reader that ends the process, another child goes on."""
    tallies = fuzz(["refuses", "accepts", "raises", "aborts", "takes memory"], 0, range(1), tmp_path, module=BROKEN)
    assert [tally.tried for tally in tallies.values()] == [1] * 5
    assert [tally.refused for tally in tallies.values()] == [1, 0, 0, 0, 0]
    assert [tally.accepted for tally in tallies.values()] == [0, 1, 0, 0, 0]
    assert [len(tally.faults) for tally in tallies.values()] == [0, 0, 1, 1, 1]
    assert tallies["raises"].faults[0].startswith("case 0: ZeroDivisionError: integer division")
    assert tallies["aborts"].faults[0].startswith("case 0: the process ended with -6")
    assert tallies["takes memory"].faults == ["case 0: 1.5 GiB of memory"]
    assert "aborts               1        0         0       1" in table(tallies)


def test_a_reader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MOST_SECONDS", 0.5)
    assert fuzz(["hangs"], 0, range(1), tmp_path, module=BROKEN)["hangs"].faults == ["case 0: more than 1.0 seconds"]


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([Tally(3, 2, 1), Tally(3, 2, 0, ["case 7: a fault"])])
    monkeypatch.setattr(command, "fuzz", lambda formats, *_: {formats[0]: next(answers)})
    assert command.main(["--cases", "3", "--format", "h5"]) == 0
    assert command.main(["--cases", "3", "--format", "tf1", "--json"]) == 1
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{") :])["tf1"] == {
        "tried": 3, "refused": 2, "accepted": 0, "faults": ["case 7: a fault"]
    }  # fmt: skip
    assert command.main(["--format", "config", "--case", "1"]) == 0
    assert "config.json is damaged" in capsys.readouterr().out
