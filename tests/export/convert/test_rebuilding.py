"""The plain encoder computes what the encoder does, for every family, rebuilt from names and a card alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from export.convert.onnx_forms import OnnxForms, for_onnx
from export.convert.rebuilding import OUTPUT_KEYS, PlainRoot, plain_encoder
from export.encoder.encoder import Encoder, Inference
from export.encoder.unpadding import MASKED
from export.options import EncoderRequest
from export.planning import PlannedEncoder, plan_encoder
from tests.export.conftest import FAMILIES, as_inputs, case, sketched_card, write_odd
from zoo.archive.card import EncoderCard
from zoo.errors import BadArchive

# Whatever runs elsewhere has these: no table, no string, no assertion, no gathering of heads.
OPERATIONS = """
    AddV2 BatchMatMulV2 BiasAdd Cast ConcatV2 Const Equal Erf ExpandDims FloorMod GatherV2 Identity MatMul Max Maximum
    Mean Mul NoOp NotEqual Pack Placeholder Range ReadVariableOp Relu Reshape ResourceGather Rsqrt Shape Softmax Split
    SplitV Square StridedSlice Sub Tanh Transpose Unpack
"""
CHOICES: list[tuple[str, dict[str, Any]]] = [
    *((family, {}) for family in FAMILIES),
    ("bert", {"layers": 2}),
    ("bert", {"pooler": "first_token"}),
    ("albert of two groups", {"layers": 4}),
    ("electra", {"pooler": "discriminator"}),
]


def planned(directory: Path, family: str, **how: Any) -> tuple[PlannedEncoder, dict[str, tf.Variable], EncoderCard]:
    """A plan, its variables by our names, and a card."""
    write_odd(directory, family=family)
    plan = plan_encoder(EncoderRequest(directory, "odd", directory, heads=(), **how))
    values = {each.ours: plan.plan.read(each, plan.checkpoint) for each in plan.plan.variables}
    names = {each.ours: each.name for each in plan.plan.variables}
    variables = {ours: tf.Variable(value, name=names[ours]) for ours, value in values.items()}
    return plan, variables, sketched_card(plan)


@pytest.mark.parametrize(("family", "how"), CHOICES, ids=lambda part: str(part) if part else "")
def test_computes_the_same(family: str, how: dict[str, Any], tmp_path: Path) -> None:
    plan, variables, card = planned(tmp_path, family, **how)
    plain = plain_encoder(list(variables.values()), card)
    assert plain.config.block_of_layer == plan.config.block_of_layer
    inputs = case(3, 7)
    inputs.mask[0, 2:4] = inputs.mask[2, 4:] = inputs.mask[1] = 0  # a hole, padding, a text without tokens
    expected = Encoder(plan.config, variables).encode(*map(tf.constant, inputs))
    for encoder in (plain, for_onnx(plain)):
        found = encoder.encode(*map(tf.constant, inputs))
        for key in OUTPUT_KEYS:
            np.testing.assert_allclose(found[key], expected[key], atol=5e-6)
        assert not np.any(found["sequence_output"].numpy()[inputs.mask == 0])


def test_masked_keys_get_small_weights_that_are_no_denormals() -> None:
    """The softmax of ONNX differs from the usual one by less than float32 can show beside a weight of 1."""
    generator = np.random.default_rng(6)
    scores = generator.normal(0, 40, (3, 2, 9, 9)).astype(np.float32)
    mask = np.where(generator.random((3, 1, 9, 9)) < 0.5, np.float32(MASKED), np.float32(0))
    mask[0] = 0  # nothing is masked
    mask[1, :, 4] = MASKED  # everything
    for some in (mask, mask[:, :, :1], mask[:1]):
        found, expected = (
            forms.softmax(tf.constant(scores), tf.constant(some)) for forms in (OnnxForms(), Inference())
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-25)
        seen = np.broadcast_to(some, scores.shape) < np.max(some, -1, keepdims=True)
        assert not seen.any() or np.min(found.numpy()[seen]) > 1e-28


def test_holds_operations_that_every_runtime_has(tmp_path: Path) -> None:
    for family in ("bert", "albert with relu", "albert_brightmart"):
        _, variables, card = planned(tmp_path / family, family)
        graph = PlainRoot(plain_encoder(list(variables.values()), card)).encode.graph.as_graph_def()
        assert not graph.library.function
        assert {node.op for node in graph.node} <= {*OPERATIONS.split()}


def test_half_precision_is_widened(tmp_path: Path) -> None:
    plan, variables, card = planned(tmp_path, "bert")
    stored = [
        tf.Variable(tf.cast(each, tf.bfloat16) if each.shape.rank == 2 else each, name=each.name.partition(":")[0])
        for each in variables.values()
    ]
    rounded = {
        ours: tf.Variable(each.numpy().astype(ml_dtypes.bfloat16).astype(np.float32) if each.shape.rank == 2 else each)
        for ours, each in variables.items()
    }
    root = PlainRoot(plain_encoder(stored, card))
    inputs = {key: tf.constant(array) for key, array in as_inputs(case(2, 5)).items()}
    expected = Encoder(plan.config, rounded).encode(*inputs.values())
    np.testing.assert_allclose(root.encode(**inputs)["pooled_output"], expected["pooled_output"], atol=2e-6)


def test_says_what_it_does_not_know(tmp_path: Path) -> None:
    _, variables, card = planned(tmp_path, "bert")
    with pytest.raises(BadArchive, match="has no bert/pooler/dense/bias; it cannot be rebuilt"):
        plain_encoder([each for each in variables.values() if each.name != "bert/pooler/dense/bias:0"], card)
    with pytest.raises(BadArchive, match="of family 'later', known here are bert, albert"):
        plain_encoder([], SimpleNamespace(name="odd", family="later"))  # type: ignore[arg-type]
