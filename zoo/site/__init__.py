"""Writes the static site of a built zoo: the catalogue page, cards and tokenizers of its archives, and SHA256SUMS."""

from __future__ import annotations

from pathlib import Path

from zoo.archive.digests import sha256_of
from zoo.basics.files import cannot_write, written_file
from zoo.contract import REGISTRY_FILE, SCHEMA_FILE, SUMS_FILE
from zoo.site.dist import read_dist
from zoo.site.facts import facts
from zoo.site.page import render
from zoo.site.runtime import copy_runtime, runtime_files
from zoo.site.speed import SPEED_FILE, read_speeds
from zoo.site.tokens import FOLDER as TOKENIZERS, tokenizer_files

PAGE = "index.html"
CARDS = "cards"


def write_site(dist: Path, onnxruntime_web: Path | None = None) -> list[Path]:
    """Return the files that were written: cards/NAME.json of every archive, tokenizers/…, index.html, SHA256SUMS.

        write_site(Path("dist"))  # [Path("dist/cards/albert_tiny.json"), …, Path("dist/index.html"), …]

    The same directory gives the same bytes. Cards and tokenizers of models that have no archive any more are removed.
    SHA256SUMS has the format of the program sha256sum; it lists archives and what belongs to the page.

    `onnxruntime_web` is the directory package/dist of that package of npm, two files of which are copied. The page of
    a directory that has these makes vectors in the browser, with the ONNX form of text archives.

    Raises BadArgument if these files are not there; BadRegistry, before anything is written, with every archive that is
    missing, has other bytes or holds no card; ZooError when Jinja2 is not installed; CannotWrite.
    """
    read = read_dist(dist)
    speeds = read_speeds(dist)
    if onnxruntime_web is not None:
        copy_runtime(onnxruntime_web, dist)
    tokens, tokenizers = tokenizer_files(read)
    runtime = runtime_files(dist)
    page = render(read, facts(read, speeds, tokens), speeds, runtime)
    files = {dist / CARDS / f"{name}.json": built.card_text for name, built in read.built.items()}
    files |= {dist / name: content for name, content in tokenizers.items()}
    for path, text in files.items():
        _write(text, path)
    for folder in (dist / CARDS, dist / TOKENIZERS):
        with cannot_write(folder):
            for stale in set(folder.glob("*.json")) - files.keys():
                stale.unlink()
    _write(page.encode(), dist / PAGE)
    others = [dist / file for file in (REGISTRY_FILE, SCHEMA_FILE, SPEED_FILE, PAGE) if (dist / file).is_file()]
    sums = {path.relative_to(dist).as_posix(): sha256_of(path) for path in (*files, *others)}
    sums |= {Path(built.file).as_posix(): built.sha256 for built in read.built.values()}  # read_dist compared these
    sums |= {file.file: file.sha256 for file in (runtime or {}).values()}
    _write("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode(), dist / SUMS_FILE)
    return [*sorted(files), dist / PAGE, dist / SUMS_FILE]


def _write(content: bytes, path: Path) -> None:
    with written_file(path) as temporary:
        temporary.write_bytes(content)
