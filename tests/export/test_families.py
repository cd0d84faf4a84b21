"""One suite for every family: plan, numbers, masks, truncation, training, and the same weights from another format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from safetensors.numpy import save_file

from export.options import EncoderRequest
from export.pipeline import export_encoder
from export.planning import plan_encoder
from tests.export.conftest import (
    FAMILIES,
    as_inputs,
    case,
    computed,
    differences,
    export_and_load,
    reference,
    write_odd,
    write_transformers,
)
from zoo.archive.card import EncoderCard, read_card
from zoo.errors import BadCheckpoint, BadConfig, Unsupported

TOLERANCE = 2e-5


def poolers(family: str) -> dict[str, Any]:
    """How the reference is told what pooled_output is: ELECTRA has no pooler."""
    return {"pooler": "electra" not in family}


# The quick suite exports one of each kind: layers of their own, shared blocks, a projection or none.
SLOW = {"albert", "albert with relu", "albert without projection", "albert_brightmart", "electra"}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in FAMILIES]
)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    write_odd(directory, family=family, slots=True)
    return directory


@pytest.fixture(scope="module")
def out(family: str, checkpoint: Path, out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if family == "bert":
        return out  # the same checkpoint
    directory = tmp_path_factory.mktemp("out")
    export_and_load(checkpoint, directory)
    return directory


@pytest.fixture(scope="module")
def encoder(out: Path) -> Any:
    return hub.load(str(out / "odd"))


def test_every_variable_is_used_or_left_out_by_name(checkpoint: Path) -> None:
    planned = plan_encoder(EncoderRequest(checkpoint, "odd", checkpoint))
    plan = planned.plan.checked("odd")
    used = [source for variable in plan.variables for source in variable.sources]
    left = [name for names in plan.left_out.values() for name in names]
    assert sorted(used + left) == sorted(planned.checkpoint.shapes) and len(used + left) == len(set(used + left))


def test_agrees_with_the_checkpoint_whatever_is_masked(family: str, checkpoint: Path, encoder: Any) -> None:
    inputs = case(4, 9)
    mask = np.ones_like(inputs.mask)
    mask[1, 5:] = 0
    mask[2, [1, 3, 4]] = 0
    mask[3, 0] = 0
    for each in (inputs, inputs._replace(mask=mask)):
        assert differences(encoder, each, *reference(checkpoint, each, **poolers(family))) < TOLERANCE


def test_the_card_says_what_it_is(family: str, out: Path) -> None:
    card = read_card(out / "odd")
    assert isinstance(card, EncoderCard)
    assert card.family == FAMILIES[family][0]
    shares = {"albert": 1, "albert of two groups": 2}.get(family, 1 if "albert" in family else card.sizes.layers)
    assert card.sizes.blocks == shares
    tanh = "albert" in family and "relu" not in family
    assert card.sizes.activation == ("gelu_tanh" if tanh else "relu" if "relu" in family else "gelu")
    heads = {"discriminator"} if "electra" in family else {"mlm", "nsp"}
    assert set(card.exported_heads) == heads and all(card.heads[head] == "trained" for head in heads)
    assert {f"{head}_logits" for head in heads} <= card.certificate.max_difference.keys()
    assert ("no pooler" in card.pooler or "none" in card.pooler) == ("electra" in family)


def test_truncated(family: str, checkpoint: Path, tmp_path: Path) -> None:
    planned = plan_encoder(EncoderRequest(checkpoint, "odd", tmp_path, layers=2))
    assert planned.plan.checked("odd") and planned.config.layers == 2
    if family not in ("albert of two groups", "electra"):
        return  # the same graph as one of these, or as BERT's in test_encoder.py
    encoder = computed(checkpoint, layers=2)
    inputs = case(2, 6)
    assert differences(encoder, inputs, *reference(checkpoint, inputs, layers=2, **poolers(family))) < TOLERANCE


def test_one_step_of_fine_tuning(family: str, out: Path) -> None:
    if family not in ("bert", "electra"):  # of two groups: test_training.py
        pytest.skip("the same graph backwards as one of these")
    encoder = hub.load(str(out / "odd"))
    inputs = {name: tf.constant(array) for name, array in as_inputs(case(3, 7)).items()}
    with tf.GradientTape() as tape:
        before = encoder(inputs)["pooled_output"]
        outputs = encoder(inputs, training=True)
        loss = tf.reduce_mean(tf.square(outputs["pooled_output"] - 1.0))
    gradients = tape.gradient(loss, encoder.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    for variable, gradient in zip(encoder.trainable_variables, gradients, strict=True):
        variable.assign_sub(0.01 * tf.convert_to_tensor(gradient))
    after = tf.reduce_mean(tf.square(encoder(inputs)["pooled_output"] - 1.0))
    assert float(after) < float(tf.reduce_mean(tf.square(before - 1.0)))


@pytest.mark.parametrize("layers", [3, 2])
def test_brightmart_s_albert_agrees_with_its_checkpoint(layers: int, tmp_path: Path) -> None:
    """In the formulas that are saved; the slow tests export it, too."""
    write_odd(tmp_path, family="albert_brightmart")
    config = plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path, layers=layers)).config
    assert (config.blocks, config.layers, config.activation) == (1, layers, "gelu_tanh")
    inputs = case(4, 9)
    inputs.mask[2, [1, 3, 4]] = 0
    encoder = computed(tmp_path, layers=layers)
    assert differences(encoder, inputs, *reference(tmp_path, inputs, layers=layers, pooler=True)) < TOLERANCE


# How transformers may have written the same weights; what is not here has no equivalent there, or the same code path.
TRANSFORMERS: dict[str, dict[str, bool]] = {
    "bert": {"old_norms": True},
    "albert of two groups": {},
    "albert with relu": {"bare": True},
    "electra": {"bare": True},
    "electra without projection": {},
}


def test_the_same_weights_from_transformers(family: str, encoder: Any, tmp_path: Path) -> None:
    if family not in TRANSFORMERS:
        pytest.skip("no equivalent in transformers, or the same as another family's")
    arrays = write_odd(tmp_path / "tf1", family=family)
    converted = write_transformers(tmp_path / "hf", arrays, family=family, **TRANSFORMERS[family])
    if family == "electra without projection":  # google/electra-base has one all the same (transformers#7530)
        stale = {"electra.embeddings_project.weight": np.ones((32, 32), np.float32)}
        save_file(converted | stale, tmp_path / "hf/model.safetensors")
    from_transformers = computed(tmp_path / "hf")
    inputs = case(3, 8)
    assert differences(from_transformers, inputs, *reference(tmp_path / "hf", inputs, **poolers(family))) < TOLERANCE
    ours = encoder(as_inputs(inputs))
    for name in ("sequence_output", "pooled_output"):
        np.testing.assert_allclose(from_transformers(as_inputs(inputs))[name], ours[name], atol=1e-6)


def test_transformers_albert_projects_to_the_same_width_too(tmp_path: Path) -> None:
    """As AlbertTransformer does; the archive keeps the projection, and so does an export of the archive."""
    family = "albert without projection"
    converted = write_transformers(tmp_path / "hf", write_odd(tmp_path / "tf1", family=family), family=family)
    same = computed(tmp_path / "hf")
    name = "albert.encoder.embedding_hidden_mapping_in"
    weight = np.random.default_rng(5).normal(0, 0.3, (32, 32)).astype(np.float32)
    save_file(converted | {f"{name}.weight": weight}, tmp_path / "hf" / "model.safetensors")
    projected, inputs = computed(tmp_path / "hf"), case(2, 7)
    (answer,) = reference(tmp_path / "hf", inputs)
    assert differences(projected, inputs, answer) < TOLERANCE < 0.1 < differences(same, inputs, answer)
    export_encoder(EncoderRequest(tmp_path / "hf", "odd", tmp_path / "out"))
    again = computed(tmp_path / "out" / "odd.tar.gz")
    assert differences(again, inputs, answer) < TOLERANCE


def test_electra_with_the_predecessors_pooler(tmp_path: Path) -> None:
    write_odd(tmp_path / "odd", family="electra")
    encoder = computed(tmp_path / "odd", pooler="discriminator")
    inputs = case(2, 6)
    assert differences(encoder, inputs, *reference(tmp_path / "odd", inputs, pooler=True)) < TOLERANCE


def test_missing_sizes_are_filled_in_from_the_shapes_and_noted(tmp_path: Path) -> None:
    write_odd(tmp_path / "odd", family="electra")
    config = json.loads((tmp_path / "odd/bert_config.json").read_text())
    del config["type_vocab_size"], config["vocab_size"]
    (tmp_path / "odd/bert_config.json").write_text(json.dumps(config))
    planned = plan_encoder(EncoderRequest(tmp_path / "odd", "odd", tmp_path))
    assert (planned.config.vocab_size, planned.config.type_vocab_size) == (99, 2)
    assert any("type_vocab_size 2 is not in the config" in note for note in planned.config.notes)


@pytest.mark.parametrize(
    ("which", "changes", "error", "words"),
    [
        ("albert_brightmart", {"ln_type": "preln"}, Unsupported, "'ln_type' is 'preln'.*only 'postln'"),
        ("albert", {"inner_group_num": 2}, Unsupported, "'inner_group_num' is 2.*only 1"),
        ("albert", {"num_attention_heads": 26}, BadConfig, "32 is not a multiple of 'num_attention_heads' 26"),
        ("electra", {"embedding_size": None}, BadConfig, "'embedding_size' is None"),
    ],
)
def test_refusals(which: str, changes: dict[str, Any], error: type[Exception], words: str, tmp_path: Path) -> None:
    write_odd(tmp_path, family=which)
    config = json.loads((tmp_path / "bert_config.json").read_text())
    (tmp_path / "bert_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(error, match=words):
        plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path))


def test_a_checkpoint_of_two_families(tmp_path: Path) -> None:
    from scripts.layouts import LAYOUTS
    from scripts.random_checkpoint import write_tf1

    write_odd(tmp_path, family="electra")
    config = json.loads((tmp_path / "bert_config.json").read_text())
    write_tf1(tmp_path, config, LAYOUTS["bert"](config) | LAYOUTS["electra"](config))
    with pytest.raises(
        BadCheckpoint, match="holds 2 encoders. Choose one with `--prefix bert/` or `--prefix electra/`"
    ):
        plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path))
    for chosen in ({"family": "electra"}, {"prefix": "electra/"}):
        planned = plan_encoder(EncoderRequest(tmp_path, "odd", tmp_path, **chosen))
        assert (planned.family.name, planned.layout.prefix) == ("electra", "electra/")
        assert "another encoder under 'bert/'" in planned.plan.left_out
        assert planned.plan.remedy == ("--leave-out", "cls/*"), "ELECTRA has no such heads"
