"""Text archives of fewer tokens, of half precision, of undecided heads, and of vectors that get the length 1 early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.convert.text_to_transformers import planned_text as planned_files, write_model
from export.oracle.texts import _moves
from export.text_certificate import golden_answers, golden_questions, sure_answers
from scripts.text_answers import PAIRS, TEXTS
from tests.export.tasks.conftest import answers, planned_text, text_model, write_case
from zoo.archive.card import TextCard, read_card
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.errors import Unsupported, VerificationFailed


def kept(folder: Path) -> Path:
    """Write a list of all tokens of a case but some that its texts do not need."""
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    unused = [token for token in tokens if token.startswith("w") and token[1:].isdigit() and int(token[1:]) > 30]
    assert len(unused) > 20
    file = folder.parent / "kept.txt"
    file.write_text("\n".join(token for token in tokens if token not in unused) + "\n", encoding="utf-8")
    return file


def test_with_fewer_tokens_the_answers_stay(tmp_path: Path) -> None:
    folder = write_case("classifier: bert", tmp_path / "saved")
    whole, fewer = planned_text(folder), planned_text(folder, keep_tokens=kept(folder))
    assert len(fewer.tokenizer.vocabulary) == fewer.encoder.config.vocab_size < len(whole.tokenizer.vocabulary) - 20
    assert fewer.apart()[2].vocabulary == fewer.tokenizer.vocabulary, "of --kind all, the tokenizer too"
    ours, theirs = text_model(fewer), text_model(whole)
    for texts in (TEXTS, PAIRS):
        for one, other in zip(answers(ours, texts), answers(theirs, texts), strict=True):
            np.testing.assert_allclose(one["logits"], other["logits"], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_card_states_the_drift_of_the_answers(tmp_path: Path) -> None:
    folder = write_case("classifier: bert", tmp_path / "saved")
    how = ["--keep-tokens", str(kept(folder)), "--dtype", "float16"]
    assert main(["export", str(folder), "--name", "half", "--out", str(tmp_path / "out"), *how]) == 0
    unpack(tmp_path / "out/half.tar.gz", tmp_path / "half")
    card = read_card(tmp_path / "half")
    assert isinstance(card, TextCard) and card.derivation and card.derivation.kept_tokens
    assert card.derivation.drift.keys() == {"logits", "scores"}
    assert 2e-5 < card.derivation.drift["logits"] < 0.1, "rounded matrices, but the same model"
    assert main(["verify", str(tmp_path / "half")]) == 0


def test_texts_whose_labels_hang_on_a_rounding_are_left_out(tmp_path: Path) -> None:
    folder = write_case("classifier: bert", tmp_path / "saved")
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = np.stack([weights[name][0], weights[name][0], weights[name][2]])
    weights["classifier.bias"][1] += np.float32(1e-6)
    save_file(weights, folder / "model.safetensors")
    planned = planned_text(folder)
    found, best = sure_answers(planned), golden_answers(planned)
    labels = {text: str(best[f"{number}/label"]) for number, text in enumerate(golden_questions(planned))}
    assert {labels[text] for text in found.texts} <= {"class 2"}
    assert set(found.in_doubt) == {text for text, label in labels.items() if label != "class 2"} != set()
    assert [*found.texts, *found.in_doubt] != [] and len(found.arrays) == 3 * len(found.texts)
    places = [number for number, text in enumerate(golden_questions(planned)) if text in found.texts]
    for place, number in enumerate(places):  # a text in doubt before it changes nothing
        np.testing.assert_array_equal(found.arrays[f"{place}/logits"], best[f"{number}/logits"])
    weights["classifier.bias"][2] -= 100
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(VerificationFailed, match="hang on differences below 2e-05.*--kind encoder"):
        sure_answers(planned_text(folder))


@pytest.mark.parametrize("axis", [0, 1])
def test_no_two_equal_logits_are_missed(axis: int) -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        logits = generator.normal(size=(1, 9))
        first, second = generator.permutation(9)[:2]
        logits[0, [first, second]] = 4.0, 4.0 - 1e-6
        logits = logits if axis else logits.T
        assert {int(move(logits).argmax()) for move in _moves(1e-5)} == {first, second}


def test_a_length_of_one_before_a_dense_layer(tmp_path: Path) -> None:
    """The modules Pooling, Normalize, Dense of sentence-transformers: read, computed, written and read again."""
    folder = write_case("vector: lasttoken and dense", tmp_path / "saved")
    plain = answers(text_model(planned_text(folder)), TEXTS[:3])
    modules = json.loads((folder / "modules.json").read_text())
    at = next(number for number, module in enumerate(modules) if module["type"].endswith("Dense"))
    modules.insert(at, {"idx": 9, "name": "9", "path": "9_Normalize", "type": modules[at]["type"][:-5] + "Normalize"})
    (folder / "modules.json").write_text(json.dumps(modules))
    planned = planned_text(folder)
    assert [layer.unit_inputs for layer in planned.task.dense] == [True] and not planned.task.normalize
    model, golden = text_model(planned), golden_answers(planned)
    for number, text in list(enumerate(golden_questions(planned)))[:5]:
        found = answers(model, [list(text) if len(text) == 2 else text[0]])[0]["vector"]
        np.testing.assert_allclose(found, golden[f"{number}/vector"], rtol=0, atol=1e-5)
    for one, other in zip(answers(model, TEXTS[:3]), plain, strict=True):
        assert np.abs(one["vector"] - other["vector"]).max() > 0.1
    again = planned_text(written(planned, folder, tmp_path / "out"))
    assert again.task == planned.task
    of_classes = planned_text(write_case("classifier: bert", tmp_path / "classes"))
    task = of_classes.task.model_copy(
        update={"dense": [of_classes.task.dense[0].model_copy(update={"unit_inputs": True})]}
    )
    with pytest.raises(Unsupported, match="linear of vectors that get the length 1 first. Convert it with --to onnx"):
        planned_files(of_classes.alone, task)


def written(planned: Any, source: Path, out: Path) -> Path:
    """Write a plan as transformers and sentence-transformers have it."""
    out.mkdir()
    plan = planned.encoder.plan
    ours = {each.ours: plan.read(each, planned.encoder.checkpoint) for each in plan.variables}
    write_model(planned_files(planned.alone, planned.task), planned.task, ours.__getitem__, "float32", out)
    for file in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (out / file).write_bytes((source / file).read_bytes())
    return out
