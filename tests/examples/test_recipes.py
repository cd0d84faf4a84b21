"""The recipes do what they say, twice the same, on a small zoo; they use public names alone, and explain themselves."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from examples import (
    distillation,
    domain_fine_tuning,
    entities,
    fill_mask,
    pair_similarity,
    question_answering,
    semantic_search,
)
from scripts.notebooks import EXAMPLES, cells_of
from tests.conftest import ROOT
from tests.export.tasks.conftest import write_case
from zoo.command import main
from zoo.registry.writing import own_registry, update_registry

RECIPES = [name for name in EXAMPLES if name != "text_classification"]
MASKS, SPANS = ("bert_fill_mask", "masks: bert"), ("mrc_roberta_wwm_large", "span: bert")  # cases of tests/export


@pytest.fixture
def names(registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Names mean the small zoo. Returns the working directory."""
    monkeypatch.setenv("ZOO_REGISTRY", str(registry))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- what they find ---------------------------------------------------------------------------------------------------


def test_a_search_finds_the_sentence_itself(names: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"bought a fish": "My aunt bought a fish in May.", "sang": "Our dog sang in May."}
    monkeypatch.setattr(semantic_search, "MATTERS", {"en": asked})
    monkeypatch.setattr(semantic_search, "WHO", {"en": "My aunt|Our dog"})
    found = semantic_search.run("all_minilm_l6_v2", k=2)
    rows = semantic_search.made_up("en", 1)
    assert [rows[places[0]][0] for places in found["places"]] == [*asked.values()]
    assert len(rows) == 120 and rows != semantic_search.made_up("en", 2) and found["found"] == 1
    assert found == semantic_search.run("all_minilm_l6_v2", k=2)


def test_pairs_get_the_cosines_of_their_vectors(names: Path) -> None:
    found = pair_similarity.run("bge_small_zh", "zh", seed=3)
    pairs, same = pair_similarity.pairs_of("zh", 3)
    vectors = zoo.TextEncoder("bge_small_zh").similarity(*zip(*pairs, strict=True)).diagonal()
    np.testing.assert_allclose(found["cosines"], vectors, rtol=0, atol=1e-5)
    assert len(same) == 60 and same.sum() == 30 and found["border"] in found["cosines"]
    right = [(cosine >= found["border"]) == each for cosine, each in zip(found["cosines"], same, strict=True)][30:]
    assert found["accuracy"] == np.mean(right)


