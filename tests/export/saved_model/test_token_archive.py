"""A text archive of entities with a CRF as people get it: made by the command line, loaded with tensorflow_hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from scripts.token_answers import BIO, SENTENCES
from tests.export.tasks.conftest import cases, write_case
from tests.runtimes.operations import TEXT_ARCHIVE_OPS
from tests.runtimes.test_operations import unknown_to_2_9
from zoo.archive.card import TextCard, read_card
from zoo.archive.unpack import unpack
from zoo.command import main
from zoo.errors import VerificationFailed
from zoo.loading.verify_text import differences

pytestmark = pytest.mark.slow
CASE = "tokens: bert with a crf"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entities")
    write_case(CASE, folder / "saved")
    assert main(["export", str(folder / "saved"), "--name", "names", "--out", str(folder / "out")]) == 0
    unpack(folder / "out" / "names.tar.gz", folder / "names")
    return folder / "names"


@pytest.fixture(scope="module")
def model(directory: Path) -> Any:
    return hub.load(str(directory))


def test_answers(model: Any) -> None:
    answer = model(SENTENCES)
    for row, theirs in enumerate(cases()[CASE]["answers"]):
        assert [label.decode() for label in answer["token_label"][row].numpy()] == theirs["token_label"]
        np.testing.assert_allclose(answer["logits"][row], theirs["logits"], rtol=0, atol=1e-5)
        names, starts, limits = (answer[name][row].numpy().tolist() for name in ("label", "start", "limit"))
        assert all(
            0 <= start < limit <= len(SENTENCES[row].encode()) for start, limit in zip(starts, limits, strict=True)
        )
        assert {*names} <= {b"PER", b"LOC"} and starts == sorted(starts)
    assert [label.decode() for label in model.labels().numpy()] == BIO
    padded = model.signatures["serving_default"](text=tf.constant(["你好", ""]))
    assert padded["label"][1, 0] == b"" and padded["start"][1, 0] == -1 and padded["logits"].shape == (2, 4, 5)
    assert model([])["label"].shape[0] == 0


def test_training_reaches_everything_but_the_crf(model: Any) -> None:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(["你好", "a"], training=True)["logits"].flat_values[:, 0])
    names = {variable.name.partition(":")[0] for variable in model.trainable_variables}
    assert {"task/dense_0/kernel", "task/dense_0/bias"} <= names
    assert None not in tape.gradient(loss, model.trainable_variables)
    rest = {variable.name.partition(":")[0] for variable in model.variables} - names
    assert rest == {"task/crf/transitions", "task/crf/start", "task/crf/end"}


def test_card_operations_and_certificate(directory: Path, model: Any) -> None:
    card = read_card(directory)
    assert isinstance(card, TextCard)
    assert (card.task.name, card.task.scheme, card.task.crf, card.needs) == ("token_classification", "BIO", True, [])
    assert {*card.ops} <= TEXT_ARCHIVE_OPS and not unknown_to_2_9(directory)
    with np.load(directory / "assets.extra" / "golden.npz") as file:
        golden = dict(file)
    number = next(int(key.partition("/")[0]) for key, value in golden.items() if key.endswith("/label") and value.size)
    right = {
        f"0/{output}": golden[f"{number}/{output}"] for output in ("label", "start", "limit", "score", "token_label")
    }
    for output, value in right.items():
        wrong = value.copy()
        wrong[0] = "X" if wrong.dtype.kind == "U" else wrong[0] + (1e-4 if wrong.dtype.kind == "f" else 1)
        with pytest.raises(VerificationFailed, match=output.removeprefix("0/")):
            differences(model, [card.certificate.texts[number]], {**right, output: wrong}, 2e-5, "names")
