"""A row of kind text: `zoo build` makes the text archive, and the command that is printed for it does the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.export.tasks.conftest import write_case
from tests.zoo.site.test_site import page_of
from zoo.command import main
from zoo.registry.entry import Entry, NoteSource, Recipe
from zoo.registry.recipes import option_words, stated_options
from zoo.registry.writing import own_registry, update_registry


@pytest.mark.slow
def test_zoo_build_of_a_text_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_case("vector: mean", tmp_path / "sources" / "small_texts")
    note = NoteSource(kind="note", text="a directory of sentence-transformers")
    row = Entry(kind="text", task="vector", licence="MIT", sources=[note], recipe=Recipe(max_length=20))
    update_registry(tmp_path / "registry.json", {"small_texts": row})
    assert option_words(stated_options("small_texts", note, {"small_texts": row})) == [
        *("--name", "small_texts", "--kind", "text", "--max-length", "20", "--licence", "MIT")
    ]
    out = tmp_path / "dist"
    command = ["build", "small_texts", "--registry", str(tmp_path / "registry.json"), "--out", str(out)]
    command += ["--sources", str(tmp_path / "sources")]
    onnx = ["--with", "onnx"] if find_spec("tf2onnx") else []
    assert main([*command, *onnx]) == 0, capsys.readouterr()
    built = own_registry(out / "registry.json").models["small_texts"]
    assert (built.kind, built.task, built.licence) == ("text", "vector", "MIT")
    card = page_of(out).cards["small_texts"]
    assert "golden texts were answered" in card and "a 1: " in card and "task" in card
    model = zoo.load_model(out / "small_texts.tar.gz")
    assert model.card.task.max_length == 20  # type: ignore[attr-defined]
    encode = zoo.TextEncoder(out / "small_texts.tar.gz")
    assert encode.max_length == 20
    if not onnx:
        pytest.skip("no tf2onnx: pip install 'bert-zoo[onnx]'")
    lite = zoo.lite.TextEncoder("small_texts", registry=out / "registry.json")
    np.testing.assert_allclose(lite(["你好", "good day"]), encode(["你好", "good day"]), rtol=0, atol=1e-5)
    assert zoo.info("small_texts_onnx", out / "registry.json").kind == "onnx"
    capsys.readouterr()
    assert main([*command, *onnx, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("--with onnx: then small_texts_onnx, ")
    assert main([*command, *onnx]) == 0
    assert "small_texts_onnx.tar.gz: made of the same archive before" in capsys.readouterr().err


def test_a_dry_run_of_adding_says_what_the_checkpoint_is_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_case("vector: mean", tmp_path / "texts")
    command = ["add", str(folder), "--name", "texts", "--out", str(tmp_path / "dist"), "--dry-run"]
    assert main(command) == 0
    assert "a text archive, vector" in capsys.readouterr().out
    assert main([*command, "--kind", "encoder"]) == 0
    assert "a text archive" not in capsys.readouterr().out


@pytest.mark.slow
def test_what_was_added_is_built_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources, out = tmp_path / "sources", tmp_path / "dist"
    folder = write_case("vector: mean", sources / "texts")
    options = ["--max-length", "20", "--prompts", "query=问：", "--cased", "--licence", "MIT"]
    assert main(["add", str(folder), "--name", "texts", "--out", str(out), *options]) == 0, capsys.readouterr()
    registry = own_registry(out / "registry.json")
    row = registry.models["texts"]
    assert registry.names() == ["texts"] and (row.kind, row.task, row.max_length) == ("text", "vector", 20)
    assert row.recipe == Recipe(max_length=20, prompts={"query": "问："}, cased=True) and row.tokenizer is None
    encode = zoo.TextEncoder(out / "texts.tar.gz")
    assert not np.array_equal(encode(["THE HOTEL"]), encode(["the hotel"]))
    again = ["build", "texts", "--registry", str(out / "registry.json"), "--out", str(tmp_path / "again")]
    assert main([*again, "--sources", str(sources)]) == 0, capsys.readouterr()
    assert (tmp_path / "again/texts.tar.gz").read_bytes() == (out / "texts.tar.gz").read_bytes()
    assert main(["add", str(folder), "--name", "ids", "--out", str(out), "--kind", "encoder"]) == 0
    assert own_registry(out / "registry.json").names() == ["ids", "ids_tokenizer", "ids_tokenizer_preprocess", "texts"]
