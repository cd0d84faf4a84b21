"""Hooks of mkdocs: the READMEs and the changelog become pages, links between files become links between pages.

In the repository a link names a file, wherever it lies, as README.md or ../examples/string_tokens.py. On the site a
page is linked, and any other file is shown as its path.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# page of the site -> the file of the repository that it shows
PAGES = {"index.md": "README.md", "index.zh-CN.md": "README.zh-CN.md", "changelog.md": "CHANGELOG.md"}
REFERENCE = "reference.md"
_LINK = re.compile(r"(!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", flags=re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are no files of docs/."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, REFERENCE, content=reference()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Return a page whose links are those of the site."""
    shown = page.file.src_uri
    source = PAGES.get(shown, f"docs/{shown}")
    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(lambda link: _linked(link, source, files), part) for part in parts[::2]]
    return "".join(parts)


def _linked(link: re.Match[str], source: str, files: Files) -> str:
    target, _, anchor = link["target"].partition("#")
    if "://" in target or not target:
        return link[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    pages = {file: page for page, file in PAGES.items()}
    page = pages.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
    if page is None or files.get_file_from_path(page) is None:
        if not (ROOT / path).exists():
            raise ValueError(f"{source} links to {target}, which is not there")
        return link["text"] if path in link["text"] else f"{link['text']} (`{path}`)"
    return f"{link[1]}[{link['text']}]({page}{'#' + anchor if anchor else ''})"


def reference() -> str:
    """Return the page of everything public: `zoo` names it, mkdocstrings writes what the docstrings say."""
    import zoo

    errors = {name for name in dir(zoo) if isinstance(vars(zoo).get(name), type)}
    parts = [f"::: zoo.{name}\n" for name in dir(zoo) if name not in {*errors, "__version__"}]
    return "# Reference\n\n" + "\n".join([*parts, "::: zoo.errors\n"])
