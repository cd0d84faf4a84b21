"""Registries that mean harm, or that another version wrote: what they may name, cost and print."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.conftest import ROOT
from tests.localserver import LocalServer, Reply
from tests.zoo.small import SmallZoo
from zoo.basics.display import printable
from zoo.basics.untrusted import BadJson, parse_strict_json
from zoo.command import main
from zoo.errors import BadRegistry, ZooError
from zoo.fetching.bundles import bundle, read_bundle
from zoo.fetching.installing import install
from zoo.fetching.places import installed_place
from zoo.fetching.registries import read_registry
from zoo.registry.registry import parse_registry
from zoo.transport.small import read_bytes


def text(**changes: Any) -> bytes:
    """A registry with one row."""
    row = {"kind": "tokenizer", "archive": {"urls": ["a.tar.gz"], "sha256": "a" * 64}, **changes}
    return json.dumps({"models": {"a": row}}).encode()


def with_url(url: str) -> bytes:
    return text(archive={"urls": ["https://host/a.tar.gz", url], "sha256": "a" * 64})


# -- which files it may name --------------------------------------------------------------------------------------

LOCAL_URLS = ("file:///etc/hostname", "FILE:///etc/hostname", "file:a.tar.gz", "C:\\a.tar.gz", "ftp://host/a.tar.gz")


@pytest.mark.parametrize("url", LOCAL_URLS)
def test_a_server_may_not_name_files_of_this_machine(server: LocalServer, url: str) -> None:
    place = server.serve("/registry.json", with_url(url))
    with pytest.raises(
        BadRegistry, match=r"models\.a\.archive: .*only a registry that is a local file may name others"
    ):
        read_registry(place)


def test_a_local_registry_may(tmp_path: Path, small_zoo: SmallZoo) -> None:
    (tmp_path / "registry.json").write_bytes(with_url(small_zoo.archive.as_uri()))
    assert read_registry(tmp_path / "registry.json").archive("a").urls[1] == small_zoo.archive.as_uri()


def test_paths_in_a_served_registry_start_at_the_server(server: LocalServer) -> None:
    for url, meant in (("/etc/passwd", "/etc/passwd"), ("../../../etc/passwd", "/etc/passwd"), ("a b", "/zoo/a b")):
        registry = read_registry(server.serve("/zoo/registry.json", with_url(url)))
        assert registry.archive("a").urls[1] == server.url + meant


def test_a_redirect_leads_to_no_file(server: LocalServer) -> None:
    url = server.serve("/registry.json", Reply(status=302, headers={"Location": "file:///etc/hostname"}))
    with pytest.raises(ZooError, match="No connection adapters were found"):
        read_bytes(url)


@pytest.mark.parametrize("url", [*LOCAL_URLS, "/etc/hostname", "../../small.tar.gz", "other.tar.gz"])
def test_nor_may_a_bundle(small_zoo: SmallZoo, tmp_path: Path, url: str) -> None:
    out = tmp_path / "small.tar"
    bundle("small", out, registry=small_zoo.registry)
    members = {}
    with tarfile.open(out) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            members[member.name] = file.read()
    registry = json.loads(members["registry.json"])
    registry["models"]["small"]["archive"]["urls"].append(url)
    members["registry.json"] = json.dumps(registry).encode()
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    with pytest.raises(BadRegistry, match=r"may name others|names files outside of it"):
        read_bundle(out)
    with pytest.raises(BadRegistry):
        install(out)
    assert not installed_place().exists()


# -- what it may cost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "twice"),
    [
        (b'{"models": {"a": {"kind": "encoder"}, "b": {"kind": "encoder"}, "a": {"kind": "tokenizer"}}}', "'a'"),
        (b'{"models": {}, "models": {"a": {"kind": "encoder"}}}', "'models'"),
        (b'{"models": {"a": {"kind": "encoder", "layers": 3, "layers": 4}}}', "'layers'"),
        (text().replace(b'"urls"', b'"sha256": "' + b"b" * 64 + b'", "urls"'), "'sha256'"),
    ],
)
def test_a_key_that_comes_twice_is_refused_by_name(tmp_path: Path, content: bytes, twice: str) -> None:
    (tmp_path / "registry.json").write_bytes(content)
    with pytest.raises(BadRegistry, match=f"is not a registry: it has {twice} twice in one object"):
        read_registry(tmp_path / "registry.json")


def test_json_that_is_none() -> None:
    assert parse_strict_json(b'{"a": [1, 2.5, null]}', 99) == {"a": [1, 2.5, None]}
    for content, words in (
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"\xff", "Invalid JSON: 'utf-8' codec"),
        (b"9" * 5000, "Invalid JSON: "),
        (b"[" + b"0," * 1_000_000 + b"0]", "it may hold 1,000,002 values; at most 1,000,000 are read"),
    ):
        with pytest.raises(BadJson, match=words):
            parse_strict_json(content, 1 << 24)
    with pytest.raises(BadJson, match="it has 100 bytes; at most 99 are read"):
        parse_strict_json(b" " * 100, 99)


def test_bad_rows_do_not_fill_the_memory() -> None:
    """Neither many of them, nor one that is all wrong."""
    code = """
