"""What the command line prints, where, and with which exit code."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import zoo.command
from tests.localserver import LocalServer
from tests.zoo.small import SmallZoo
from zoo.cache import cache_directory
from zoo.command import main
from zoo.registry import read_registry, update_registry

ROOT = Path(__file__).parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_list(small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "list", "--registry", small_zoo.registry)
    header, later, small = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["NAME", "KIND", "FAMILY", "LAYERS", "HIDDEN", "TOKENIZER", "ARCHIVE"]
    assert later.split() == ["later", "encoder", "albert", "4", "312", "small", "not", "built"]
    assert small.split()[:2] == ["small", "tokenizer"] and small.endswith("KiB")
    assert later.index("not built") == header.index("ARCHIVE")
    listed = json.loads(run(capsys, "list", "--json", "--registry", small_zoo.registry)[1])
    assert listed["small"]["archive"]["sha256"] == small_zoo.digest.sha256
    assert listed["later"]["urls"] == []


def test_list_of_an_empty_registry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    update_registry(tmp_path / "registry.json", {})
    code, out, err = run(capsys, "list", "--registry", tmp_path / "registry.json")
    assert (code, out) == (0, "") and "holds no models yet" in err


def test_info(small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", "old-small", "--registry", small_zoo.registry)
    assert code == 0
    facts = dict(line.split("  ", 1) for line in out.splitlines())
    assert {name: value.strip() for name, value in facts.items()} == {
        "name": "small",
        "kind": "tokenizer",
        "description": "for tests",
        "vocab size": "21,128",
        "aliases": "old-small",
        "archive": f"{small_zoo.digest.size / 1024:.1f} KiB, sha256 {small_zoo.digest.sha256}",
        "urls": small_zoo.archive.as_uri(),
    }
    assert "not built" in run(capsys, "info", "later", "--registry", small_zoo.registry)[1]
    assert json.loads(run(capsys, "info", "later", "--json", "--registry", small_zoo.registry)[1])["layers"] == 4


def test_url(small_zoo: SmallZoo, server: LocalServer, capsys: pytest.CaptureFixture[str]) -> None:
    base = server.serve_directory(small_zoo.registry.parent)
    assert run(capsys, "url", "small", "--registry", base + "registry.json") == (0, f"{base}small.tar.gz\n", "")
    code, out, err = run(capsys, "url", "small", "--registry", small_zoo.registry)
    assert (code, out) == (0, small_zoo.archive.as_uri() + "\n")
    assert "use `zoo fetch small`" in err


def test_fetch(small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(cache_directory() / small_zoo.digest.sha256)
    assert run(capsys, "fetch", "small", "old-small", "--registry", small_zoo.registry) == (
        0,
        f"{place}\n{place}\n",
        "",
    )
    out = run(capsys, "fetch", "small", "--json", "--registry", small_zoo.registry)[1]
    assert json.loads(out) == {"small": place}


def test_a_wrong_name_is_told_before_anything_is_fetched(
    small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "fetch", "small", "smal", "--registry", small_zoo.registry)
    assert (code, out) == (2, "")
    assert err == "zoo: UnknownModel: no model 'smal'. Did you mean 'small' or 'old-small'? `zoo list` shows all 2.\n"
    assert list(cache_directory().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fetch", "later"), "zoo: NotBuilt: later is in "),
        (("verify", "nothing"), "zoo: UnknownModel: no model 'nothing'"),
        (("info", "nothing"), "zoo: UnknownModel"),
    ],
)
def test_errors_are_one_line_and_exit_code_2(
    small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(capsys, *arguments, "--registry", small_zoo.registry)
    assert (code, out) == (2, "")
    assert err.startswith(words) and err.count("\n") == 1


def test_verify_of_what_is_no_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page.tar.gz").write_text("<html>")
    code, _, err = run(capsys, "verify", tmp_path / "page.tar.gz")
    assert code == 2 and err.startswith("zoo: BadArchive: ") and "page.tar.gz is damaged" in err


@pytest.mark.parametrize("arguments", [[], ["lst"], ["info"], ["list", "--nonsense"]])
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: zoo")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, ""),
        (
            PermissionError(13, "Permission denied", "/x"),
            2,
            "zoo: PermissionError: [Errno 13] Permission denied: '/x'\n",
        ),
        (OSError(28, "No space left on device"), 2, "zoo: OSError: [Errno 28] No space left on device\n"),
    ],
)
def test_interrupts_and_the_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, words: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(zoo.command, "read_registry", fail)
    assert run(capsys, "list") == (code, "", words)


# -- commands of others -------------------------------------------------------------------------------------------


def offer(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(zoo.command, "entry_points", lambda group: [p for p in points if p.group == group])


def register(parser: argparse.ArgumentParser) -> object:
    """A further command, as export/ brings them."""
    parser.add_argument("--word")

    def go(arguments: argparse.Namespace) -> int:
        print(f"further {arguments.word}")
        return 3

    return go


def test_a_further_command_is_loaded_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_zoo: SmallZoo
) -> None:
    offer(
        monkeypatch,
        EntryPoint("further", f"{__name__}:register", "zoo.commands"),
        EntryPoint("broken", "no_such_package.command:register", "zoo.commands"),
        EntryPoint("list", "no_such_package.command:register", "zoo.commands"),  # ours is not taken over
    )
    assert run(capsys, "further", "--word", "x") == (3, "further x\n", "")
    assert run(capsys, "list", "--registry", small_zoo.registry)[0] == 0
    code, _, err = run(capsys, "broken")
    assert code == 2
    assert err == (
        "zoo: ZooError: `zoo broken` is no_such_package.command:register, which cannot be imported: "
        "No module named 'no_such_package'.\n"
    )
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(word in out for word in ("list", "info", "url", "fetch", "verify", "further", "broken"))


# -- as a process -------------------------------------------------------------------------------------------------


def test_python_m_zoo(small_zoo: SmallZoo) -> None:
    command = [sys.executable, "-m", "zoo", "info", "smal", "--registry", str(small_zoo.registry)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("zoo: UnknownModel: no model 'smal'. Did you mean 'small'")


def test_a_closed_pipe_is_quiet(small_zoo: SmallZoo) -> None:
    registry = read_registry(small_zoo.registry)
    update_registry(small_zoo.registry, {f"model{n}": registry.entry("later") for n in range(5000)})
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "zoo", "list", "--registry", str(small_zoo.registry)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    os.close(reader)
    assert process.communicate()[1] == ""
    assert process.returncode == 141
