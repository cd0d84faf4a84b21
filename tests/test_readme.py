"""The READMEs and the pages of docs/ by task: their Python runs, their commands exist, both languages show the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from export.options import EncoderRequest, TokenizerRequest
from export.pipeline import export_encoder, export_text, export_tokenizer
from export.planning import plan_text
from scripts.random_checkpoint import write
from tests.conftest import ROOT
from tests.export.tasks.conftest import write_case
from tests.localserver import running_server
from tests.once import packed_only
from zoo.command import main

READMES = ("README.md", "README.zh-CN.md")
PAGES = [
    f"docs/{page}.md" for page in ("use", "recipes", "contract", "install", "cache", "export", "own-zoo", "coming-from")
]
CHINESE = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.zh-CN.md"))
TRANSLATED = [READMES, *((page.replace(".zh-CN", ""), page) for page in CHINESE)]
IN_TURN = ("README.md", "docs/use.md", "docs/contract.md")  # a page goes on with the names of the one before


def blocks(readme: str, language: str) -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def without_comments(block: str) -> list[str]:
    return [line.split(" #")[0].rstrip() for line in block.splitlines()]


def numbers(page: str) -> list[str]:
    """Return every number of a page, sorted: none of names as float32, of link targets, of the registry's table."""
    text = (ROOT / page).read_text(encoding="utf-8")
    written = re.sub(r"<!-- models -->.*?<!-- /models -->", "", text, flags=re.DOTALL)
    return sorted(re.findall(r"(?<![A-Za-z_\d.,])\d(?:[\d,.]*\d)?", re.sub(r"\]\([^)]*\)", "]", written)))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models under the names that the pages use."""
    place = tmp_path_factory.mktemp("readme")
    write("albert_tiny", place / "checkpoint")
    planned = plan_text(EncoderRequest(write_case("vector: mean", place / "saved"), "bge_small_zh", place / "dist"))
    assert planned is not None
    with packed_only("preprocess"):
        export_encoder(EncoderRequest(place / "checkpoint", "albert_tiny", place / "dist"))
        export_tokenizer(TokenizerRequest(place / "checkpoint", "bert_tokenizer_chinese", place / "dist"))
        export_text(planned)
    return place / "dist"


@pytest.fixture
def names(dist: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    with running_server() as server:
        base = server.serve_directory(dist)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("ZOO_REGISTRY", f"{base}registry.json")
        monkeypatch.chdir(dist)
        yield {
            "encoder_url": f"{base}albert_tiny.tar.gz",
            "text_url": f"{base}bge_small_zh.tar.gz",
            "tokenizer_url": f"{base}bert_tokenizer_chinese.tar.gz",
        }


def run(pages: Sequence[str], names: dict[str, Any]) -> None:
    for page in pages:
        for block in blocks(page, "python"):
            exec(compile(block, page, "exec"), names)


def test_python_runs_as_it_stands(names: dict[str, Any]) -> None:
    run(IN_TURN, names)
    assert names["vectors"].shape == (1, 312)
    assert not names["encoder"].trainable_weights and len(names["model"].variables) > 10


@pytest.mark.slow
def test_lines_in_place_of_other_packages_run(names: dict[str, Any]) -> None:
    run(["docs/coming-from.md"], names)
    assert {name: names[name].shape for name in ("pooled", "state", "vectors")} == {
        "pooled": (None, 312),
        "state": (1, 4, 312),
        "vectors": (2, 32),
    }


@pytest.mark.parametrize("pages", TRANSLATED)
def test_both_languages_show_the_same(pages: tuple[str, str]) -> None:
    for language in ("python", "sh", "bash", "py"):
        ours, theirs = ([without_comments(block) for block in blocks(page, language)] for page in pages)
        assert ours == theirs
    headings, tables = (
        [
            [line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if re.match(mark, line)]
            for page in pages
        ]
        for mark in ("#+ ", r"\|-")
    )
    assert len(headings[0]) == len(headings[1]) and tables[0] == tables[1]
    assert numbers(pages[0]) == numbers(pages[1])
    for page, label, other in zip(pages, ("简体中文", "English"), reversed(pages), strict=True):
        assert f"[{label}]({Path(other).name})" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    sorted(
        {
            line
            for page in ("README.md", *PAGES)
            for block in blocks(page, "sh")
            for line in without_comments(block)
            if line.startswith("zoo ")
        }
    ),
)
def test_every_command_exists(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = shlex.split(line)[1:]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert not [word for word in arguments if word.startswith("--") and word not in shown]