import resource
from zoo.errors import BadRegistry
from zoo.registry.writing import parse_registry

def bad():
    yield b'"m":{"kind":"dog","x":1},' * 2_500_000 + b'"n":{}', "it has 62,500,"
    yield b",".join(b'"m%d":{"x":1}' % n for n in range(200_000)), "and more"
    yield b'"a":{' + b",".join(b'"k%d":1' % n for n in range(300_000)) + b"}", "is longer than"
    yield b'"a":{"kind":"encoder","aliases":[' + b"1," * 300_000 + b"1]}", "is longer than"

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))  # the machine is not to suffer when this fails
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for rows, words in bad():
    try:
        parse_registry(b'{"models":{' + rows + b"}}", "r.json")
    except BadRegistry as error:
        assert words in str(error) and len(str(error)) < 10_000, str(error)[:1000]
    else:
        raise AssertionError(words)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 500 << 10  # KiB, the text itself included


def test_a_large_registry_is_no_bad_one() -> None:
    row = json.loads((ROOT / "registry.json").read_bytes())["models"]["albert_base"]
    models = {f"model-{number}": row for number in range(10_000)}
    registry = parse_registry(json.dumps({"models": models}).encode(), "r.json")
    assert len(registry.models) == 10_000


def test_a_few_problems_are_told(tmp_path: Path) -> None:
    rows = {f"m{number}": {"kind": number} for number in range(1000)}
    with pytest.raises(BadRegistry) as caught:
        parse_registry(json.dumps({"models": rows}).encode(), "r.json")
    assert str(caught.value).count("kind: Input should be") == 20 and str(caught.value).endswith("; and more.")
    wide = {"a": {"kind": "encoder", "description": "x" * 70_000}}
    with pytest.raises(BadRegistry, match=r"models\.a: is longer than 65,536 characters"):
        parse_registry(json.dumps({"models": wide}).encode(), "r.json")
    with pytest.raises(BadRegistry, match="is longer than 65,536 characters"):
        parse_registry(json.dumps({"x": "x" * 70_000}).encode(), "r.json")


def test_the_limit_holds_for_every_source(tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.fetching.registries.MOST_REGISTRY", 1000)
    (tmp_path / "registry.json").write_bytes(text() + b" " * 1000)
    with pytest.raises(BadRegistry, match="is longer than 1,000 bytes"):
        read_registry(tmp_path / "registry.json")
    with pytest.raises(BadRegistry, match="is longer than 1,000 bytes"):
        read_registry(server.serve("/registry.json", text() + b" " * 1000))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"archive": {"urls": ["http://[x"]}}, "Invalid IPv6 URL"),
        ({"archive": {"urls": ["a"], "size": 10**400}}, "size: "),
        ({"parameters": 10**400}, "parameters: "),
        ({"layers": -1}, "layers: "),
        ({"family": "x" * 201}, "family: "),
        ({"aliases": ["x" * 201]}, "aliases"),
        ({"history": [{"url": "file:///etc/hostname"}]}, "history"),
    ],
)
def test_rows_that_would_fail_later(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRegistry, match=words):
        parse_registry(text(**changes), "r.json")


# -- what it may print --------------------------------------------------------------------------------------------

STEERING = (
    "\x1b[2J",
    "\x1b]52;c;aGk=\x07",
    "\x9b31m",
    "a\rb",
    "\u202egnp",
    "\u2066x",
    "\x08",
    "\x7f",
    "\u2028",
    "\ud800",
)
HARMLESS = "你好, naïve café — 👩\u200d🔬\u3000\u00a0\t\nمرحبا"


