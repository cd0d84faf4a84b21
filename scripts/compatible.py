"""Writes docs/compatible.md: which published checkpoints convert, into what, and why the others do not.

    python -m scripts.compatible            # writes the page in both languages
    python -m scripts.compatible --check    # writes nothing; exit code 1 if a page is not what would be written

Every row of compatible.json is tried: its files are written at true size without the numbers, and inspected as `zoo
inspect` does. Family, parameters and what is left out come from the plan of an export, reasons from the errors.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from scripts.compatible_rows import Row, read_rows
from scripts.compatible_words import CHINESE, ENGLISH, Words
from zoo.basics.quiet import import_tensorflow_quietly
from zoo.errors import ZooError

DOCS = Path(__file__).parent.parent / "docs"
PAGES: Mapping[str, Words] = {"compatible.md": ENGLISH, "compatible.zh-CN.md": CHINESE}
_LONGEST = 200  # characters of a reason


@dataclass(frozen=True)
class Tried:
    """What became of one row: the facts of its plan, or the reason why there is none."""

    row: Row
    refusal: str | None = None
    family: str = ""
    layers: str = ""  # "12 / 768 / 12 / 3,072, E 128"
    tables: str = ""  # "21,128 / 512 / 2"
    activation: str = ""
    parameters: int = 0
    besides: Mapping[str, int] = field(default_factory=dict)  # parameters that only the publisher counts
    said: tuple[str, ...] = ()  # the option that an export takes, what is left out, what was noted

    @property
    def counted(self) -> int:
        """The parameters as the publisher counts them."""
        return self.parameters + sum(self.besides.values())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; compare the pages with the code")
    check = parser.parse_args(arguments).check
    import_tensorflow_quietly()
    tried = [try_row(row) for row in read_rows()]
    stale = []
    for name, words in PAGES.items():
        file, text = DOCS / name, page(tried, words)
        if not check:
            file.write_text(text, encoding="utf-8", newline="\n")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"{', '.join(stale)}: not what the code does. Run `python -m scripts.compatible`.", file=sys.stderr)
    return int(bool(stale))


# -- one row ----------------------------------------------------------------------------------------------------------


def try_row(row: Row) -> Tried:
    """Return what the exporter makes of a checkpoint with the names, shapes and config of a row."""
    if row.layout is None:
        return Tried(row)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "checkpoint"
        row.write(folder)
        try:
            return _inspected(row, folder)
        except ZooError as error:
            text = str(error).replace(f"{folder}/", "").replace(str(folder), "this checkpoint")
            return Tried(row, refusal=_first_sentence(text))


def _inspected(row: Row, folder: Path) -> Tried:
    """Take everything from `zoo inspect`. All numbers are zeros, which no trained head has, so heads are left out."""
    from export.inspect import inspect_checkpoint

    found = inspect_checkpoint(folder)
    if found.export_options is None:
        found.plan.checked("this checkpoint")
    config = found.config
    options = " ".join(found.export_options or ()).replace("--vocab FILE", "").strip()
    left_out, notes = ", ".join(found.plan.left_out), map(_first_sentence, found.notes)
    parameters = sum(prod(variable.shape) for variable in found.plan.variables if variable.sources)
    projected = f", E {config.embedding_size:,}" if config.embedding_size != config.hidden_size else ""
    return Tried(
        row,
        family=found.family,
        layers=f"{config.layers} / {config.hidden_size:,} / {config.heads} / {config.intermediate_size:,}{projected}",
        tables=f"{config.vocab_size:,} / {config.position_limit:,} / {config.type_vocab_size}",
        activation=config.activation,
        parameters=parameters,
        besides=row.counted_besides() if row.published else {},
        said=tuple(filter(None, (options and f"`{options}`", left_out and f"left out: {left_out}", *notes))),
    )


def _first_sentence(text: str) -> str:
    sentence = re.split(r"(?<=\.)\s+(?=[A-Z`])", text.strip())[0].removesuffix(".")
    return sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST]}…"


# -- the page ---------------------------------------------------------------------------------------------------------


def page(tried: Sequence[Tried], words: Words) -> str:
    """Return the page in one language."""
    done = [each for each in tried if each.family]
    of_kind: dict[str, list[list[str]]] = {kind: [] for kind in words.sections}
    for each in tried:
        task = each.row.task
        if each.family:
            kind, cells = task if task in of_kind else "fine-tuned", _facts(each, words)
        else:
            kind, cells = "refused" if each.refusal else "not tried", [each.refusal or each.row.why or ""]
        of_kind[kind].append([f"`{each.row.id}`", _task(each.row, words), *cells])
    parts = [words.about.format(all=len(tried), done=len(done))]
    for kind, rows in of_kind.items():
        if rows:
            head = words.reasons if kind in ("refused", "not tried") else words.columns
            parts += [f"## {words.sections[kind]}", _table(head, rows)]
    return "\n\n".join(parts) + "\n"


def _facts(tried: Tried, words: Words) -> list[str]:
    row = tried.row
    return [
        ", ".join(filter(None, (row.names, row.files))),
        tried.family,
        tried.layers,
        tried.tables,
        tried.activation,
        _count(tried, words),
        words.tokenizers[row.tokenizer],
        row.licence or words.not_known,
        "; ".join(tried.said),
    ]


def _task(row: Row, words: Words) -> str:
    steps = ", ".join(words.steps[step].format(dense=row.dense) for step in row.pooling)
    return words.tasks[row.task] + (f": {steps}" if steps else "")


def _count(tried: Tried, words: Words) -> str:
    """Return the parameters, and "=" where the published weights are known to have as many."""
    row, count = tried.row, f"{tried.parameters:,}"
    if row.published is None:
        return count
    if tried.besides:
        count += f"; {words.counted_with.format(part=', '.join(tried.besides), count=tried.counted)}"
    return f"{count} {'=' if tried.counted == row.published else '≠'}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", "|" + "-|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)])


if __name__ == "__main__":
    sys.exit(main())
