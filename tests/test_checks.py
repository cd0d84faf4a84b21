"""The hooks of pre-commit and the workflows run the commands that scripts/test and CONTRIBUTING.md name.

Read as text: no package that reads YAML is installed for the tests.
"""

from __future__ import annotations

import configparser
import re

from tests.conftest import ROOT


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_pre_commit_has_the_checks_of_scripts_test() -> None:
    checks = re.findall(r'^"\$VENV/bin/(.+)$', text("scripts/test"), re.MULTILINE)
    hooks = re.findall(r"^ +entry: \.venv/bin/(.+)$", text(".pre-commit-config.yaml"), re.MULTILINE)
    assert hooks == [check.replace('"', "") for check in checks] == ["ruff check .", "ruff format --check .", "mypy"]


def test_the_workflow_runs_both_commands_on_every_python() -> None:
    workflow = text(".github/workflows/test.yml")
    setup = configparser.ConfigParser(interpolation=None)
    setup.read_string(text("setup.cfg"))
    versions = re.findall(r"Python :: ([\d.]+)", setup["metadata"]["classifiers"])
    assert re.findall(r'"([\d.]+)"', re.findall(r"^ +python: \[(.+)\]$", workflow, re.MULTILINE)[0]) == versions
    assert re.findall(r"^ +- run: (.+)$", workflow, re.MULTILINE) == ["scripts/quickstart", "scripts/test"]
    first, last = versions[0], versions[-1]
    assert f"Python {first} to {last} is needed" in text("scripts/venv")


def test_the_nightly_workflow_runs_what_each_push_does_not() -> None:
    ran = re.findall(r"^ +command: (.+)$", text(".github/workflows/nightly.yml"), re.MULTILINE)
    in_venv = 'source scripts/venv && "$VENV/bin/'
    assert [command.removeprefix(in_venv).replace('"', "").split(" --")[0] for command in ran] == [
        "scripts/test -m slow",
        "python -m scripts.fuzz",
        "python -m scripts.fuzz.command_line",
        "zoo check-links",
        "scripts/test-runtimes",
    ]
