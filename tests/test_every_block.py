"""`scripts.every_block` leaves out lines for reasons that stand in a table; every row of its tables is needed."""

from __future__ import annotations

import re

from scripts.every_block import BEFORE, INSTEAD, NAMES, PAGES, REASONS, SCRIPTS, Row, blocks, runnable, table
from tests.conftest import ROOT


def test_lines_that_cannot_run_are_left_out_with_their_continuation() -> None:
    kept, reasons = runnable("zoo list\ndocker run \\\n  tensorflow/serving\nzoo url \\\n  bert\n")
    assert kept == "zoo list\nzoo url \\\n  bert" and reasons == (REASONS[r"docker |curl |localhost:8501|-d '"],)
    assert runnable("import zoo\nzoo.load('hf://a/b')") == ("", (REASONS["hf://|ms://|hfl/rbt3"],))
    assert runnable("zoo inspect PATH  # what it is") == (INSTEAD["zoo inspect PATH"], ())
    assert runnable("import zoo  # pip install '.[hf]'") == ("import zoo  # pip install '.[hf]'", ())


def test_every_row_of_the_tables_is_needed() -> None:
    code = {page: blocks(page) for page in PAGES}
    lines = [line for page in code.values() for _, block in page for line in block.replace("\\\n", "\0").splitlines()]
    lines += [f"examples/{name}" for name in SCRIPTS]
    assert not [pattern for pattern in REASONS if not any(re.search(pattern, line.split(" #")[0]) for line in lines)]
    assert {*INSTEAD} <= {line.split(" #")[0].strip() for line in lines} and {*BEFORE} <= {*code}
    assert not [key for key in NAMES if [language for language, _ in code[key[0]]].count("python") <= key[1]]
    named = {*SCRIPTS, *re.findall(r"python examples/(\w+\.py)", "\n".join(lines))}
    assert named == {file.name for file in (ROOT / "examples").glob("*.py")}


def test_the_table_says_what_did_not_run() -> None:
    rows = [
        Row("a.md", "1 sh", 1.25, ""),
        Row("a.md", "2 sh", -1, "", ("why",)),
        Row("b.md", "1 sh", 0.5, "no | file", ("x",)),
        *(Row("c.ipynb", f"cell {number}", number, "") for number in (1, 2)),
    ]
    assert table(rows).splitlines()[2:] == [
        "| a.md | 1 sh | 1.2 | ran |",
        "| a.md | 2 sh |  | not run: why |",
        "| b.md | 1 sh | 0.5 | **FAILED** no \\| file |",
        "| c.ipynb | 2 cells | 3.0 | ran |",
    ]
