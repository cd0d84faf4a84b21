"""The classification example learns what frozen weights do not give, in both Keras; the notebooks are made from it."""

from __future__ import annotations

import importlib.util
import json
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from examples import text_classification as example
from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples/notebooks/text_classification.ipynb"
HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None


def settings(**changes: Any) -> dict[str, Any]:
    """What makes small random weights learn in a few seconds."""
    return {"epochs": 4, "learning_rate": 2e-3, "verbose": 0, **changes}


def assert_learnt(results: dict[str, Any]) -> None:
    assert results["trainable"] >= 0.9
    assert results["frozen"] < results["trainable"] - 0.2 and results["majority_class"] < 0.6
    assert results["largest_difference_after_loading"] <= 1e-6


def code_cells(file: Path) -> list[str]:
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


# -- learning -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("keras", [3, 2])
def test_the_cells_of_the_notebook_run(
    keras: int, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo_copy, saved = tmp_path / "zoo", tmp_path / "saved"
    shutil.copytree(registry.parent, zoo_copy)
    monkeypatch.setenv("ZOO_REGISTRY", str(zoo_copy / registry.name))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in code_cells(NOTEBOOK):
        if HAS_MATPLOTLIB or not cell.startswith("plot("):
            exec(compile(cell, NOTEBOOK.name, "exec"), names)
        if "settings = SimpleNamespace(" in cell:
            vars(names["settings"]).update(settings(keras=keras, save=saved))
    assert_learnt(names["results"])
    assert Path("learning_curve.png").is_file() == HAS_MATPLOTLIB
    assert Path("dist/my_classifier.tar.gz").is_file() == (keras == 3)

    before = names["model"].predict(names["test"], verbose=0)
    for directory in (zoo_copy, tmp_path / "cache"):
        shutil.rmtree(directory)
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    loaded = names["keras"].models.load_model(saved / ("model.keras" if keras == 3 else "model"))
    np.testing.assert_allclose(loaded.predict(names["test"], verbose=0), before, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("trained", "epochs"), [(64, 1), pytest.param(1600, 4, marks=pytest.mark.slow)])
def test_reviews_of_files_as_a_command(
    trained: int, epochs: int, registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, files = example.made_up("single", 2), [tmp_path / "train.jsonl", tmp_path / "test.jsonl"]
    for file, part in zip(files, (rows[:trained], rows[1600 : 1600 + trained // 2]), strict=True):
        lines = [json.dumps({"sentence": texts[0], "label": int(label)}) for texts, label in part]
        file.write_text("\n".join(lines), encoding="utf-8")
    curve = tmp_path / "plots/curve.png"
    options = [
        "--registry",
        registry,
        "--task",
        "single",
        "--epochs",
        epochs,
        "--learning-rate",
        2e-3,
        "--jsonl",
        *files,
    ]
    options += ["--plot", curve] if HAS_MATPLOTLIB else []
    assert example.main([*map(str, options), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    if epochs > 1:
        assert_learnt(results)
    assert results["largest_difference_after_loading"] <= 1e-6
    assert [len(results["history"][stage]["val_accuracy"]) for stage in ("frozen", "trainable")] == [epochs] * 2
    assert not HAS_MATPLOTLIB or curve.read_bytes().startswith(b"\x89PNG")


class Letters:
    """In the place of a tokenizer: the texts stay texts."""

    def preprocess(self, texts: Any, seq_length: int) -> Any:
        return texts


def test_a_seed_fixes_texts_order_and_first_weights() -> None:
    def begun(seed: int) -> tuple[Any, ...]:
        keras.utils.set_random_seed(seed)  # as `run` does before all else
        rows = example.made_up("single", seed)[:40]
        data = example.dataset(rows, ["0", "1"], Letters(), 9, 40, seed)
        epochs = [[texts for batch, _ in data for texts in batch.numpy().tolist()] for _ in range(2)]
        return rows, epochs, keras.layers.Dense(2)(np.eye(3)).numpy().tolist()

    first, again, other = begun(3), begun(3), begun(4)
    assert first == again
    assert first[1][0] != first[1][1] and sorted(first[1][0]) == sorted(first[1][1]), "every epoch has its own order"
    assert all(mine != theirs for mine, theirs in zip(first, other, strict=True))


@pytest.mark.slow
def test_two_runs_print_the_same_numbers(registry: Path, tmp_path: Path) -> None:
    files = [tmp_path / "train.jsonl", tmp_path / "test.jsonl"]
    for file, seed in zip(files, (1, 2), strict=True):
        rows = [{"sentence": texts[0], "label": label} for texts, label in example.made_up("single", seed)[:96]]
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    told = ["--registry", str(registry), "--task", "single", "--epochs", "1", "--json", "--jsonl", *map(str, files)]
    command = [sys.executable, str(ROOT / "examples/text_classification.py"), *told]
    runs = [subprocess.run([*command, "--seed", seed], capture_output=True, text=True) for seed in ("5", "5", "6")]
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout != runs[2].stdout


# -- the rest of the command --------------------------------------------------------------------------------------


def test_a_table_for_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    results = {"trainable": 0.987, "frozen": 0.54, "majority_class": 0.5, "largest_difference_after_loading": 2e-8}
    results["archive"] = "dist/my_classifier.tar.gz"
    monkeypatch.setattr(example, "run", lambda settings: results)
    assert example.main(["--task", "single"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        ["ACCURACY", "single"],
        ["trainable", "98.7%"],
        ["frozen", "54.0%"],
        ["majority", "class", "50.0%"],
    ]
    assert lines[4] == ["archive", "dist/my_classifier.tar.gz"] and "2e-08" in lines[5]


def test_it_is_a_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["text_classification.py", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "examples/text_classification.py"), run_name="__main__")
    assert stopped.value.code == 0 and "--jsonl TRAIN TEST" in capsys.readouterr().out


GOOD_PAIR = '{"sentence1": "你好", "sentence2": "好\u2028", "label": "1", "id": 3}'
BAD_LINES = [
    ("pairs", "not JSON", "line 2: Invalid JSON: expected ident"),
    ("pairs", "", "line 2: Invalid JSON: EOF while parsing a value"),
    ("pairs", '["你好", "好"]', "line 2: Input should be an object"),
    ("pairs", '{"sentence1": "你好", "label": "1"}', "line 2: sentence2 Field required"),
    (
        "pairs",
        '{"sentence1": "你好", "sentence2": 5, "label": "1"}',
        "line 2: sentence2 Input should be a valid string",
    ),
    ("pairs", '{"sentence1": "你好", "sentence2": "好", "label": null}', "line 2: label Input should be a valid"),
    ("single", GOOD_PAIR, "line 1: sentence Field required; line 2: sentence Field required"),
]


@pytest.mark.parametrize(("task", "line", "said"), BAD_LINES)
def test_bad_lines_are_named(
    task: str, line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(f"{GOOD_PAIR}\n{line}\n{GOOD_PAIR}\n", encoding="utf-8-sig")
    assert example.main(["--task", task, "--jsonl", str(file), str(file), "--registry", "nowhere.json"]) == 2
    printed = capsys.readouterr()
    assert not printed.out and str(file) in printed.err and said in printed.err and f"--task {task}" in printed.err
    assert printed.err.count("\n") == 1


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"sentence": "\xe9"}')
    for file in (latin, tmp_path / "missing.jsonl"):
        assert example.main(["--task", "single", "--jsonl", str(file), str(file)]) == 2
        assert f"{file} cannot be read" in capsys.readouterr().err


def test_models_of_the_wrong_kind(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = ["--encoder", "bert_tokenizer_chinese", "--tokenizer", "albert_tiny"]
    assert example.main([*swapped, "--registry", str(registry)]) == 2
    assert "give the encoder first, its tokenizer as tokenizer=" in capsys.readouterr().err


def test_an_archive_is_of_keras_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main(["--keras", "2", "--export", "dist", "--registry", "nowhere.json"]) == 2
    assert "--export is of Keras 3" in capsys.readouterr().err


def test_a_plot_without_matplotlib_is_refused_before_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert example.main(["--plot", "curve.png", "--registry", "nowhere.json"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["pairs", "single"])
def test_made_up_texts_cannot_be_told_by_a_single_character(task: str) -> None:
    rows = example.made_up(task, 1)
    assert rows == example.made_up(task, 1) != example.made_up(task, 2)
    assert len(set(rows)) == len(rows) == 2000
    with_letter = Counter((letter, label) for texts, label in rows for letter in set("".join(texts)))
    labels = Counter(label for _, label in rows)
    for letter in {letter for letter, _ in with_letter}:
        agree = with_letter[letter, "1"] + labels["0"] - with_letter[letter, "0"]
        assert max(agree, len(rows) - agree) < 0.75 * len(rows)
