"""No word on the command line, no file and no variable makes `zoo` end in anything but an exit code and a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

import zoo.commands.listing
from scripts.fuzz.command_line import Case, commands, fault, make_world, several_cases, single_cases
from tests.once import made_once

CASES = 80  # of some 12,000; `python -m scripts.fuzz.command_line` tries all


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "wrong-words", make_world)


def test_some_wrong_words(world: Path) -> None:
    cases = [*single_cases()]
    chosen = [*cases[:: len(cases) // CASES], *itertools.islice(several_cases(1), CASES // 3)]
    assert {str(case): found for case in chosen if (found := fault(case, world))} == {}


@pytest.mark.slow
def test_many_wrong_words(world: Path) -> None:
    chosen = itertools.chain(itertools.islice(single_cases(), 0, None, 5), itertools.islice(several_cases(2), 1000))
    assert {str(case): found for case in chosen if (found := fault(case, world))} == {}


def test_every_argument_of_every_command_is_tried() -> None:
    known = {command.name: command for command in commands()}
    assert {"list", "cache clean", "export", "build", "convert", "registry table"} <= known.keys()
    assert any("--max-length=nan" in case.argv and case.argv[0] == "export" for case in single_cases())
    assert {action.dest for action in known["verify"].actions} >= {"model", "sha256", "registry", "json"}


def raises(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (raises(KeyError("x")), "KeyError: 'x' at test_wrong_words.py"),
        (raises(zoo.ZooError("a ValueError: x")), "ValueError in "),
        (raises(zoo.ZooError("Traceback (most recent call last)")), "a traceback"),
        (lambda *_: (_ for _ in ()).throw(SystemExit(3)), "exit code 3"),
        (lambda *_: (_ for _ in ()).throw(SystemExit(2)), "exit code 2 without a word"),
    ],
)
def test_faults_are_seen(fails: Callable[..., None], words: str, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo.commands.listing, "read_registry", fails)
    assert words in (fault(Case(["list"]), world) or "")
