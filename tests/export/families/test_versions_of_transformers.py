"""Files as transformers 4 and 5 write them: where both differ, and classes that are BERT under another name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from export.certificate import golden_arrays
from export.families import detect
from export.heads import HEADS
from export.oracle.names import Under
from tests.export.families.test_siblings import TOLERANCE, Arrays, checkpoint_of, planned
from zoo.contract import INPUT_KEYS, MASKED_POSITIONS
from zoo.errors import Unsupported


@pytest.mark.parametrize(
    ("written", "scope"), [("bert", "cls.predictions"), ("albert", "predictions"), ("roberta", "lm_head")]
)
def test_a_decoder_that_is_not_tied_has_its_own_bias(written: str, scope: str) -> None:
    """transformers 5 stores a bias that it does not use beside that of the decoder; transformers 4 stores one."""
    tied = checkpoint_of(written, "mlm", tie_word_embeddings=False)
    assert isinstance(tied.container, Arrays)
    arrays, bias = tied.container.arrays, f"{scope}.bias"
    five = Arrays(arrays | {f"{scope}.decoder.bias": arrays[bias], bias: arrays[bias] + 1})
    logits = []
    for checkpoint in (tied, replace(tied, container=five, stored=five)):
        found = planned(checkpoint, pooler="first_token")
        golden = golden_arrays(found.view, found.config, found.heads, under=Under(found.prefix))
        encoder, inputs = found.encoder(), {name: tf.constant(golden[f"0/{name}"]) for name in INPUT_KEYS}
        answer = encoder.encode(*inputs.values())
        positions = {MASKED_POSITIONS: tf.constant(golden[f"0/{MASKED_POSITIONS}"])}
        logits += [HEADS["mlm"].compute(encoder, answer, positions)["mlm_logits"], golden["0/mlm_logits"]]
    for other in logits[1:]:
        np.testing.assert_allclose(other, logits[0], rtol=0, atol=2 * TOLERANCE)


@pytest.mark.parametrize("model_type", ["align_text_model", "chinese_clip_text_model"])
def test_encoders_of_models_of_text_and_images_that_are_bert(model_type: str) -> None:
    """Such a class compared with transformers 4.57 and 5.24 gives the same numbers as BertModel."""
    found = planned(checkpoint_of("bert", model_type=model_type))
    assert found.config.family == "bert" and not found.plan.problems and not found.config.notes


def test_the_padding_id_tells_roberta_with_two_types_from_bert() -> None:
    silent = checkpoint_of("roberta", without=("model_type", "architectures"), type_vocab_size=2)
    assert isinstance(silent.container, Arrays)
    name = "embeddings.token_type_embeddings.weight"
    two = Arrays(silent.container.arrays | {name: np.repeat(silent.read(name), 2, axis=0)})
    silent = replace(silent, container=two, stored=two)
    with pytest.raises(Unsupported, match="padding id 1.*Give --family roberta"):
        detect(silent)
    assert detect(silent, "roberta")[0].name == "roberta"
    assert detect(replace(silent, config={**silent.config, "pad_token_id": 0}))[0].name == "bert"
