"""What the command line prints, where, and with which exit code."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from filelock import FileLock

import zoo.command
import zoo.commands.listing
from tests.conftest import ROOT
from tests.localserver import LocalServer
from tests.zoo.small import SmallZoo, make_tokenizer_card, tree
from zoo.archive.card import write_card
from zoo.archive.digests import sha256_of
from zoo.archive.pack import pack
from zoo.basics import display
from zoo.command import main
from zoo.fetching.places import cache_directory
from zoo.fetching.registries import read_registry
from zoo.registry.entry import ArchiveRecord, Entry
from zoo.registry.writing import update_registry


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_list(small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "list", "--registry", small_zoo.registry)
    header, later, small = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["NAME", "KIND", "FAMILY", "LAYERS", "HIDDEN", "TOKENIZER", "ARCHIVE", "LICENCE", "FOR"]
    assert later.split() == ["later", "encoder", "albert", "4", "312", "small", *(["not", "built", "not", "stated"])]
    assert small.split()[:2] == ["small", "tokenizer"] and "KiB  " in small and small.endswith("  for tests")
    assert later.index("not built") == header.index("ARCHIVE")
    listed = json.loads(run(capsys, "list", "--json", "--registry", small_zoo.registry)[1])
    assert listed["small"]["archive"]["sha256"] == small_zoo.digest.sha256
    assert listed["later"]["urls"] == []


def test_the_list_says_what_models_are_for_in_the_persons_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"a": {"description": "one", "description_zh": "一"}, "b": {"description": "two"}}
    update_registry(tmp_path / "registry.json", {n: Entry(kind="tokenizer", **each) for n, each in words.items()})
    for language, ends in (("zh_CN.UTF-8", ["一", "two"]), ("de_DE.UTF-8", ["one", "two"]), ("", ["one", "two"])):
        monkeypatch.setenv("LC_ALL", language)
        monkeypatch.setenv("LC_MESSAGES", "")
        monkeypatch.setenv("LANG", "zh_TW.UTF-8" if language else "C")
        lines = run(capsys, "list", "--registry", tmp_path / "registry.json")[1].splitlines()[1:]
        assert [line.split()[-1] for line in lines] == ends


def test_a_part_of_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = ArchiveRecord(urls=["x.tar.gz"], sha256="a" * 64)
    rows = {
        "bert_wwm": Entry(kind="text", task="vector", archive=archive),
        "wwm_large": Entry(kind="text", task="span"),
        "rbt": Entry(kind="encoder", aliases=["RBT-wwm"]),
        "other": Entry(kind="encoder", archive=archive),
    }
    update_registry(tmp_path / "registry.json", rows)
    for words, names in (
        (["*WWM*"], ["bert_wwm", "rbt", "wwm_large"]),
        (["rb?", "oth*"], ["other", "rbt"]),
        (["--built"], ["bert_wwm", "other"]),
        (["*wwm*", "--task", "vector", "--built"], ["bert_wwm"]),
    ):
        out = run(capsys, "list", *words, "--registry", tmp_path / "registry.json")[1]
        assert [line.split()[0] for line in out.splitlines()[1:]] == names
    code, out, err = run(capsys, "list", "x*", "--built", "--task", "span", "--registry", tmp_path / "registry.json")
    assert (code, out) == (0, "")
    assert err.endswith(
        "registry.json has 4 models, none with a name like 'x*', of the task span, that is published or built here.\n"
    )


@pytest.mark.parametrize(
    ("width", "header", "last"),
    [
        (
            None,
            "NAME KIND FAMILY LAYERS HIDDEN TOKENIZER ARCHIVE LICENCE FOR",
            "中文的词向量，用于检索、相似度和聚类的模型",
        ),
        (
            140,
            "NAME KIND FAMILY LAYERS HIDDEN TOKENIZER ARCHIVE LICENCE FOR",
            "中文的词向量，用于检索、相似度和聚类的模型",
        ),
        (104, "NAME KIND FAMILY LAYERS HIDDEN TOKENIZER ARCHIVE FOR", "中文的词向量，用于检索、…"),
        (70, "NAME KIND FAMILY LAYERS HIDDEN ARCHIVE", "built"),
    ],
)
def test_the_list_fits_the_terminal(
    width: int | None,
    header: str,
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "中文的词向量，用于检索、相似度和聚类的模型"
    entry = Entry(kind="encoder", family="bert", layers=3, tokenizer="words", description=text, licence="Apache-2.0")
    rows = {"a_name_of_some_letters": entry, "words": Entry(kind="tokenizer")}
    update_registry(tmp_path / "registry.json", rows)
    monkeypatch.setattr(zoo.commands.listing, "_terminal_width", lambda: width)
    lines = run(capsys, "list", "a*", "--registry", tmp_path / "registry.json")[1].splitlines()
    assert lines[0].split() == header.split() and lines[1].split()[-1] == last
    assert width is None or max(display._width(line) for line in lines) <= width


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


def test_fetch_of_urls_and_archives(
    small_zoo: SmallZoo, server: LocalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """They ask no registry."""
    url = server.serve_directory(small_zoo.registry.parent) + "small.tar.gz"
    place, digest = str(cache_directory() / small_zoo.digest.sha256), small_zoo.digest.sha256
    asks_nobody = ("--registry", small_zoo.registry.with_name("none.json"))
    assert run(capsys, "fetch", url, small_zoo.archive, *asks_nobody) == (0, f"{place}\n{place}\n", "")
    assert run(capsys, "fetch", url, "--sha256", digest, *asks_nobody) == (0, f"{place}\n", "")
    code, _, err = run(capsys, "fetch", url, "--sha256", "c" * 64)
    assert code == 2 and f"should be sha256 cccccccccccc…, is {digest[:12]}…" in err
    code, _, err = run(capsys, "fetch", url, url, "--sha256", digest)
    assert (code, err) == (2, "zoo: --sha256 belongs to one archive: fetch one model at a time with it.\n")


def test_a_model_without_a_digest(small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    entry = Entry(kind="tokenizer", archive=ArchiveRecord(urls=["small.tar.gz"]))
    update_registry(small_zoo.registry, {"loose": entry})
    where = ("--registry", small_zoo.registry)
    for command in ("fetch", "verify"):
        code, out, err = run(capsys, command, "loose", *where)
        assert (code, out) == (2, "") and err.startswith("zoo: Unverified: ") and "--allow-unverified" in err
    place = cache_directory() / small_zoo.digest.sha256
    assert run(capsys, "fetch", "loose", "--allow-unverified", *where) == (0, f"{place}\n", "")
    assert "unverified" in run(capsys, "list", *where)[1]
    assert dict(line.split("  ", 1) for line in run(capsys, "info", "loose", *where)[1].splitlines())[
        "archive"
    ].strip() == ("unverified")


def test_a_wrong_name_is_told_before_anything_is_fetched(
    small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "fetch", "small", "smal", "--registry", small_zoo.registry)
    assert (code, out) == (2, "")
    assert err == "zoo: UnknownModel: no model 'smal'. Did you mean 'small' or 'old-small'? `zoo list` shows all 2.\n"
    assert list(cache_directory().iterdir()) == []


def test_letters_of_another_case_are_near(small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str]) -> None:
    """difflib alone finds no two letters of ALBERT_TINY in albert_tiny."""
    for name, near in (("SMALL", "'small'"), ("OLD_Small", "'old-small'")):
        err = run(capsys, "info", name, "--registry", small_zoo.registry)[2]
        assert err.startswith(f"zoo: UnknownModel: no model '{name}'. Did you mean {near}")


def test_verify_with_a_sha256(
    small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compared before anything is unpacked."""
    for model in (small_zoo.archive, "small"):
        wrong = run(capsys, "verify", model, "--sha256", "c" * 64, "--registry", small_zoo.registry)
        assert wrong[0] == 2 and wrong[2].startswith("zoo: DigestMismatch: ") and "cccc" in wrong[2]
    monkeypatch.setattr("zoo.loading.verify.verify", lambda directory: directory.name)
    assert run(capsys, "verify", small_zoo.archive, "--sha256", small_zoo.digest.sha256) == (0, "model\n", "")
    assert "64 hexadecimal digits" in run(capsys, "verify", small_zoo.archive, "--sha256", "abc")[2]


