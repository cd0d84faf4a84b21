"""Archives as transformers' classes: exported again, the files give the same weights and the same outputs.

What transformers itself makes of them is in tests/runtimes/test_to_transformers.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from safetensors.numpy import load_file

from export.certificate import golden_arrays, golden_cases
from export.convert.sentence_files import sentence_files_of_card
from export.convert.transformers_classes import CLASSES
from export.convert.transformers_files import chosen_class, transformers_word, write_weights
from export.families import FAMILIES as ALL
from export.options import NO_VOCABULARY, EncoderRequest
from export.planning import PlannedEncoder, plan_encoder
from export.readers.sentence_transformers import read_sentence_model
from tests.export.conftest import FAMILIES, write_odd
from tests.export.families.test_siblings import write
from zoo.archive.activation import Activation
from zoo.archive.card import EncoderCard, read_card
from zoo.archive.sentence import SentenceVectors
from zoo.errors import Unsupported

# what is written -> the classes in config.json; siblings are "model type/kind", with the pooler that their files have
WRITTEN = {
    **dict.fromkeys(("bert", "albert", "albert of two groups", "albert without projection"), "ForPreTraining"),
    "albert_brightmart": "AlbertForPreTraining",
    "electra": "ElectraForPreTraining",
    "electra without projection": "ElectraForPreTraining",
    "roberta/bare": "BertModel",
    "roberta/mlm": "BertForMaskedLM",
    "data2vec-text/mlm": "BertModel",  # its head has another activation
    "ernie/bare": "ErnieModel",
    "nezha/mlm": "NezhaForMaskedLM",
    "roformer/mlm": "RoFormerForMaskedLM",
    "distilbert/mlm": "DistilBertForMaskedLM",
    "electra/mlm": "ElectraForMaskedLM",
    "bert-generation/bare": "BertGenerationEncoder",
}
_POOLERLESS = ("roberta/mlm", "data2vec-text/mlm", "nezha/mlm")


def plan(folder: Path, **how: Any) -> PlannedEncoder:
    return plan_encoder(EncoderRequest(checkpoint=folder, name="odd", out=folder, vocab=NO_VOCABULARY, **how))


def source(place: Path, name: str) -> PlannedEncoder:
    model_type, _, kind = name.partition("/")
    if name in FAMILIES:
        write_odd(place, family=name)
    else:
        write(place, model_type, kind)
    return plan(place, pooler="first_token" if name in _POOLERLESS else None)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_files_are_the_same_model(name: str, tmp_path: Path) -> None:
    planned = source(tmp_path / "in", name)
    chosen, out = chosen_class(planned), tmp_path / "out"
    assert chosen.architectures[0].endswith(WRITTEN[name])
    out.mkdir()
    write_weights(planned, chosen, "float32", out)
    again = plan(out, heads=chosen.heads, pooler=planned.config.pooler)
    again.plan.checked("out")
    ours = {each.ours: planned.plan.read(each, planned.checkpoint) for each in planned.plan.variables}
    if not planned.config.projects and again.config.projects:  # AlbertModel always projects: here nothing changes
        width = planned.config.hidden_size
        ours |= {"embeddings/projection/kernel": np.eye(width), "embeddings/projection/bias": np.zeros(width)}
    changed = [
        each.ours
        for each in again.plan.variables
        if not np.array_equal(again.plan.read(each, again.checkpoint), ours[each.ours])
    ]
    assert changed == (["embeddings/word/table"] if name == "albert_brightmart" else [])
    assert (again.config.activation, again.padding_id) == (planned.config.activation, planned.padding_id)
    cases = golden_cases(planned.config)
    before = golden_arrays(planned.checkpoint, planned.config, chosen.heads, cases, planned.under)
    after = golden_arrays(again.checkpoint, again.config, chosen.heads, cases, again.under)
    assert before.keys() == after.keys()
    assert max(np.abs(before[key] - after[key]).max() for key in before) < 1e-6


def test_every_family_has_a_class_that_knows_every_activation() -> None:
    assert CLASSES.keys() == {family.name for family in ALL}
    for row in CLASSES.values():
        words = row.family.activations["huggingface"]
        assert [words[transformers_word(each)][0] for each in get_args(Activation)] == [*get_args(Activation)]


def test_half_precision_and_a_head_with_its_own_decoder(tmp_path: Path) -> None:
    planned = source(tmp_path / "in", "bert")
    write_weights(planned, chosen_class(planned), "bfloat16", tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    assert arrays[name].dtype == np.float32, "rounding would change these numbers"
    rounded = plan(tmp_path / "in", dtype="bfloat16")
    write_weights(rounded, chosen_class(rounded), "bfloat16", tmp_path)
    arrays = load_file(tmp_path / "model.safetensors")
    assert arrays[name].dtype.name == "bfloat16" and arrays["bert.pooler.dense.bias"].dtype == np.float32
    assert np.array_equal(arrays["cls.predictions.bias"], arrays["cls.predictions.decoder.bias"])
    said = json.loads((tmp_path / "config.json").read_text())
    assert said["torch_dtype"] == "float32" and said["tie_word_embeddings"] is True


def test_blocks_that_albert_would_share_otherwise_are_refused(tmp_path: Path) -> None:
    planned = source(tmp_path, "albert")
    shared = tuple(layer * 14 // 18 for layer in range(18))
    with pytest.raises(Unsupported, match="shares 14 blocks among 18 layers in another order.*--to onnx"):
        chosen_class(replace(planned, config=replace(planned.config, block_of_layer=shared)))


def test_the_vectors_of_texts(out: Path, tmp_path: Path) -> None:
    card = read_card(out / "odd")
    assert isinstance(card, EncoderCard)
    assert sentence_files_of_card(card, tmp_path) is None and not list(tmp_path.iterdir())
    stated = SentenceVectors(
        pooling="first+mean",
        normalize=True,
        max_length=33,
        prompts={"query": "查询: "},
        default_prompt="query",
        similarity="cosine",
    )
    assert sentence_files_of_card(card.model_copy(update={"sentence": stated}), tmp_path) is None
    found = read_sentence_model(tmp_path, 32, 40)
    assert found and found.on_card() == stated
    deeper = stated.model_copy(update={"beyond_encoder": ["dense layer 32→8"]})
    assert "dense layer 32→8" in str(sentence_files_of_card(card.model_copy(update={"sentence": deeper}), tmp_path))
