"""Siblings of BERT: exact where they are folded, refused by name where they compute something else.

data/architectures.json.gz has the text encoders of transformers 4.57.6 at a tiny size, as save_pretrained writes them,
and data/siblings.npz what the converted ones answer. scripts/architectures.py made both.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from export.certificate import golden_arrays, golden_cases
from export.encoder.encoder import Encoder
from export.families import FAMILIES, detect
from export.heads import HEADS
from export.heads.planning import chosen_heads, head_states, plan_with_heads, rows_of_tokens
from export.options import EncoderRequest
from export.oracle.forward import Case
from export.oracle.names import Under
from export.planning import plan_encoder
from export.readers.protocol import OpenedCheckpoint
from export.weights.config import EncoderConfig, read_config
from export.weights.derived import narrowed
from export.weights.folded import folded
from export.weights.naming import table_shapes
from export.weights.plan import WeightPlan
from scripts.architectures import ANSWERED, ARCHITECTURES, LENGTHS, shapes_of, sibling_inputs, sibling_weights
from scripts.random_checkpoint import write_vocabulary
from tests.export.conftest import VOCABULARY, export_and_load
from zoo.archive.card import EncoderCard, Stored, read_card
from zoo.contract import INPUT_KEYS, MASKED_POSITIONS
from zoo.errors import BadCheckpoint, BadConfig, Unsupported, ZooError

DATA = Path(__file__).parent.parent / "data"
TOLERANCE = 5e-6

# model type -> family; all others of `ARCHITECTURES` are refused
CONVERTED = {
    "bert": "bert",
    "albert": "albert",
    "bert-generation": "bert_generation",
    "camembert": "roberta",
    "data2vec-text": "roberta",
    "distilbert": "distilbert",
    "dpr": "bert",
    "electra": "electra",
    "ernie": "ernie",
    "nezha": "nezha",
    "roberta": "roberta",
    "roformer": "roformer",
    "splinter": "bert",
    "xlm-roberta": "roberta",
}


class Arrays:
    """Variables in memory."""

    files = ()

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.shapes = {name: array.shape for name, array in sorted(arrays.items())}

    def read(self, name: str) -> np.ndarray:
        return self.arrays[name]


@cache
def listed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress((DATA / "architectures.json.gz").read_bytes()))
    return found


def checkpoint_of(written: str, kind: str = "bare", without: tuple[str, ...] = (), **config: Any) -> OpenedCheckpoint:
    """A class of `ARCHITECTURES` with weights, with other keys in its config or `without` some."""
    stored = listed()[written]
    container = Arrays(sibling_weights(shapes_of(stored, kind, bert_shapes())))
    said = {key: value for key, value in (stored["config"] | config).items() if key not in without}
    return OpenedCheckpoint("huggingface", Path(written), said, (), container, container)


def under(checkpoint: OpenedCheckpoint, prefix: str) -> OpenedCheckpoint:
    container = Arrays({prefix + name: checkpoint.read(name) for name in checkpoint.shapes})
    return replace(checkpoint, container=container, stored=container)


def write(directory: Path, written: str, kind: str = "bare") -> Path:
    """Write a class of `ARCHITECTURES` as a directory, with a vocabulary."""
    checkpoint = checkpoint_of(written, kind)
    write_vocabulary(directory / "vocab.txt", VOCABULARY)
    save_file({name: checkpoint.read(name) for name in checkpoint.shapes}, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(checkpoint.config), encoding="utf-8")
    return directory


@cache
def bert_shapes() -> dict[str, list[int]]:
    """BertModel's names and shapes, typed by hand: all others are stored as a difference."""
    layer = {
        "attention.self.query": [32, 32],
        "attention.self.key": [32, 32],
        "attention.self.value": [32, 32],
        "attention.output.dense": [32, 32],
        "intermediate.dense": [56, 32],
        "output.dense": [32, 56],
    }
    shapes = {
        "embeddings.word_embeddings.weight": [99, 32],
        "embeddings.position_embeddings.weight": [40, 32],
        "embeddings.token_type_embeddings.weight": [2, 32],
        "pooler.dense.weight": [32, 32],
        "pooler.dense.bias": [32],
    }
    norms = ["embeddings.LayerNorm"]
    for i in range(2):
        scope = f"encoder.layer.{i}"
        norms += [f"{scope}.attention.output.LayerNorm", f"{scope}.output.LayerNorm"]
        for module, shape in layer.items():
            shapes |= {f"{scope}.{module}.weight": shape, f"{scope}.{module}.bias": shape[:1]}
    return shapes | {f"{norm}.{leaf}": [32] for norm in norms for leaf in ("weight", "bias")}


