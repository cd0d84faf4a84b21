"""Checkpoints of odd and distinct sizes, so that a swapped axis shows, and archives exported from them once."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from safetensors.numpy import save_file

from export.cards import _pooler_in_words
from export.encoder.encoder import Encoder
from export.heads import HEADS
from export.options import EncoderRequest
from export.oracle.forward import Case, ReferenceOutputs, forward
from export.pipeline import export_encoder, save_encoder
from export.planning import PlannedEncoder, plan_encoder
from scripts.layouts import LAYOUTS, albert_transformers_arrays, bert_config, transformers_arrays
from scripts.random_checkpoint import write_tf1, write_vocabulary
from tests.once import made_once, packed_only
from zoo.archive.card import EncoderCard
from zoo.archive.unpack import unpack
from zoo.contract import INPUT_KEYS

# An export collects garbage often; what was imported is none, and need not be looked through each time.
gc.freeze()

# Large enough weights that erf and tanh gelu, or two swapped norms, differ by far more than any tolerance.
SCALE = 0.25
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "##好", *(f"w{i}" for i in range(91))]


_GENERATOR = {"generator_hidden_size": 24, "generator_intermediate_size": 28}

# what is tested -> layout in scripts/layouts.py, and what its config has beyond the odd one
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", {}),
    "albert": ("albert", {"embedding_size": 20, "num_hidden_groups": 1}),
    "albert of two groups": ("albert", {"embedding_size": 20, "num_hidden_groups": 2, "num_hidden_layers": 5}),
    "albert with relu": ("albert", {"embedding_size": 20, "num_hidden_groups": 1, "hidden_act": "relu"}),
    "albert without projection": ("albert", {"embedding_size": 32, "num_hidden_groups": 1}),
    "albert_brightmart": ("albert_brightmart", {"embedding_size": 20, "ln_type": "postln"}),
    "electra": ("electra", {"embedding_size": 20, **_GENERATOR}),
    "electra without projection": ("electra", {"embedding_size": 32, **_GENERATOR}),
}


def odd_config(**changes: Any) -> dict[str, Any]:
    """Layers 3, hidden size 32, heads 4, intermediate size 56, vocabulary 99, positions 40."""
    return bert_config(3, 32, 4, 56, 99, positions=40) | changes


def write_odd(
    directory: Path, slots: bool = False, seed: int = 1, family: str = "bert", **changes: Any
) -> dict[str, np.ndarray]:
    """Write an odd checkpoint in the TF1 layout, with its vocabulary; return its arrays."""
    layout, extra = FAMILIES[family]
    config = odd_config(**extra | changes)
    write_vocabulary(directory / "vocab.txt", VOCABULARY)
    return write_tf1(directory, config, LAYOUTS[layout](config), seed=seed, scale=SCALE, slots=slots)


def write_transformers(
    directory: Path, arrays: dict[str, np.ndarray], family: str = "bert", num_hidden_layers: int = 3, **how: bool
) -> dict[str, np.ndarray]:
    """Write the same weights as a Hugging Face directory; return them under their names there."""
    layout, extra = FAMILIES[family]
    convert = albert_transformers_arrays if layout == "albert" else transformers_arrays
    # The same arithmetic in transformers' words: its 'gelu' is erf, ALBERT's of TF1 is tanh.
    act = "gelu_new" if layout == "albert" else "gelu"
    extra = {"hidden_act": act, "num_hidden_layers": num_hidden_layers, **extra}
    config = odd_config(**extra, model_type=layout, layer_norm_eps=1e-12)
    directory.mkdir(parents=True, exist_ok=True)
    converted = convert(arrays, **how)
    save_file(converted, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_vocabulary(directory / "vocab.txt", VOCABULARY)
    return converted


def export_and_load(checkpoint: Path, out: Path, **how: Any) -> Any:
    """Export, unpack and load as a user does."""
    with packed_only():
        export_encoder(EncoderRequest(checkpoint, "odd", out, **how))
    unpack(out / "odd.tar.gz", out / "odd")
    return hub.load(str(out / "odd"))


def save_and_load(checkpoint: Path, out: Path, **how: Any) -> Any:
    """Load what would be packed into an archive: for tests that compare numbers themselves, in half of the time."""
    planned = plan_encoder(EncoderRequest(checkpoint, "odd", out, **how))
    planned.plan.checked("odd")
    save_encoder(planned, out / "odd")
    return hub.load(str(out / "odd"))


class Computed:
    """An encoder that is called as a loaded one, with heads as attributes."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, inputs: Mapping[str, Any]) -> Any:
        return self._encoder.encode(*(tf.constant(inputs[key]) for key in INPUT_KEYS))

    def __getattr__(self, head: str) -> Callable[[Mapping[str, Any]], Any]:
        def call(inputs: Mapping[str, Any]) -> Any:
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            return HEADS[head].compute(self._encoder, self(inputs), tensors)

        return call


