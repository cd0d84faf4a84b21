"""Writes the static site of a built zoo: the catalogue page, a copy of every archive's card, and SHA256SUMS."""

from __future__ import annotations

from pathlib import Path

from zoo.archive.digests import sha256_of
from zoo.basics.files import cannot_write, written_file
from zoo.contract import REGISTRY_FILE, SCHEMA_FILE, SUMS_FILE
from zoo.site.dist import read_dist
from zoo.site.facts import facts
from zoo.site.page import render
from zoo.site.speed import SPEED_FILE, read_speeds

PAGE = "index.html"
CARDS = "cards"


def write_site(dist: Path) -> list[Path]:
    """Return the files that were written: cards/NAME.json of every archive, index.html, SHA256SUMS.

        write_site(Path("dist"))  # [Path("dist/cards/albert_tiny.json"), …, Path("dist/index.html"), …]

    The same directory gives the same bytes. Cards of models that have no archive any more are removed. SHA256SUMS has
    the format of the program sha256sum; it lists archives, cards, the registry, its schema, the page and speed.json.

    Raises BadRegistry, before anything is written, with every archive that is missing, has other bytes or holds no
    card; ZooError when Jinja2 is not installed; CannotWrite.
    """
    read = read_dist(dist)
    speeds = read_speeds(dist)
    page = render(read, facts(read, speeds), speeds)
    cards = {dist / CARDS / f"{name}.json": built.card_text for name, built in read.built.items()}
    for path, text in cards.items():
        _write(text, path)
    with cannot_write(dist / CARDS):
        for stale in set((dist / CARDS).glob("*.json")) - cards.keys():
            stale.unlink()
    _write(page.encode(), dist / PAGE)
    others = [dist / file for file in (REGISTRY_FILE, SCHEMA_FILE, SPEED_FILE, PAGE) if (dist / file).is_file()]
    sums = {path.relative_to(dist).as_posix(): sha256_of(path) for path in (*cards, *others)}
    sums |= {Path(built.file).as_posix(): built.sha256 for built in read.built.values()}  # read_dist compared these
    _write("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode(), dist / SUMS_FILE)
    return [*sorted(cards), dist / PAGE, dist / SUMS_FILE]


def _write(content: bytes, path: Path) -> None:
    with written_file(path) as temporary:
        temporary.write_bytes(content)