class Planned(NamedTuple):
    """What `plan_encoder` makes, without a vocabulary."""

    view: Any
    config: EncoderConfig
    heads: tuple[str, ...]
    plan: WeightPlan
    prefix: str

    def encoder(self) -> Encoder:
        variables = self.plan.checked("x").variables
        return Encoder(self.config, {each.ours: tf.Variable(self.plan.read(each, self.view)) for each in variables})

    def away_from_the_oracle(self) -> float:
        golden = golden_arrays(self.view, self.config, self.heads, under=Under(self.prefix))
        answer = self.encoder().encode(*(tf.constant(golden[f"0/{key}"]) for key in INPUT_KEYS))
        outputs = ("sequence_output", "pooled_output")
        return max(float(np.abs(answer[key] - golden[f"0/{key}"]).max()) for key in outputs)


def planned(checkpoint: OpenedCheckpoint, **how: Any) -> Planned:
    family, layout = detect(checkpoint, how.pop("family", None))
    view = folded(checkpoint, family, layout)
    config = read_config(view.config, family, layout.format, tables=table_shapes(view.shapes, layout), **how)
    heads = chosen_heads(head_states(view, layout), None, config)
    return Planned(view, config, heads, plan_with_heads(view, config, family, layout, heads), layout.prefix)


@pytest.mark.parametrize("model_type", ANSWERED)
def test_the_answers_are_transformers(model_type: str) -> None:
    answers = np.load(DATA / "siblings.npz")
    theirs = {key.partition("/")[2]: answers[key] for key in answers.files if key.startswith(f"{model_type}/")}
    for kind in ("bare", "mlm") if "mlm_logits" in theirs else ("bare",):
        # Classes with a head save no pooler, and models that are saved bare have no head.
        pooler = "first_token" if kind == "mlm" or "pooled_output" not in theirs else None
        found = planned(checkpoint_of(model_type, kind), pooler=pooler)
        encoder = found.encoder()
        given = sibling_inputs(found.config.padding_id, LENGTHS.get(model_type, 9))
        inputs = dict(zip(INPUT_KEYS, map(tf.constant, Case(*given.values())), strict=True))
        if model_type in ("distilbert", "bert-generation", "roberta", "data2vec-text"):
            inputs[INPUT_KEYS[2]] *= 0  # transformers was given none
        answer = encoder.encode(*inputs.values())
        if kind == "bare":
            real = given["mask"][..., None]
            np.testing.assert_allclose(
                answer["sequence_output"], theirs["sequence_output"] * real, rtol=0, atol=TOLERANCE
            )
            if pooler is None:
                np.testing.assert_allclose(answer["pooled_output"], theirs["pooled_output"], rtol=0, atol=TOLERANCE)
        else:
            assert found.heads == ("mlm",)
            positions = {MASKED_POSITIONS: tf.ones([3, 1], tf.int32)}
            logits = HEADS["mlm"].compute(encoder, answer, positions)["mlm_logits"]
            np.testing.assert_allclose(logits, theirs["mlm_logits"], rtol=0, atol=2 * TOLERANCE)
        assert found.away_from_the_oracle() < TOLERANCE


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_no_class_is_taken_for_another(model_type: str) -> None:
    kinds = ["bare", *(["mlm"] if "mlm" in listed()[model_type] else [])]
    for kind in kinds:
        for without in ((), ("model_type",)):  # then the architectures tell
            checkpoint = checkpoint_of(model_type, kind, without)
            if model_type in CONVERTED:
                family, _ = detect(checkpoint)
                assert family.name == CONVERTED[model_type]
                assert not planned(checkpoint, pooler="first_token").plan.problems
            else:
                with pytest.raises(Unsupported, match="which is not converted"):
                    detect(checkpoint)
                with pytest.raises(Unsupported, match="which is not converted"):
                    detect(checkpoint, "bert")


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES.keys() - CONVERTED.keys() - {"big_bird"}))
def test_a_class_whose_config_does_not_tell_has_variables_that_no_family_uses(model_type: str) -> None:
    """big_bird is BERT if its attention is full, and its config says if it is not."""
    for kind in ["bare", *(["mlm"] if "mlm" in listed()[model_type] else [])]:
        checkpoint = checkpoint_of(model_type, kind, ("model_type", "architectures"))
        for family in FAMILIES:
            for pooler in family.poolers:
                try:
                    problems = planned(checkpoint, family=family.name, pooler=pooler).plan.problems
                except ZooError:
                    continue
                assert problems, f"{model_type} {kind} passes as {family.name}"


