"""Real sentences of what is installed: nothing is downloaded, and no text lies in this repository.

python -m benchmarks.sentences english 2000 > texts.txt     # one a line, as `zoo convert --calibrate` reads them
"""

from __future__ import annotations

import argparse
import ast
import gettext
import pydoc_data.topics
import random
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

LONGEST = 200  # characters
_ENGLISH = re.compile(r"[A-Z][^<>{}\\|=_*`]{20,198}[.!?]")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_MESSAGES = Path("/usr/share/locale")  # of Debian's packages


def english() -> list[str]:
    """Return sentences of the documentation of Python's own library, in an order that a seed gives."""
    found = (sentence for text in _documentation() for sentence in _sentences(text))
    return _shuffled(sentence for sentence in found if _ENGLISH.fullmatch(sentence))


def chinese() -> list[str]:
    """Return Chinese messages of this machine's programs, of 8 Chinese characters at least; [] if it has none."""
    return _shuffled(
        line.strip()
        for file in sorted(_MESSAGES.glob("zh_CN/LC_MESSAGES/*.mo"))
        for message in _messages(file)
        for line in re.split(r"[\n。]", message)
        if len(_CHINESE.findall(line)) >= 8 and len(line.strip()) <= LONGEST
    )


def _documentation() -> Iterator[str]:
    yield from pydoc_data.topics.topics.values()
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted(library.rglob("*.py")):
        if {"site-packages", "test", "tests"} & {*file.relative_to(library).parts}:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old escapes in strings
                tree = ast.parse(file.read_bytes())
        except SyntaxError:  # files of lib2to3's tests
            continue
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        yield from (ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented))


def _sentences(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        yield from re.split(r"(?<=[.!?]) (?=[A-Z])", " ".join(paragraph.split()))


def _messages(file: Path) -> list[str]:
    """Return the translations of a catalogue."""
    with file.open("rb") as opened:
        catalogue = vars(gettext.GNUTranslations(opened))["_catalog"]
    return [message for message in catalogue.values() if isinstance(message, str)]


def _shuffled(sentences: Iterator[str]) -> list[str]:
    """Return each sentence once."""
    unique = sorted(set(sentences))
    random.Random(7).shuffle(unique)
    return unique


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language", choices=("english", "chinese"))
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    sentences = english() if options.language == "english" else chinese()
    print(*sentences[: options.count], sep="\n")


if __name__ == "__main__":
    main()
