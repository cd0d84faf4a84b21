"""The page of published checkpoints says what the code does, and counts as many parameters as are published."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from export.readers import open_checkpoint
from scripts import compatible, layouts, transformers_layouts
from scripts.compatible import PAGES, Tried, page, try_row
from scripts.compatible_rows import Row, read_rows
from scripts.fuzz.table import masked_crc32c
from scripts.hollow import masked_crc32c_of_zeros
from tests.conftest import ROOT
from tests.export.conftest import odd_config

ROWS = {row.id: row for row in read_rows()}
SMALL = Row("somebody/small", "transformers", "pre-trained", "nowhere", "bert", (2, 32, 4, 56, 99, 40))


@pytest.fixture(scope="module")
def tried() -> list[Tried]:
    return [try_row(row) for row in read_rows()]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_does(name: str, tried: list[Tried]) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert text == page(tried, PAGES[name]), "run `python -m scripts.compatible`"


def test_parameters_equal_the_published_ones(tried: list[Tried]) -> None:
    known = {each.row.id: (each.counted, each.row.published) for each in tried if each.family and each.row.published}
    assert len(known) > 50
    assert not {id: counts for id, counts in known.items() if counts[0] != counts[1]}


def test_a_file_has_as_many_numbers_as_the_published_one() -> None:
    """Only sums over the layouts, which know nothing of the exporter."""
    wrong = {}
    for row in ROWS.values():
        if row.elements is not None:
            shapes = {name: shape for name, shape in row.shapes().items() if name != "global_step"}
            if (found := sum(map(prod, shapes.values()))) != row.elements:
                wrong[row.id] = (found, row.elements)
    assert not wrong


def test_sixty_published_checkpoints_and_more(tried: list[Tried]) -> None:
    assert len(ROWS) == len(tried), "an id stands twice in compatible.json"
    assert sum(bool(each.family) for each in tried) >= 60
    assert not [row.id for row in ROWS.values() if row.layout is None and not row.why]


def test_no_reason_is_of_this_machine(tried: list[Tried]) -> None:
    reasons = [each.refusal for each in tried if each.refusal]
    assert reasons and not [reason for reason in reasons if "/tmp" in reason or "\n" in reason or "|" in reason]


def test_a_stale_page_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compatible, "DOCS", tmp_path)
    monkeypatch.setattr(compatible, "read_rows", lambda: [SMALL])
    assert compatible.main(["--check"]) == 1
    assert "compatible.md, compatible.zh-CN.md: not what the code does" in capsys.readouterr().err
    assert compatible.main([]) == 0 and compatible.main(["--check"]) == 0
    (tmp_path / "compatible.md").write_text("86 of 134", encoding="utf-8")
    assert compatible.main(["--check"]) == 1


def test_a_wrong_count_is_shown() -> None:
    counted = try_row(SMALL).parameters
    for published, sign in ((counted, "="), (counted + 1, "≠")):
        text = page([try_row(replace(SMALL, published=published))], PAGES["compatible.md"])
        assert f"| {counted:,} {sign} |" in text


def test_a_model_that_is_not_converted_is_refused_in_one_sentence() -> None:
    decoder = replace(SMALL, config={"is_decoder": True})
    refusal = try_row(decoder).refusal
    assert refusal and refusal.startswith("the config describes a decoder") and refusal.endswith("are converted")
    assert "| `somebody/small` | pre-trained | the config describes" in page([try_row(decoder)], PAGES["compatible.md"])


def test_a_model_without_pooler_has_the_option_beside_it() -> None:
    row = replace(SMALL, heads=("span",), task="question answering")
    assert try_row(row).said[0] == "`--pooler first_token`"


@pytest.mark.parametrize("names", ["transformers", "TF1", "Model Garden"])
def test_a_hollow_checkpoint_is_opened_as_a_full_one(names: str, tmp_path: Path) -> None:
    row = replace(SMALL, names=names)
    row.write(tmp_path / "hollow")
    opened = open_checkpoint(tmp_path / "hollow")
    assert dict(opened.stored.shapes) == row.shapes()
    assert sum(file.stat().st_blocks for file in (tmp_path / "hollow").iterdir()) * 512 < 100_000


@pytest.mark.parametrize("count", [0, 1, 4, 100, 4097])
def test_the_checksum_of_zeros(count: int) -> None:
    assert masked_crc32c_of_zeros(count) == masked_crc32c(bytes(count))


@pytest.mark.parametrize(
    ("layout", "heads"), [("bert", ("masked LM", "next sentence")), ("electra", ("discriminator",))]
)
def test_both_lists_of_transformers_names_agree(layout: str, heads: tuple[str, ...]) -> None:
    """One was typed from files of weights, the other from transformers' source."""
    generator = {"generator_hidden_size": 24, "generator_intermediate_size": 28}
    config = odd_config(embedding_size=20, **generator)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in layouts.LAYOUTS[layout](config).items()}
    converted = {name: array.shape for name, array in layouts.transformers_arrays(arrays).items()}
    typed = transformers_layouts.LAYOUTS[layout](config)
    for head in heads:
        typed |= transformers_layouts.HEADS[head](config)
    typed.pop("cls.predictions.decoder.weight", None)  # a copy of the word table, which TF1's files do not have
    assert typed == converted