def test_big_bird_with_blocks_is_none_of_ours() -> None:
    checkpoint = checkpoint_of("big_bird", without=("model_type", "architectures"), attention_type="block_sparse")
    with pytest.raises(Unsupported, match="'attention_type' is 'block_sparse'"):
        planned(checkpoint, family="bert")


def test_a_folded_encoder_is_exported_and_certified(tmp_path: Path) -> None:
    encoder = export_and_load(write(tmp_path, "roberta"), tmp_path / "out", layers=1)
    card = read_card(tmp_path / "out/odd")
    assert isinstance(card, EncoderCard) and max(card.certificate.max_difference.values()) < TOLERANCE
    assert (card.family, card.sizes.position_limit, card.sizes.type_vocab_size) == ("roberta", 40, 2)
    assert any("begins with the first token's row" in note for note in card.notes)
    assert card.variables["roberta/embeddings/position_embeddings"] == [("embeddings.position_embeddings.weight", 32)]
    ids, mask, types = sibling_inputs(1).values()
    answer = encoder(dict(zip(INPUT_KEYS, (ids, mask, types), strict=True)))["sequence_output"]
    found = planned(checkpoint_of("roberta"))
    short = found._replace(config=found.config.truncated(1)).encoder().encode(*map(tf.constant, (ids, mask, types)))
    np.testing.assert_allclose(answer, short["sequence_output"], atol=TOLERANCE)
    # The archive is a source again: its tables are folded already.
    again = plan_encoder(EncoderRequest(tmp_path / "out/odd", "again", tmp_path))
    assert again.config.sizes() == card.sizes
    position = next(each for each in again.plan.variables if each.ours == "embeddings/position/table")
    written = checkpoint_of("roberta").read("embeddings.position_embeddings.weight")
    np.testing.assert_array_equal(again.plan.read(position, again.checkpoint), written[2:])


