"""The documentation as a site: links become pages, code stays as it is, and every page has a place in the menu."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT

pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")

from scripts import docs_site


def shown(markdown: str, page: str) -> str:
    files: Any = SimpleNamespace(
        get_file_from_path=lambda path: path in {"text.md", "index.md", "catalogue.png"} or None
    )
    return docs_site.on_page_markdown(markdown, SimpleNamespace(file=SimpleNamespace(src_uri=page)), None, files)


@pytest.mark.parametrize(
    ("page", "given", "expected"),
    [
        ("index.md", "[a](docs/text.md#b)", "[a](text.md#b)"),
        ("text.md", "![a](catalogue.png) [b](../README.md)", "![a](catalogue.png) [b](index.md)"),
        ("text.md", "[example](../examples/string_tokens.py)", "example (`examples/string_tokens.py`)"),
        ("index.md", "[examples/string_tokens.py](examples/string_tokens.py)", "examples/string_tokens.py"),
        ("text.md", "`[a](b)` [c](https://d) [e](#f)", "`[a](b)` [c](https://d) [e](#f)"),
        ("text.md", "```\n[a](b)\n```", "```\n[a](b)\n```"),
    ],
)
def test_links(page: str, given: str, expected: str) -> None:
    assert shown(given, page) == expected


def test_a_link_to_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="docs/text.md links to nothing.md, which is not there"):
        shown("[a](nothing.md)", "text.md")


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "site").glob("*.html")}
    assert 'id="zoo.TextEncoder"' in pages["reference.html"]
    loaded = [
        found for text in pages.values() for found in re.findall(r'(?:src|<link[^>]+href)="(https?://[^"]+)"', text)
    ]
    assert not loaded
