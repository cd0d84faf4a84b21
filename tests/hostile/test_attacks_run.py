"""The attacks are real: unchecked, TensorFlow writes the file. Otherwise their refusal would prove nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from tests.hostile.cases import all_cases
from tests.hostile.making import make_hostile
from tests.zoo.toyzoo import ToyZoo

INPUTS = {"input_word_ids": [[2, 5, 3]], "input_mask": [[1, 1, 1]], "input_type_ids": [[0, 0, 0]]}


@pytest.mark.parametrize(
    ("name", "by_loading"),
    [
        ("unlisted_initialize", True),
        ("listed_initialize", True),
        ("named_tanh", False),
        ("named_erf", False),
        ("called_as_an_operation", False),
        ("api_implements", False),
    ],
)
def test_tensorflow_writes_the_file(name: str, by_loading: bool, toy_zoo: ToyZoo, tmp_path: Path) -> None:
    case = next(case for case in all_cases() if case.name == name)
    directory = make_hostile(toy_zoo.unpacked(case.base), tmp_path / "model", case.make)
    model = tf.saved_model.load(str(directory))
    assert bool(list(tmp_path.glob("owned*"))) == by_loading
    if not by_loading:
        model({key: tf.constant(value) for key, value in INPUTS.items()})
    assert list(tmp_path.glob("owned*"))
