"""CONTRIBUTING.md and the templates of issues, taken literally: their files, commands and options exist."""

from __future__ import annotations

import configparser
import contextlib
import functools
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from tests.conftest import ROOT
from zoo.command import main

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")}
FOLDERS = (".github", "benchmarks", "docs", "examples", "export", "scripts", "tests", "tokenizer", "zoo")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+")  # NAME in `export/families/NAME.py`


def spans(text: str) -> list[str]:
    """Return what stands `between such marks`, also over the end of a line, and the lines of fenced blocks."""
    fences = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
    lines = [line.split(" #")[0].strip() for block in fences.findall(text) for line in block.splitlines()]
    inline = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", fences.sub("", text))]
    return [*inline, *filter(None, lines)]


def commands(text: str) -> list[str]:
    """Return the spans that are commands. `scripts/test` is one, since the file can be run; `zoo/basics/` is none."""
    starts = r"zoo |python -m |pip install |" + "|".join(
        re.escape(f"scripts/{path.name}") + r"(?: |$)" for path in (ROOT / "scripts").iterdir() if not path.suffix
    )
    return sorted({span for span in spans(text) if re.match(starts, span)})


def paths(text: str) -> list[str]:
    """Return the spans and links that are paths in the checkout. `DIR/registry.json` lies elsewhere."""
    inline = [span for span in spans(text) if re.fullmatch(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*", span)]
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    return sorted({*inline, *links})


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", paths(CONTRIBUTING))
def test_every_path_exists(path: str) -> None:
    """A placeholder stands for a name that a file has: `export/families/NAME.py`."""
    assert (ROOT / path).exists() or [*ROOT.glob(PLACEHOLDER.sub("*", path))]


def test_every_file_that_is_named_without_its_folder_exists() -> None:
    known = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert not {span for span in spans(CONTRIBUTING) if re.fullmatch(r"\w+\.py", span)} - known


def test_the_table_that_is_to_be_changed_is_in_the_file() -> None:
    """`FAMILIES` in `tests/export/conftest.py`: that file has the word."""
    named = re.findall(r"`(\w+)`\s+in\s+`([\w/]+\.py)`", CONTRIBUTING)
    assert named
    assert not [(word, path) for word, path in named if not re.search(rf"\b{word}\b", (ROOT / path).read_text("utf-8"))]


# -- commands ---------------------------------------------------------------------------------------------------------


def program(command: str) -> Path:
    """Return the file that a command runs: a script, or the module of `python -m`."""
    words = shlex.split(command)
    module = ROOT / words[2].replace(".", "/") if words[0] == "python" else ROOT / words[0]
    return module / "__main__.py" if module.is_dir() else module.with_suffix(".py") if words[0] == "python" else module


@functools.cache
def explained(command: str) -> str:
    """Return what `COMMAND --help` prints; of a script of the shell, and of a module without options, its text."""
    words = shlex.split(command)
    if words[0] == "zoo":
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
            main([*words[1:], "--help"])
        assert printed.getvalue().startswith(("usage: zoo", "zoo 0"))
        return printed.getvalue()
    text = program(command).read_text(encoding="utf-8")
    if words[0] != "python" or "argparse" not in text:  # --help would run it
        return text
    # In this process: most of these modules import TensorFlow, which is here already.
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [*words[2:], "--help"])
        with pytest.raises(SystemExit) as stopped, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that the module is here already
            runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    assert stopped.value.code == 0
    return printed.getvalue()


ALL = sorted({command for text in (CONTRIBUTING, *TEMPLATES.values()) for command in commands(text)})


@pytest.mark.parametrize("command", [command for command in ALL if not command.startswith("pip ")])
def test_every_command_explains_its_options(command: str) -> None:
    text = explained(command)
    options = [word for word in shlex.split(command) if word.startswith("--") and word not in ("--version", "--help")]
    assert not [option for option in options if option not in text]


def test_every_extra_is_in_setup_cfg() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = {name for command in ALL for group in re.findall(r"\[([\w,]+)\]", command) for name in group.split(",")}
    assert named and named <= {*setup["options.extras_require"]}


def test_options_that_stand_alone_are_those_of_a_command_in_their_paragraph() -> None:
    found = 0
    for paragraph in CONTRIBUTING.split("\n\n"):
        for option in (span for span in spans(paragraph) if re.match(r"--[\w-]+", span)):
            found += 1
            assert any(
                option.split()[0] in explained(command) for command in commands(paragraph) if command[:4] != "pip "
            ), option
    assert found


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "scripts").iterdir() if not path.suffix))
def test_scripts_of_the_shell_name_tests_that_there_are(script: str) -> None:
    if (path := ROOT / "scripts" / script).is_file():
        subprocess.run(["bash", "-n", path], check=True)
        for tests in re.findall(r"tests/[\w/.{},-]+", path.read_text(encoding="utf-8")):
            subprocess.run(["bash", "-c", f"ls -d {tests}"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_the_recipe_for_a_model_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands on registry.json end well and leave the registry of the checkout as it is."""
    recipe = [command for command in commands(CONTRIBUTING) if command.startswith("zoo registry ")]
    assert len(recipe) >= 2 and not [command for command in recipe if PLACEHOLDER.search(command)]
    shutil.copy(ROOT / "registry.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in recipe:
        assert main(shlex.split(command)[1:]) == 0
    assert (tmp_path / "registry.json").read_bytes() == (ROOT / "registry.json").read_bytes()


def test_templates_of_issues_ask_for_what_answers_them() -> None:
    assert commands(TEMPLATES["checkpoint.yml"])[-1] == "zoo inspect PATH --json"
    assert "zoo verify NAME --json" in commands(TEMPLATES["answer.yml"])
    assert all("zoo --version" in commands(text) for text in TEMPLATES.values())
