"""The weight plan on genuine and generated listings: complete, or every problem at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from export.families import ALBERT, BERT, detect
from export.heads.planning import plan_with_heads
from export.weights.config import read_config
from export.weights.plan import WeightPlan
from scripts.layouts import Shapes, albert, bert, bert_config, transformers_arrays
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import odd_config
from zoo.errors import BadCheckpoint, BadConfig, Unsupported, WeightMismatch

TF1, HUGGING_FACE, *_ = BERT.layouts


class Listing:
    """A checkpoint of which only names and shapes are known."""

    def __init__(self, shapes: Shapes, config: dict[str, Any], format: str = "tf1") -> None:
        self.shapes, self.config, self.format = shapes, config, format
        self.path, self.files, self.family = Path("listing"), (), None

    def read(self, name: str) -> Any:
        raise AssertionError(f"a plan must not read {name}")


def plan_of(listing: Listing, **how: Any) -> WeightPlan:
    family, layout = detect(listing)  # type: ignore[arg-type]
    config = read_config(listing.config, family, layout.format, pooler=how.pop("pooler", None))
    config = config.truncated(how.pop("layers", config.layers))
    return plan_with_heads(listing, config, family, layout, ())  # type: ignore[arg-type]


def odd_listing(**changes: Any) -> Listing:
    return Listing(bert(odd_config()), odd_config(**changes))


def without_heads(shapes: Shapes) -> Shapes:
    return {name: shape for name, shape in shapes.items() if not name.startswith("cls/")}


def test_every_variable_of_a_release_is_used_or_left_out_by_name() -> None:
    config = bert_config(12, 768, 12, 3072, 21128)
    plan = plan_of(Listing(bert(config), config)).checked("bert")
    used = [source for variable in plan.variables for source in variable.sources]
    left = [name for names in plan.left_out.values() for name in names]
    assert sorted(used + left) == sorted(bert(config))
    assert (len(used), len(left)) == (199, 7)
    assert plan.parameters == 102_267_648  # encoder and pooler of the published model


def test_query_key_value_become_one_variable() -> None:
    by_name = {variable.name: variable for variable in plan_of(odd_listing()).variables}
    joined = by_name["bert/encoder/layer_2/attention/self/query_key_value/kernel"]
    assert joined.shape == (32, 96) and joined.widths == (32, 32, 32)
    assert joined.sources == tuple(
        f"bert/encoder/layer_2/attention/self/{part}/kernel" for part in ("query", "key", "value")
    )


def test_biases_and_norms_of_a_layer_become_one_variable() -> None:
    by_name = {variable.name: variable for variable in plan_of(odd_listing()).variables}
    joined = by_name["bert/encoder/layer_2/bias_and_LayerNorm"]
    assert dict(zip(joined.sources, joined.widths, strict=True)) == {
        "bert/encoder/layer_2/attention/self/query/bias": 32,
        "bert/encoder/layer_2/attention/self/key/bias": 32,
        "bert/encoder/layer_2/attention/self/value/bias": 32,
        "bert/encoder/layer_2/attention/output/dense/bias": 32,
        "bert/encoder/layer_2/attention/output/LayerNorm/gamma": 32,
        "bert/encoder/layer_2/attention/output/LayerNorm/beta": 32,
        "bert/encoder/layer_2/intermediate/dense/bias": 56,
        "bert/encoder/layer_2/output/dense/bias": 32,
        "bert/encoder/layer_2/output/LayerNorm/gamma": 32,
        "bert/encoder/layer_2/output/LayerNorm/beta": 32,
    }
    assert joined.shape == (9 * 32 + 56,) and not joined.transposed
    of_embeddings = by_name["bert/embeddings/bias_and_LayerNorm"]
    assert of_embeddings.sources == ("bert/embeddings/LayerNorm/gamma", "bert/embeddings/LayerNorm/beta")
    config = odd_config(embedding_size=20, num_hidden_groups=1)
    names = {variable.name for variable in plan_of(Listing(albert(config), config)).variables}
    assert "bert/encoder/transformer/group_0/inner_group_0/bias_and_LayerNorm" in names


def test_slots_and_counters_are_left_out_by_name() -> None:
    listing = odd_listing()
    slots = {f"{name}/adam_{slot}": shape for name, shape in listing.shapes.items() for slot in "mv"}
    listing.shapes = {**listing.shapes, **slots, "global_step": ()}
    plan = plan_of(listing).checked("odd")
    assert plan.left_out["optimiser slot"] == tuple(sorted(slots))
    assert plan.left_out["training counter"] == ("global_step",)


def test_all_problems_at_once() -> None:
    listing = odd_listing()
    shapes = dict(listing.shapes)
    del shapes["bert/encoder/layer_1/output/dense/kernel"], shapes["bert/embeddings/LayerNorm/beta"]
    shapes["bert/embeddings/word_embeddings"] = (98, 32)
    shapes["bert/encoder/layer_0/attention/self/key/bias"] = (31,)
    shapes["bert/encoder/layer_7/output/dense/bias"] = (32,)
    shapes["something/else"] = (1,)
    listing.shapes = shapes
    with pytest.raises(WeightMismatch) as error:
        plan_of(listing).checked("odd (family bert)")
    for words in (
        "odd (family bert): 2 missing",
        "bert/encoder/layer_1/output/dense/kernel",
        "bert/embeddings/LayerNorm/beta",
        "2 shape: bert/embeddings/word_embeddings is (98, 32), the config says (99, 32)",
        "bert/encoder/layer_0/attention/self/key/bias is (31), the config says (32)",
        "2 unused: bert/encoder/layer_7/output/dense/bias, something/else",
    ):
        assert words in str(error.value)


def test_truncation_is_left_out_by_name_and_nothing_else_is() -> None:
    plan = plan_of(odd_listing(), layers=1).checked("odd")
    left = plan.left_out["truncated from 3 layers"]
    assert left and all("layer_1/" in name or "layer_2/" in name for name in left) and len(left) == 32
    listing = odd_listing()
    listing.shapes = {**listing.shapes, "bert/encoder/other/kernel": (1,)}
    assert plan_of(listing, layers=1).unused == ("bert/encoder/other/kernel",)


def test_ten_layers_and_more_are_told_apart() -> None:
    config = odd_config(num_hidden_layers=12)
    plan = plan_of(Listing(bert(config), config), layers=1).checked("odd")
    assert len(plan.left_out["truncated from 12 layers"]) == 11 * 16


@pytest.mark.parametrize("layers", [0, -1, 4])
def test_layers_outside_the_model(layers: int) -> None:
    with pytest.raises(BadConfig, match="this model has 3; choose 1 to 3"):
        plan_of(odd_listing(), layers=layers)


def test_a_missing_pooler_is_an_error_with_a_way_out() -> None:
    listing = odd_listing()
    listing.shapes = {name: shape for name, shape in listing.shapes.items() if "pooler" not in name}
    with pytest.raises(WeightMismatch, match="bert/pooler/dense/kernel.*--pooler first_token"):
        plan_of(listing).checked("odd")
    plan_of(listing, pooler="first_token").checked("odd")


def test_an_unused_pooler_is_left_out_by_name() -> None:
    plan = plan_of(odd_listing(), pooler="first_token").checked("odd")
    assert plan.left_out["pooler not asked for"] == ("bert/pooler/dense/bias", "bert/pooler/dense/kernel")


@pytest.mark.parametrize("bare", [False, True])
def test_transformers_names(bare: bool) -> None:
    arrays = transformers_arrays(random_arrays(bert(odd_config())), bare=bare)
    prefix = "" if bare else "bert."
    shapes: Shapes = {name: array.shape for name, array in arrays.items()}
    shapes[f"{prefix}embeddings.position_ids"] = (1, 40)
    listing = Listing(shapes, odd_config(model_type="bert"), "huggingface")
    plan = plan_of(listing, layers=2).checked("odd")
    assert plan.left_out["buffer that only counts positions"] == (f"{prefix}embeddings.position_ids",)
    by_name = {variable.name: variable for variable in plan.variables}
    expand = by_name["bert/encoder/layer_1/intermediate/dense/kernel"]
    assert expand.sources == (f"{prefix}encoder.layer.1.intermediate.dense.weight",)
    assert expand.transposed and expand.shape == (32, 56)


def test_printed_plan_is_the_dry_run() -> None:
    text = str(plan_of(odd_listing()))
    assert "bert/pooler/dense/kernel" in text and "left out, next-sentence head: 2" in text
    assert json.loads(json.dumps(plan_of(odd_listing()).to_dict()))["missing"] == []


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_roformer_like_is_refused() -> None:
    listing = odd_listing()
    listing.shapes = {name: shape for name, shape in listing.shapes.items() if "position" not in name}
    with pytest.raises(Unsupported, match="no position table.*RoFormer or NEZHA"):
        plan_of(listing)
    with pytest.raises(Unsupported, match="no position table.*Both convert from transformers' files"):
        plan_of(Listing(listing.shapes, {**listing.config, "model_type": "roformer"}))
    with pytest.raises(Unsupported, match="RoFormerV2"):
        plan_of(odd_listing(model_type="roformer_v2"))


def test_relative_positions_are_refused() -> None:
    with pytest.raises(Unsupported, match="relative_key.*only absolute"):
        plan_of(odd_listing(position_embedding_type="relative_key"))


def test_no_known_family() -> None:
    with pytest.raises(BadCheckpoint, match="does not have the names of a known family.*encoder/x"):
        plan_of(Listing({"encoder/x": (1,)}, odd_config()))


def test_a_config_s_problems_are_listed_together() -> None:
    config = odd_config(hidden_act="prelu", num_attention_heads=5, vocab_size="many", hidden_dropout_prob=2)
    del config["type_vocab_size"]
    with pytest.raises(BadConfig) as error:
        read_config(config, BERT, "tf1")
    for words in (
        "no 'type_vocab_size'",
        "'prelu'; known here: gelu, ",
        "32 is not a multiple",
        "'many'",
        "is 2",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"layer_norm_eps": None},
        {"layer_norm_eps": "small"},
        {"layer_norm_eps": -1},
        {"hidden_act": ["gelu"]},
        {"num_hidden_groups": None},
        {"num_hidden_groups": 0},
        {"num_hidden_groups": 9},
        {"embedding_size": 0},
    ],
    ids=str,
)
def test_odd_values_of_a_config_are_errors_by_name(changes: dict[str, Any]) -> None:
    config = odd_config(embedding_size=20, num_hidden_groups=1) | changes
    with pytest.raises(BadConfig, match=f"'{next(iter(changes))}' is "):
        read_config(config, ALBERT, "tf1")


def test_gelu_means_what_the_release_means() -> None:
    assert read_config(odd_config(), BERT, "tf1").activation == "gelu"
    assert read_config(odd_config(hidden_act="gelu_new"), BERT, "huggingface").activation == "gelu_tanh"
    chosen = read_config(odd_config(), BERT, "tf1", activation="relu")
    assert chosen.activation == "relu" and "chosen by the exporter" in chosen.activation_reason


def test_layouts_name_the_same_modules() -> None:
    assert TF1.scopes.keys() == HUGGING_FACE.scopes.keys()


def test_the_bare_bert_and_the_bare_electra_share_their_names() -> None:
    arrays = transformers_arrays(random_arrays(bert(odd_config())), bare=True)
    shapes: Shapes = {name: array.shape for name, array in arrays.items()}
    plan_of(Listing(shapes, odd_config(), "huggingface")).checked("odd")  # ELECTRA has no pooler
    shapes = {name: shape for name, shape in shapes.items() if "pooler" not in name}
    with pytest.raises(
        BadCheckpoint, match="names of bert and electra. Choose one with `--family bert` or `--family el"
    ):
        plan_of(Listing(shapes, odd_config(embedding_size=32), "huggingface"))
    plan_of(Listing(shapes, odd_config(), "huggingface"), pooler="first_token").checked("odd")


def test_another_models_config_has_a_next_move() -> None:
    """The weights of BERT-base beside the config of BERT-large, cut to as many layers."""
    wider = plan_of(odd_listing(hidden_size=64, intermediate_size=148))
    with pytest.raises(WeightMismatch, match="the config says .* Name the config that belongs .* with --config.$"):
        wider.checked("odd")