def computed(checkpoint: Path, **how: Any) -> Computed:
    """Return the planned encoder, to be called as a loaded one: the formulas that are saved, without saving them."""
    planned = plan_encoder(EncoderRequest(checkpoint, "odd", checkpoint, **how))
    variables = planned.plan.checked("odd").variables
    weights = {each.ours: tf.Variable(planned.plan.read(each, planned.checkpoint)) for each in variables}
    return Computed(Encoder(planned.config, weights))


def sketched_card(planned: PlannedEncoder) -> EncoderCard:
    """Return as much of an archive's card as is needed to rebuild its encoder."""
    return EncoderCard.model_construct(
        name="odd",
        family=planned.family.name,
        sizes=planned.config.sizes(),
        activation_reason=planned.config.activation_reason,
        truncated_from=planned.config.truncated_from,
        pooler=_pooler_in_words(planned.config),
    )


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd checkpoint's directory, with Adam slots as a training run saves them."""
    return made_once(tmp_path_factory, "odd", lambda place: write_odd(place, slots=True))


@pytest.fixture(scope="session")
def out(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the odd checkpoint was exported to: odd.tar.gz, registry.json and, unpacked, odd/."""
    return made_once(tmp_path_factory, "out", lambda place: export_and_load(odd, place))


@pytest.fixture(scope="session")
def half(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the odd checkpoint was exported to in bfloat16, with layers that are computed again."""
    return made_half(odd, tmp_path_factory)


def made_half(odd: Path, factory: pytest.TempPathFactory) -> Path:
    return made_once(factory, "half", lambda place: export_and_load(odd, place, dtype="bfloat16", recompute=True))


@pytest.fixture(scope="session")
def encoder(out: Path) -> Any:
    return hub.load(str(out / "odd"))


def case(batch: int, length: int, vocab: int = 99, seed: int = 0) -> Case:
    """Random inputs without padding."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, vocab, (batch, length), dtype=np.int32)
    types = np.sort(generator.integers(0, 2, (batch, length), dtype=np.int32), axis=1)
    return Case(ids, np.ones_like(ids), types)


def reference(directory: Path, *cases: Case, **how: Any) -> list[ReferenceOutputs]:
    """The independent forward pass of a checkpoint's directory."""
    from export.readers import open_checkpoint

    checkpoint = open_checkpoint(directory)
    return forward(checkpoint.read, checkpoint.shapes, checkpoint.config, cases, **how)


def as_inputs(case: Case) -> dict[str, np.ndarray]:
    return dict(zip(INPUT_KEYS, case, strict=True))


def differences(encoder: Any, inputs: Case, answer: ReferenceOutputs) -> float:
    """The largest difference over all layers' real positions and the pooled output; padded positions must be zero."""
    outputs = encoder({name: tf.constant(array) for name, array in as_inputs(inputs).items()})
    real = (inputs.mask != 0)[..., None]
    found = [np.max(np.abs(outputs["pooled_output"] - answer.pooled))]
    assert len(outputs["encoder_outputs"]) == len(answer.layers)
    for ours, theirs in zip(outputs["encoder_outputs"], answer.layers, strict=True):
        assert not np.any(np.where(real, 0, ours)), "padded positions are not zero"
        found.append(np.max(np.abs(ours - theirs) * real))
    np.testing.assert_array_equal(outputs["sequence_output"], outputs["encoder_outputs"][-1])
    np.testing.assert_array_equal(outputs["default"], outputs["pooled_output"])
    return float(max(found))