def test_verify_reads_the_archive_that_the_registry_names_here(
    small_zoo: SmallZoo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the copy that the cache has of the same sha256; without the archive it is that copy."""
    monkeypatch.setattr("zoo.loading.verify.verify", lambda directory: directory.name)
    where = ("--registry", small_zoo.registry)
    assert run(capsys, "fetch", "small", *where)[0] == 0
    assert run(capsys, "verify", "old-small", *where) == (0, "model\n", "")
    packed = bytearray(small_zoo.archive.read_bytes())
    packed[-9] ^= 1
    small_zoo.archive.write_bytes(packed)
    code, _, err = run(capsys, "verify", "small", *where)
    assert code == 2 and err.startswith(f"zoo: DigestMismatch: {small_zoo.archive} should be sha256 ")
    small_zoo.archive.unlink()
    assert run(capsys, "verify", "small", *where) == (0, f"{small_zoo.digest.sha256}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fetch", "later"), "zoo: NotBuilt: later is not published"),
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


@pytest.mark.parametrize("arguments", [[], ["lst"], ["info"], ["list", "--nonsense"], ["cache"], ["cache", "lst"]])
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
            "zoo: /x: Permission denied.\n",
        ),
        (OSError(28, "No space left on device"), 2, "zoo: No space left on device.\n"),
    ],
)
def test_interrupts_and_the_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, words: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(zoo.commands.listing, "read_registry", fail)
    assert run(capsys, "list") == (code, "", words)


# -- zoo cache ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(small_zoo: SmallZoo, directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Digests of two cached models, `small` and `other`, the second not used for ten days; one leftover beside."""
    (directory / "assets.extra" / "card.json").unlink()
    (directory / "assets" / "more").write_text("more")
    write_card(make_tokenizer_card(directory, name="other"), directory)
    pack(directory, tmp_path / "other.tar.gz")
    assert run(capsys, "fetch", small_zoo.archive, tmp_path / "other.tar.gz")[0] == 0
    digests = [small_zoo.digest.sha256, sha256_of(tmp_path / "other.tar.gz")]
    long_ago = time.time() - 10 * 86_400
    os.utime(cache_directory() / digests[1], (long_ago, long_ago))
    part = cache_directory() / f".{'e' * 64}.part"
    part.mkdir()
    (part / "later.tar.gz").write_bytes(b"x" * 2048)
    (cache_directory() / "mine.txt").write_text("somebody's")
    return digests


def names_in_cache() -> set[str]:
    return {name.partition("/")[0] for name in tree(cache_directory())}


def test_cache_list(cached: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "cache", "list")
    header, other, small = (line.split() for line in out.splitlines())
    assert code == 0 and header == ["NAME", "KIND", "SIZE", "SHA256", "USED"]
    assert (other[0], other[4]) == ("other", cached[1][:12]) and (small[0], small[4]) == ("small", cached[0][:12])
    assert other[5] < small[5]
    assert f"{cache_directory()} holds 2 models, " in err
    assert "1 leftover, 2.0 KiB, of runs that ended early: `zoo cache clean`" in err
    listed = json.loads(run(capsys, "cache", "list", "--json")[1])
    assert [model["sha256"] for model in listed["models"]] == [cached[1], cached[0]]
    assert listed["models"][0]["problem"] is None and listed["leftovers"][0]["size"] == 2048
    code, out, err = run(capsys, "cache", "clean", "--all")
    assert run(capsys, "cache", "list") == (0, "", f"{cache_directory()} holds 0 models, 0 B.\n")


def test_cache_verify_changes_nothing(cached: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "cache", "verify")
    assert (code, err) == (0, "") and [line.split()[-1] for line in out.splitlines()[1:]] == ["whole", "whole"]
    graph = cache_directory() / cached[0] / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[::-1])
    before = names_in_cache()
    code, out, err = run(capsys, "cache", "verify")
    assert code == 2 and [line.split()[-1] for line in out.splitlines()[1:]] == ["whole", "damaged"]
    assert "zoo: BadArchive: small in " in err and "saved_model.pb is sha256" in err
    assert f"`zoo cache clean {cached[0][:12]}` removes the damaged models" in err
    assert run(capsys, "cache", "verify", "other")[0] == 0
    code, out, _ = run(capsys, "cache", "verify", cached[0][:8], "--json")
    assert code == 2 and "saved_model.pb" in json.loads(out)[0]["problem"]
    (cache_directory() / cached[1] / "assets.extra" / "card.json").unlink()
    assert "damaged" in run(capsys, "cache", "list")[1].splitlines()[1]
    assert names_in_cache() == before
    code, _, err = run(capsys, "cache", "verify", "smal", "x")
    assert code == 2 and "'smal', 'x'. It holds ?, small." in err