@pytest.mark.parametrize("index", ["faiss", "hnswlib"])
def test_an_index_finds_what_numpy_does(index: str) -> None:
    pytest.importorskip(index)
    vectors = np.random.default_rng(1).normal(size=(300, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ours, exact = (semantic_search.nearest(each, vectors, vectors[:20], 5, 1) for each in (index, "numpy"))
    assert exact[:, 0].tolist() == [*range(20)]
    assert np.mean([len({*a} & {*b}) / 5 for a, b in zip(ours, exact, strict=True)]) > 0.9


@pytest.mark.slow
def test_topics_are_found_by_their_letters(names: Path) -> None:
    topic_clusters = pytest.importorskip("examples.topic_clusters", exc_type=ImportError)
    for language in ("en", "zh"):
        found = topic_clusters.run("all_minilm_l6_v2", language)
        assert len(found["labels"]) == 80 and {*found["labels"]} == {*range(5)} and found["agreement"] > 0.1
        assert found == topic_clusters.run("all_minilm_l6_v2", language)
    (names / "mine.txt").write_text("aaa aab\nzzz zzy\naab aaa\nzzy zzz\n", encoding="utf-8")
    found = topic_clusters.run("all_minilm_l6_v2", texts="mine.txt", topics=2)
    first, second, *others = found["labels"]
    assert others == [first, second] and first != second and found["agreement"] is None


def test_a_weight_learns_at_its_own_rate() -> None:
    layers = [keras.layers.Dense(3, use_bias=False) for _ in range(3)]
    model = keras.Sequential([keras.Input([3]), *layers])
    before = [layer.kernel.numpy() for layer in layers]
    model.compile(
        domain_fine_tuning.ByLayer({id(layers[0].kernel.value): 0.0, id(layers[1].kernel.value): 0.1}, 0.5), "mse"
    )
    model.fit(np.ones([4, 3]), np.full([4, 3], 9.0), verbose=0)  # Adam's first step is as long as the rate
    moved = [np.abs(layer.kernel.numpy() - old).max() for layer, old in zip(layers, before, strict=True)]
    np.testing.assert_allclose(moved, [0, 0.05, 0.5], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_last_layers_learn_the_words_of_a_domain(names: Path) -> None:
    def run(**how: Any) -> dict[str, Any]:
        return domain_fine_tuning.run("bge_small_zh", "zh", trainable="last:1", learning_rate=2e-3, epochs=6, **how)

    found = run()
    assert found["tuned"][-1] > 0.9 and found["tuned"][-1] > found["frozen"][-1]
    assert found["groups"][0] == "layer_1" and found["factors"][0] == 1


@pytest.mark.slow
def test_a_student_comes_nearer_to_its_teacher(names: Path) -> None:
    (names / "mine.txt").write_text("\n".join(distillation.made_up("zh", 2)[:200]), encoding="utf-8")

    def run(**how: Any) -> dict[str, Any]:
        return distillation.run("bge_base_zh", "albert_tiny", texts="mine.txt", epochs=3, learning_rate=1e-3, **how)

    found = run(export="dist")
    losses = found["loss"]["val_loss"]
    assert losses[-1] < 0.5 * losses[0] and found["after"] > found["before"]
    encode = zoo.TextEncoder(found["archive"])
    np.testing.assert_allclose(np.linalg.norm(encode(["邻居", ""]), axis=1), 1, rtol=0, atol=1e-5)
    again = run()
    assert (again["loss"], again["after"]) == (found["loss"], found["after"])


def test_labels_of_tokens_are_those_of_their_characters() -> None:
    rows = entities.made_up(40, 2)
    assert rows == entities.made_up(40, 2) != entities.made_up(40, 3) and len({text for text, _ in rows}) == 40

    class Tokenizer:
        """A token for each character but spaces, in one word."""

        def tokenize_with_offsets(self, texts: Any) -> Any:
            rows = [text.decode() for text in texts.numpy()]
            begins = [[len(row[:n].encode()) for n in range(len(row)) if row[n] != " "] for row in rows]
            ragged = tf.ragged.constant([[row] for row in begins])
            return ragged, ragged, ragged

    for (text, places), labels in zip(rows, entities.labels_of(Tokenizer(), rows, 20), strict=True):
        expected = ["O"] * len(text)
        for start, limit, kind in places:
            expected[start:limit] = [f"B-{kind}", *[f"I-{kind}"] * (limit - start - 1)]
        expected = [label for letter, label in zip(text, expected, strict=True) if letter != " "][:18]
        assert [entities.LABELS[label] for label in labels[1 : len(expected) + 1]] == expected
        assert labels[0] == -1 and {*labels[len(expected) + 1 :]} <= {-1}


def test_the_tokenizer_is_that_of_the_encoder(
    names: Path, registry: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(entities, "run", lambda **given: asked.append(given))
    rows = own_registry(registry).models
    other = rows["albert_tiny"].model_copy(update={"tokenizer": "other_words", "aliases": []})
    update_registry(names / "registry.json", {**rows, "other": other})
    monkeypatch.setenv("ZOO_REGISTRY", "registry.json")
    for argv in ([], ["--encoder", "other"], ["--encoder", "a.tar.gz", "--tokenizer", "b.tar.gz"]):
        monkeypatch.setattr("sys.argv", ["entities.py", *argv])
        entities.main()
    assert [given["tokenizer"] for given in asked] == ["bert_tokenizer_chinese", "other_words", "b.tar.gz"]
    monkeypatch.setattr("sys.argv", ["entities.py", "--encoder", "a.tar.gz"])
    with pytest.raises(SystemExit):
        entities.main()
    assert "give --tokenizer too" in capsys.readouterr().err


@pytest.mark.slow
def test_entities_are_learnt_and_answered_by_an_archive(names: Path) -> None:
    found = entities.run(count=500, epochs=12, learning_rate=3e-3)
    assert found["f1"] > 0.7 and found["loss"][-1] < 0.3 * found["loss"][0]
    assert main(["verify", str(found["archive"])]) == 0


@pytest.mark.slow
def test_masks_and_questions_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, case in (MASKS, SPANS):
        write_case(case, tmp_path / name)
        task = ["--task", "fill_mask"] if name == MASKS[0] else []
        assert main(["export", str(tmp_path / name), "--name", name, "--out", str(tmp_path / "out"), *task]) == 0
    monkeypatch.setenv("ZOO_REGISTRY", str(tmp_path / "out" / "registry.json"))
    found = fill_mask.run("bert_fill_mask", ["你[MASK] [MASK]", "好"])
    assert [[len(some) for some in of_text] for of_text in found["tokens"]] == [[5, 5], []]
    best = [some[0].decode().removeprefix("##") for some in found["tokens"][0]]
    assert found["filled"] == ["你{} {}".format(*best), "好"]
    found = question_answering.run("mrc_roberta_wwm_large", ["你好?", "w3?"], "好 w4，你 w5")
    for answer, marked in zip(found["answers"], found["marked"], strict=True):
        assert re.sub("[【】]", "", marked) == "好 w4，你 w5" and f"【{answer}】" in marked
    for name in ("fill_mask", "question_answering"):
        run_cells(name, tmp_path)


# -- how they are written ---------------------------------------------------------------------------------------------


def cells(recipe: str) -> list[str]:
    """The code of a notebook's cells."""
    source = (ROOT / "examples" / f"{recipe}.py").read_text(encoding="utf-8")
    return [cell.code for cell in cells_of(source) if cell.code]


def run_cells(recipe: str, place: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells(recipe):
        fewer = cell.replace('"last:3"', '"last:1"')  # the small model has two layers
        exec(compile(fewer, recipe, "exec"), found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [name for name in RECIPES if name not in ("fill_mask", "question_answering")])
def test_cells_run_as_they_stand(recipe: str, names: Path) -> None:
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package)
    plot = run_cells(recipe, names).get("plot")
    assert plot is None or (names / plot).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("recipe", EXAMPLES)
def test_public_names_alone_and_what_to_run_first(recipe: str) -> None:
    source = (ROOT / "examples" / f"{recipe}.py").read_text(encoding="utf-8")
    assert f"python examples/{recipe}.py" in source and (recipe not in RECIPES or len(source.splitlines()) <= 160)
    public = {name for name in dir(zoo) if not name.startswith("_")}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not re.match("zoo|export|tokenizer|scripts|tests|examples", node.module or "")
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if re.match(r"zoo\.|export|tokenizer|scripts", alias.name)]
        if isinstance(node, ast.Attribute):
            assert not re.match("_[^_]", node.attr)
            assert not isinstance(node.value, ast.Name) or node.value.id != "zoo" or node.attr in public
    assert "argparse" not in "".join(cells(recipe)) and "pip install" in source.partition("Before you begin")[2]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_help(recipe: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if recipe == "topic_clusters":
        pytest.importorskip("sklearn")
    monkeypatch.setattr("sys.argv", [recipe, "--help"])
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(f"examples.{recipe}").main()
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"python examples/{recipe}.py" in shown and "--" in shown
