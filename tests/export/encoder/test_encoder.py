"""What an exported encoder computes, against the independent forward pass of its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import HealthCheck, given, settings, strategies as st

from export.oracle.forward import Case
from tests.export.conftest import as_inputs, case, computed, differences, reference, save_and_load, write_odd

TOLERANCE = 2e-5


def test_agrees_with_the_checkpoint(encoder: Any, odd: Path) -> None:
    inputs = case(3, 7)
    assert differences(encoder, inputs, *reference(odd, inputs)) < TOLERANCE


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_mask_agrees_and_padding_changes_nothing(data: st.DataObject, encoder: Any, odd: Path) -> None:
    batch, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 13))
    inputs = case(batch, length, seed=length)
    mask = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=batch, max_size=batch))
    )
    mask[~mask.any(axis=1), 0] = True  # rows without any token have a test of their own
    inputs = inputs._replace(mask=mask.astype(np.int32))
    assert differences(encoder, inputs, *reference(odd, inputs)) < TOLERANCE

    extra = data.draw(st.integers(0, 20))
    longer = Case(*(np.pad(array, [(0, 0), (0, extra)]) for array in inputs))
    short, long = encoder(as_inputs(inputs)), encoder(as_inputs(longer))
    np.testing.assert_allclose(long["pooled_output"], short["pooled_output"], atol=2e-6)
    np.testing.assert_allclose(long["sequence_output"][:, :length], short["sequence_output"], atol=5e-6)
    assert not np.any(long["sequence_output"][:, length:])


def test_each_row_alone_gives_the_same(encoder: Any) -> None:
    inputs = case(4, 11)
    lengths = [11, 1, 4, 7]
    mask = (np.arange(11) < np.array(lengths)[:, None]).astype(np.int32)
    together = encoder(as_inputs(inputs._replace(mask=mask)))
    for row, length in enumerate(lengths):
        alone = encoder(as_inputs(Case(*(array[row : row + 1, :length] for array in inputs))))
        np.testing.assert_allclose(together["sequence_output"][row, :length], alone["sequence_output"][0], atol=5e-6)
        np.testing.assert_allclose(together["pooled_output"][row], alone["pooled_output"][0], atol=5e-6)


def test_a_row_without_tokens_is_finite_and_padding_has_no_say(encoder: Any) -> None:
    inputs = case(2, 5)
    mask = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], np.int32)
    outputs = encoder(as_inputs(inputs._replace(mask=mask)))
    assert not np.any(outputs["sequence_output"][1])
    alone = encoder(as_inputs(Case(*(array[1:, :1] for array in (inputs.ids, mask, inputs.types)))))
    np.testing.assert_allclose(outputs["pooled_output"][1], alone["pooled_output"][0], atol=2e-6)


def test_no_rows_and_one_token(encoder: Any) -> None:
    empty = encoder(tf.zeros([0, 6], tf.int32))
    assert empty["sequence_output"].shape == (0, 6, 32) and empty["pooled_output"].shape == (0, 32)
    assert encoder(tf.constant([[9]]))["sequence_output"].shape == (1, 1, 32)


def test_truncated_keeps_the_first_layers_and_the_pooler(odd: Path, tmp_path: Path) -> None:
    encoder = save_and_load(odd, tmp_path, layers=2)
    inputs = case(2, 6)
    assert differences(encoder, inputs, *reference(odd, inputs, layers=2)) < TOLERANCE


def test_activation_can_be_chosen(encoder: Any, odd: Path) -> None:
    changed = computed(odd, activation="gelu_tanh")
    inputs = case(2, 6)
    assert differences(changed, inputs, *reference(odd, inputs, activation="gelu_tanh")) < TOLERANCE
    assert differences(encoder, inputs, *reference(odd, inputs, activation="gelu_tanh")) > 10 * TOLERANCE


def test_without_pooler_the_first_token_is_given(odd: Path, tmp_path: Path) -> None:
    encoder = save_and_load(odd, tmp_path, pooler="first_token")
    inputs = case(2, 6)
    assert differences(encoder, inputs, *reference(odd, inputs, pooler=False)) < TOLERANCE
    outputs = encoder(as_inputs(inputs))
    np.testing.assert_allclose(outputs["pooled_output"], outputs["sequence_output"][:, 0])


def test_a_genuine_tiny_checkpoint(shared: Path) -> None:
    directory = shared / "checkpoints/tiny_bert_tf1"
    encoder = computed(directory)
    inputs = case(2, 9, vocab=15)
    assert differences(encoder, inputs, *reference(directory, inputs)) < TOLERANCE


def test_dropout_only_in_training_and_reproducible(encoder: Any, out: Path) -> None:
    inputs = as_inputs(case(2, 6))
    plain = encoder(inputs)["sequence_output"]
    np.testing.assert_array_equal(encoder(inputs, training=False)["sequence_output"], plain)
    dropped = encoder(inputs, training=True)["sequence_output"]
    assert np.max(np.abs(dropped - plain)) > 0.01
    assert np.max(np.abs(encoder(inputs, training=True)["sequence_output"] - dropped)) > 0.01


def test_no_dropout_where_the_config_has_none(tmp_path: Path) -> None:
    write_odd(tmp_path / "odd", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    encoder = save_and_load(tmp_path / "odd", tmp_path / "out")
    inputs = as_inputs(case(2, 6))
    trained, plain = (encoder(inputs, training=training)["pooled_output"] for training in (True, False))
    np.testing.assert_allclose(trained, plain, rtol=0, atol=TOLERANCE)  # the same formula, its constants elsewhere