def test_cache_clean_removes_leftovers_alone(cached: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    part = cache_directory() / f".{'e' * 64}.part"
    line = f"leftover, 2.0 KiB: {part}\n"
    assert run(capsys, "cache", "clean", "--dry-run") == (0, f"would remove {line}", "")
    assert part.is_dir()
    with FileLock(part.with_name(f".{'e' * 64}.lock")):
        assert run(capsys, "cache", "clean") == (0, "", f"left {part}: another process works on it.\n")
    assert run(capsys, "cache", "clean") == (0, f"removed {line}", "")
    assert names_in_cache() == {*cached, "mine.txt"}
    nothing = (
        f"{cache_directory()} has nothing to remove; its 2 models stay: --all or --older-than DAYS removes models.\n"
    )
    assert run(capsys, "cache", "clean") == (0, "", nothing)


@pytest.mark.parametrize(
    ("arguments", "left"),
    [(["small"], [1]), (["--older-than", "9.5"], [0]), (["--older-than", "11"], [0, 1]), (["--all"], [])],
)
def test_cache_clean_of_models(
    cached: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], left: list[int]
) -> None:
    before = names_in_cache()
    shown = run(capsys, "cache", "clean", *arguments, "--dry-run", "--json")[1]
    assert names_in_cache() == before
    done = run(capsys, "cache", "clean", *arguments, "--json")[1]
    assert json.loads(shown) | {"dry_run": False} == json.loads(done)
    assert len(json.loads(done)["removed"]) == 3 - len(left)
    assert names_in_cache() == {"mine.txt", *(cached[number] for number in left)}


def test_cache_clean_forgets_urls_of_models_that_are_gone(
    small_zoo: SmallZoo, server: LocalServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "fetch", server.serve("/small.tar.gz", small_zoo.archive.read_bytes()))
    assert len(names_in_cache()) == 2
    assert run(capsys, "cache", "clean")[0] == 0
    assert len(names_in_cache()) == 2
    shutil.rmtree(cache_directory() / small_zoo.digest.sha256)
    assert run(capsys, "cache", "clean")[1].count("\n") == 1
    assert names_in_cache() == set()
    empty = f"{cache_directory()} has nothing to remove; it holds 0 models.\n"
    assert run(capsys, "cache", "clean") == (0, "", empty)


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
    assert all(word in out for word in ("list", "info", "url", "fetch", "verify", "cache", "further", "broken"))


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
