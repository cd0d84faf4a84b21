"""Makes the notebooks in examples/notebooks, English and Chinese, from the examples: `python -m scripts.notebooks`.

A line `# %% Title`, indented or not, begins a new cell; the comments right below the line are the cell's text.
`# %% script` begins a part that notebooks leave out, `# %% notebook` a comment that becomes code in notebooks.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.notebooks_zh import CHINESE
from scripts.recipes_zh import RECIPES

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = (
    "text_classification",
    "entities",
    "semantic_search",
    "pair_similarity",
    "topic_clusters",
    "fill_mask",
    "question_answering",
    "domain_fine_tuning",
    "distillation",
)
LANGUAGES: Mapping[str, Mapping[str, str] | None] = {
    "": None,
    ".zh-CN": {**CHINESE, **RECIPES},
}  # suffix -> translations

_NOTICE = "Made from the example of the same name by `python -m scripts.notebooks`; changes made here will be lost."
_MARK = re.compile(r"^ *# %% (.+)\n", re.MULTILINE)
_COMMENTS = re.compile(r"(?: *#(?: .*)?\n)*")


@dataclass(frozen=True)
class Cell:
    """Title, text and code of a cell. Title and text are empty in a cell that only shows something."""

    title: str
    text: str
    code: str


def main() -> None:
    for file, text in notebooks().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
        print(file.relative_to(ROOT))


def notebooks() -> dict[Path, str]:
    """Return path -> content of every notebook. Raises KeyError, which lists the texts without a translation."""
    found = {}
    for example in EXAMPLES:
        source = (ROOT / "examples" / f"{example}.py").read_text(encoding="utf-8")
        for suffix, translations in LANGUAGES.items():
            found[ROOT / "examples/notebooks" / f"{example}{suffix}.ipynb"] = notebook(source, translations)
    return found


def notebook(source: str, translations: Mapping[str, str] | None = None) -> str:
    """Return an example as a notebook (nbformat 4.5)."""
    cells = list(cells_of(source))
    words = {word: word for cell in cells for word in (cell.title, cell.text)}
    if translations is not None:
        if missing := [word for word in words if word and word not in translations]:
            raise KeyError(f"scripts/notebooks_zh.py and scripts/recipes_zh.py have nothing for {missing}")
        words = {"": "", **translations}
    pages = []
    for number, cell in enumerate(cells):
        if cell.title:
            title, text = words[cell.title].rstrip(".。"), words[cell.text]
            pages.append(_page("markdown", f"{'##' if number else '#'} {title}\n\n{text}".strip(), number))
        if cell.code:
            pages.append(_page("code", cell.code, number) | {"execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"cells": pages, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def cells_of(source: str) -> Iterator[Cell]:
    """Yield the cells of an example. The first line of its docstring is the title of the first cell."""
    _, *parts = _MARK.split(source)
    yield Cell(source.removeprefix('"""').partition("\n")[0], _NOTICE, "")
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        comments = _COMMENTS.match(body)[0]  # type: ignore[index]  # it matches nothing too
        text = re.sub(r"(?m)^ *# ?", "", comments).strip("\n")
        if title == "notebook":
            yield Cell("", "", text)
        elif title != "script":
            code = textwrap.dedent(body[len(comments) :]).strip("\n")
            yield Cell(title, text.replace("\n", " "), code)


def _page(kind: str, source: str, number: int) -> dict[str, object]:
    lines = source.splitlines(keepends=True)
    return {"cell_type": kind, "id": f"{kind}-{number}", "metadata": {}, "source": lines}


if __name__ == "__main__":
    sys.exit(main())