def test_the_head_of_an_archive_keeps_what_no_config_states(tmp_path: Path) -> None:
    """ELECTRA's masked-LM head has gelu in transformers, even where the config says relu; this one is not tied."""
    source = write(tmp_path, "electra", "mlm")
    config = json.loads((source / "config.json").read_text()) | {"hidden_act": "relu", "tie_word_embeddings": False}
    (source / "config.json").write_text(json.dumps(config))
    arrays = load_file(source / "model.safetensors")
    table = next(arrays[name] for name in arrays if name.endswith("word_embeddings.weight"))
    save_file(arrays | {"generator_lm_head.weight": table + 0.1}, source / "model.safetensors")
    export_and_load(source, tmp_path / "out", pooler="first_token")
    found = [plan_encoder(EncoderRequest(path, "odd", tmp_path)) for path in (source, tmp_path / "out/odd.tar.gz")]
    first, again = (golden_arrays(each.checkpoint, each.config, each.heads) for each in found)
    assert [each.config.mlm_activation for each in found] == ["gelu", "gelu"]
    assert all("mlm/decoder/rows" in {variable.ours for variable in each.plan.variables} for each in found)
    np.testing.assert_allclose(again["0/mlm_logits"], first["0/mlm_logits"], atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_rounds_a_folded_table_once(dtype: Stored, tmp_path: Path) -> None:
    """The sum of two rounded tables is no number of half precision."""
    found = plan_encoder(EncoderRequest(write(tmp_path, "ernie"), "odd", tmp_path, dtype=dtype))
    stored = {each.ours: narrowed(found.plan.read(each, found.checkpoint), dtype) for each in found.plan.variables}
    single = {ours for ours, array in stored.items() if array.ndim == 2 and array.dtype == np.float32}
    assert single == {"embeddings/type/table"}
    encoder = Encoder(found.config, {ours: tf.Variable(array.astype(np.float32)) for ours, array in stored.items()})
    golden = golden_arrays(found.checkpoint, found.config)
    answer = encoder.encode(*(tf.constant(golden[f"0/{key}"]) for key in INPUT_KEYS))
    np.testing.assert_allclose(answer["sequence_output"], golden["0/sequence_output"], rtol=0, atol=TOLERANCE)


# -- RoBERTa ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_a_stored_decoder_counts_where_the_config_does_not_tie_it(tied: bool) -> None:
    """transformers ties the decoder to the word table when it loads a file, whatever the file holds."""
    checkpoint = checkpoint_of("ernie", "mlm", tie_word_embeddings=tied)
    arrays = {name: checkpoint.read(name) for name in checkpoint.shapes}
    own = np.random.default_rng(5).standard_normal((99, 32), np.float32)
    found = []
    for decoder in ({}, {"cls.predictions.decoder.weight": own}):
        container = Arrays(arrays | decoder)
        found.append(planned(replace(checkpoint, container=container, stored=container), pooler="first_token"))
    plain, odd = (golden_arrays(each.view, each.config, each.heads, under=Under(each.prefix)) for each in found)
    assert np.array_equal(plain["0/mlm_logits"], odd["0/mlm_logits"]) == tied
    assert ("mlm/decoder/rows" in {each.ours for each in found[1].plan.variables}) == (not tied)


@pytest.mark.parametrize(("written", "scope"), [("roberta", "lm_head"), ("ernie", "cls.predictions")])
def test_the_bias_beside_a_decoder_of_its_own(written: str, scope: str) -> None:
    """transformers 5 saves two biases of a head that is not tied to the word table, and reads the decoder's alone."""
    checkpoint = checkpoint_of(written, "mlm", tie_word_embeddings=False)
    arrays = {name: checkpoint.read(name) for name in checkpoint.shapes}
    own = np.random.default_rng(5).standard_normal((99, 32), np.float32)
    decoder = {f"{scope}.decoder.weight": own, f"{scope}.decoder.bias": own[:, 0]}
    logits = []
    for changed in ({}, {f"{scope}.bias": 0 * own[:, 0]}, {f"{scope}.decoder.bias": 2 * own[:, 0]}):
        container = Arrays(arrays | decoder | changed)
        found = planned(replace(checkpoint, container=container, stored=container), pooler="first_token")
        (bias,) = (each for each in found.plan.variables if each.ours == "mlm/output/output_bias")
        assert (found.heads, bias.sources) == (("mlm",), (f"{scope}.decoder.bias",))
        assert found.plan.left_out["masked-language-model head"] == (f"{scope}.bias",)
        assert f"{scope}.decoder.bias" in rows_of_tokens(found.view, detect(found.view)[1])
        golden = golden_arrays(found.view, found.config, found.heads, under=Under(found.prefix))
        logits.append(golden["0/mlm_logits"])
    np.testing.assert_array_equal(logits[1], logits[0])
    np.testing.assert_allclose(logits[2] - logits[0], np.broadcast_to(own[:, 0], logits[0].shape), atol=1e-5)


def test_fewer_tokens_of_roberta_are_compared_without_padding(tmp_path: Path) -> None:
    """RoBERTa's code gives padding no position, and the id of padding changes where tokens before it are left out."""
    write(tmp_path, "roberta")
    write_vocabulary(tmp_path / "vocab.txt", ["first", *VOCABULARY[:98]])
    (tmp_path / "kept.txt").write_text("你\n", encoding="utf-8")
    options = {"keep_tokens": tmp_path / "kept.txt", "heads": (), "pooler": "first_token"}
    plan = plan_encoder(EncoderRequest(tmp_path, "few", tmp_path, **options))
    assert plan.derived is not None and plan.derived.kept is not None
    assert (plan.padding_id, plan.config.padding_id, plan.config.kept_padding_id) == (0, 1, 0)
    few = golden_arrays(plan.checkpoint, plan.config, under=plan.under)
    cases = [case._replace(ids=plan.derived.kept[case.ids]) for case in golden_cases(plan.config)]
    whole = golden_arrays(plan.derived.parent, plan.config, cases=cases, under=plan.under)
    for key in ("0/sequence_output", "1/pooled_output"):
        np.testing.assert_allclose(few[key], whole[key], atol=1e-6)


def test_positions_of_roberta_begin_behind_the_padding_id() -> None:
    for padding in (0, 1, 3):
        found = planned(checkpoint_of("roberta", pad_token_id=padding))
        config = found.config
        assert (config.position_limit, config.type_vocab_size, config.padding_id) == (41 - padding, 2, padding)
        assert found.away_from_the_oracle() < TOLERANCE
    assert any("begins with the first token's row" in fact for fact in found.view.facts)


def test_both_token_types_of_roberta_are_the_same() -> None:
    encoder = planned(checkpoint_of("roberta")).encoder()
    ids, mask, types = (tf.constant(array) for array in sibling_inputs(1).values())
    answers = [encoder.encode(ids, mask, each)["sequence_output"] for each in (types, tf.zeros_like(types))]
    np.testing.assert_array_equal(*answers)


def test_a_padding_id_that_no_roberta_has() -> None:
    for padding in (-1, "one", 41):
        with pytest.raises((BadConfig, BadCheckpoint), match="pad_token_id.*positions|none is used"):
            planned(checkpoint_of("roberta", pad_token_id=padding))


def test_sizes_tell_roberta_from_bert_where_the_config_does_not() -> None:
    silent = checkpoint_of("roberta", without=("model_type", "architectures"))
    for asked in (None, "bert", "electra"):
        with pytest.raises((Unsupported, BadCheckpoint), match="Give --family roberta"):
            detect(silent, asked)
    assert detect(silent, "roberta")[0].name == "roberta"  # the step that the message names
    assert detect(replace(silent, config={**silent.config, "model_type": "bert"}))[0].name == "bert"  # the other


def test_a_config_of_roberta_over_weights_of_bert() -> None:
    copied = checkpoint_of("bert", "mlm", model_type="roberta")
    found = planned(copied, pooler="first_token")
    assert found.config.family == "bert" and not found.plan.problems
    assert "the config says model_type 'roberta'; names and sizes are those of family bert" in found.config.notes
    # The other way round: a class of somebody's own calls its RobertaModel `self.bert`.
    renamed = under(checkpoint_of("roberta"), "bert.")
    assert (planned(renamed).config.family, planned(renamed).config.position_limit) == ("roberta", 40)
    bare = checkpoint_of("bert", model_type="roberta", pad_token_id=0)
    with pytest.raises(BadCheckpoint, match=r"several token types.*with .*`--family bert`.*`--family roberta`"):
        detect(bare)
    assert detect(bare, "bert")[0].name == "bert"


# -- ERNIE, DistilBERT ------------------------------------------------------------------------------------------------


def test_the_task_of_ernie_is_added_to_its_types_if_the_config_says_so() -> None:
    table = {}
    for used in (True, False):
        found = planned(checkpoint_of("ernie", use_task_id=used))
        (reason,) = [reason for reason, names in found.plan.left_out.items() if "task_type" in names[0]]
        assert "transformers adds task 0 if the config says" in reason
        table[used] = found.view.read("embeddings.token_type_embeddings.weight")
    task = checkpoint_of("ernie").read("embeddings.task_type_embeddings.weight")
    np.testing.assert_array_equal(table[True], table[False] + task[:1])


def test_old_names_of_the_norms_of_ernie() -> None:
    new = checkpoint_of("ernie", "mlm")
    spellings = {name: name.replace("LayerNorm.weight", "LayerNorm.gamma") for name in new.shapes}
    spellings = {name: old.replace("LayerNorm.bias", "LayerNorm.beta") for name, old in spellings.items()}
    container = Arrays({old: new.read(name) for name, old in spellings.items()})
    found = planned(replace(new, container=container, stored=container), pooler="first_token")
    assert found.away_from_the_oracle() < TOLERANCE and found.heads == ("mlm",)


def test_an_ernie_without_the_table_of_tasks_that_its_config_names() -> None:
    checkpoint = checkpoint_of("ernie")
    assert isinstance(checkpoint.container, Arrays)
    kept = Arrays({name: array for name, array in checkpoint.container.arrays.items() if "task_type" not in name})
    with pytest.raises(BadCheckpoint, match="incomplete: .*task_type_embeddings.weight is missing"):
        planned(replace(checkpoint, container=kept, stored=kept))


def test_distilbert_says_what_it_has_not() -> None:
    view, config, _, plan, _ = planned(checkpoint_of("distilbert"))
    assert (config.hidden_size, config.layers, config.heads, config.intermediate_size) == (32, 2, 4, 56)
    assert config.pooler == "first_token" and any("has no token types" in fact for fact in view.facts)
    (types,) = [each for each in plan.variables if each.ours == "embeddings/type/table"]
    assert not plan.read(types, view).any()
    with pytest.raises(BadConfig, match="'n_heads' is 4 and 'num_attention_heads' is 8"):
        planned(checkpoint_of("distilbert", num_attention_heads=8))
    with pytest.raises(Unsupported, match="'layer_norm_eps' is 1e-05"):
        planned(checkpoint_of("distilbert", layer_norm_eps=1e-5))