@pytest.mark.parametrize("odd", STEERING)
def test_what_steers_a_terminal_is_refused_in_a_registry(odd: str) -> None:
    for changes in (
        {"description": odd},
        {"licence": odd},
        {"family": odd},
        {"sources": [{"kind": "note", "text": odd}]},
    ):
        with pytest.raises(BadRegistry, match="has control characters, or others that steer a terminal") as caught:
            parse_registry(text(**changes), "r.json")
        assert odd not in str(caught.value)
    for content in (
        json.dumps({odd: 1}),
        json.dumps({"models": {odd: {"kind": "encoder"}}}),
        text(**{odd: 1}).decode(),
    ):
        with pytest.raises(BadRegistry) as caught:
            parse_registry(content.encode(), "r.json")
        assert odd not in str(caught.value) and printable(str(caught.value)) == str(caught.value)
    with pytest.raises(BadRegistry) as caught:
        parse_registry(text(**{"x\nzoo: all is well": 1}), "r.json")
    assert "\n" not in str(caught.value)
    assert parse_registry(text(description=HARMLESS), "r.json").entry("a").description == HARMLESS


@pytest.mark.parametrize("odd", STEERING)
def test_errors_do_not_steer_a_terminal(odd: str) -> None:
    for error in (ZooError(f"x {odd}"), BadRegistry(odd), zoo.CannotWrite(odd), zoo.UnknownModel(odd)):
        assert odd not in str(error) and "\\u" in str(error)
    assert printable(HARMLESS) == HARMLESS


def test_what_commands_print_does_not_steer_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "".join(STEERING[:-1])

    def prints(_: object) -> zoo.registry.Registry:  # type: ignore[name-defined]
        print(odd)
        logging.getLogger("zoo").warning("%s", odd)
        sys.stderr.writelines([odd, odd])
        raise OSError(2, odd)

    monkeypatch.setattr("zoo.commands.listing.read_registry", prints)
    assert logging.lastResort is not None  # what prints warnings where nobody has set up logging
    monkeypatch.setattr(logging.getLogger("zoo"), "handlers", [logging.lastResort])
    out, err = sys.stdout, sys.stderr
    assert main(["list"]) == 2
    assert (sys.stdout, sys.stderr) == (out, err)
    printed = capsys.readouterr()
    assert printed.out == printable(odd) + "\n" and printed.err.count("\\u001b[2J") == 4
    assert printable(printed.err) == printed.err
    with pytest.raises(SystemExit):
        main(["\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err


def test_json_stays_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    odd = "".join(STEERING)
    monkeypatch.setattr("zoo.commands.listing._described", lambda *_: {"name": odd})
    assert main(["info", "albert_tiny", "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": odd} and printable(printed) == printed


# -- installed names ----------------------------------------------------------------------------------------------

NEWER = json.dumps({"format": 2, "models": {}}).encode()
BROKEN: dict[str, Callable[[Path], object]] = {
    "empty": lambda place: place.write_bytes(b""),
    "damaged": lambda place: place.write_bytes(text()[:-9]),
    "newer": lambda place: place.write_bytes(NEWER),
    "wrong rows": lambda place: place.write_bytes(text(layers=-1)),
    "a directory": lambda place: place.mkdir(),
    "a dead link": lambda place: place.symlink_to("nowhere"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_registry_of_installed_names_is_skipped_and_mended(
    small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, case: str
) -> None:
    installed_place().parent.mkdir(parents=True)
    BROKEN[case](installed_place())
    assert main(["list"]) == 0
    assert "albert_tiny" in capsys.readouterr().out
    assert "albert_tiny" in zoo.names() and zoo.info("albert_tiny").kind == "encoder"
    (told,) = caplog.messages
    assert told.startswith("Installed models are left out: ") and "\n" not in told and str(installed_place()) in told
    assert told.endswith("`zoo install FILE` begins a new list.")
    out_file = small_zoo.registry.with_name("small.tar")
    bundle("small", out_file, registry=small_zoo.registry)
    caplog.clear()
    assert main(["install", str(out_file)]) == 0
    (told,) = caplog.messages
    assert "It was renamed to" in told and told.endswith("unreadable-1.json, and a new one was begun.")
    assert os.path.lexists(installed_place().with_name("unreadable-1.json"))
    caplog.clear()
    assert "small" in zoo.names() and caplog.messages == []


def test_a_skipped_registry_takes_one_line_of_stderr() -> None:
    installed_place().parent.mkdir(parents=True)
    installed_place().write_bytes(NEWER)
    done = subprocess.run([sys.executable, "-m", "zoo", "list"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "albert_tiny" in done.stdout
    assert done.stderr.startswith("Installed models are left out: ") and done.stderr.count("\n") == 1
