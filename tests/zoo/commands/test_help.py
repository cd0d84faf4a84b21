"""Every command says in one line what it does, and its examples are commands that parse."""

from __future__ import annotations

import shlex
from importlib.metadata import entry_points

import pytest

from zoo.command import _parse, main
from zoo.commands import COMMANDS

NAMES = [*COMMANDS, *sorted(point.name for point in entry_points(group="zoo.commands"))]


def helped(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*argv, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, examples = helped(capsys, name).partition("\nexamples:\n")
    assert examples
    for line in examples.splitlines():
        program, *argv = shlex.split(line, comments=True)
        assert (program, argv[0]) == ("zoo", name)
        _parse(argv)


def test_the_list_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    said = helped(capsys)
    assert "see `zoo" not in said and "Turn a checkpoint into a verified archive." in said
    assert all(f"\n    {name}" in said for name in NAMES)
