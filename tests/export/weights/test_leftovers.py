"""What training leaves in a file needs no option; anything that only looks like it does."""

from __future__ import annotations

import pytest

from export.families import detect
from export.heads.planning import head_states, plan_with_heads
from export.weights.config import read_config
from export.weights.leftovers import AVERAGE, averaged, leftover
from scripts.layouts import Shapes, bert, transformers_arrays
from scripts.random_checkpoint import random_arrays
from tests.export.conftest import odd_config
from tests.export.weights.test_plan import Listing, plan_of
from zoo.errors import BadConfig

KERNEL = "bert/pooler/dense/kernel"
SLOT, COUNTER = "optimiser slot", "training counter"

# what a trainer writes beside bert/pooler/dense/kernel, and the reason
TENSORFLOW = {
    f"{KERNEL}/adam_m": SLOT,
    f"{KERNEL}/adam_v": SLOT,
    f"{KERNEL}/adam_m_1": SLOT,
    f"{KERNEL}/adam_v_1": SLOT,
    f"{KERNEL}/Adam": SLOT,
    f"{KERNEL}/Adam_1": SLOT,
    f"{KERNEL}/Adam_2": SLOT,
    f"{KERNEL}/AdamW": SLOT,
    f"{KERNEL}/AdamWeightDecayOptimizer": SLOT,
    f"{KERNEL}/AdamWeightDecayOptimizer_1": SLOT,
    f"{KERNEL}/Momentum": SLOT,
    f"{KERNEL}/RMSProp": SLOT,
    f"{KERNEL}/RMSProp_1": SLOT,
    f"{KERNEL}/Adagrad": SLOT,
    f"{KERNEL}/Adadelta": SLOT,
    f"{KERNEL}/Adadelta_1": SLOT,
    f"{KERNEL}/Ftrl": SLOT,
    f"{KERNEL}/Ftrl_1": SLOT,
    f"{KERNEL}/ProximalAdagrad": SLOT,
    f"{KERNEL}/Adafactor": SLOT,
    f"{KERNEL}/vr": SLOT,
    f"{KERNEL}/vc": SLOT,
    f"{KERNEL}/v": SLOT,
    f"{KERNEL}_slot_vr": SLOT,
    f"{KERNEL}/adafactor_vc": SLOT,
    f"{KERNEL}/LAMBOptimizer": SLOT,
    f"{KERNEL}/LAMBOptimizer_1": SLOT,
    f"{KERNEL}/LAMB": SLOT,
    f"{KERNEL}/lamb_m": SLOT,
    f"{KERNEL}/LARSOptimizer": SLOT,
    f"OptimizeLoss/{KERNEL}/Adam": SLOT,
    "global_step": COUNTER,
    "train/global_step": COUNTER,
    "beta1_power": COUNTER,
    "beta2_power_1": COUNTER,
    "optimizer/beta1_power": COUNTER,
    "learning_rate": COUNTER,
    "loss_scale": COUNTER,
    "current_loss_scale": COUNTER,
    "good_steps": COUNTER,
    "num_good_steps": COUNTER,
    "bad_steps": COUNTER,
    "signal_early_stopping/STOP": COUNTER,
    f"{KERNEL}{AVERAGE}": "averaged weights; --averages takes them",
    f"{KERNEL}{AVERAGE}/biased": "averaged weights; --averages takes them",
}
OBJECTS = {
    f"model/layer-1/kernel/.OPTIMIZER_SLOT/optimizer/{slot}/.ATTRIBUTES/VARIABLE_VALUE": SLOT for slot in "mv"
} | {
    "save_counter/.ATTRIBUTES/VARIABLE_VALUE": COUNTER,
    "optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE": COUNTER,
    "optimizer/loss_scale/current_loss_scale/.ATTRIBUTES/VARIABLE_VALUE": COUNTER,
    "step/.ATTRIBUTES/VARIABLE_VALUE": COUNTER,
    "keras_api/metrics/0/total/.ATTRIBUTES/VARIABLE_VALUE": "metric of a training",
}
BUFFER, CLASSES = "buffer that only counts positions", "weights of the classes in a loss"
PROMPT = "prompt vectors; the encoder is exported without them"
TORCH = {
    "position_ids": BUFFER,
    "bert.embeddings.position_ids": BUFFER,
    "module.bert.embeddings.token_type_ids": "buffer of zeros, the default token types",
    "norm.num_batches_tracked": COUNTER,
    "criterion.weight": CLASSES,
    "loss_fct.pos_weight": CLASSES,
    "model.ce_loss.weight": CLASSES,
    "focal_loss.alpha": CLASSES,
    "log_vars": "weights of losses",
    "log_vars.1": "weights of losses",
    "model.loss_weights": "weights of losses",
    "prompt_embeddings": PROMPT,
    "prompt_encoder.lstm_head.weight_ih_l0": PROMPT,
    "model.prefix_encoder.embedding.weight": PROMPT,
}
NOT_PROVEN = {
    "tf1": (
        "dense/kernel",
        "project/v",  # no variable is called "project"
        "crf/m",
        "Adam",
        "bert/Adamant",
        "global_steps",
        "bert/pooler/dense/loss_scaled/kernel",
        "ExponentialMovingAverage",
    ),
    "huggingface": (
        "fc.weight",
        "loss_classifier.weight",
        "criterion.classifier.weight",
        "my_position_ids",
        "norm.running_mean",
        "log_vars_head.weight",
        "prompting.weight",
    ),
}


@pytest.mark.parametrize(
    ("format", "name", "reason"),
    [("tf1", *row) for row in TENSORFLOW.items()]
    + [("tf2", *row) for row in OBJECTS.items()]
    + [("huggingface", *row) for row in TORCH.items()]
    + [(format, name, None) for format, names in NOT_PROVEN.items() for name in names],
)
def test_leftovers(format: str, name: str, reason: str | None) -> None:
    assert leftover(name, {KERNEL, name}, format) == reason  # type: ignore[arg-type]


def test_a_plan_with_every_leftover_needs_no_option() -> None:
    shapes: Shapes = {**bert(odd_config()), **dict.fromkeys(TENSORFLOW, (1,))}
    plan = plan_of(Listing(shapes, odd_config())).checked("odd")
    assert {name for names in plan.left_out.values() for name in names if not name.startswith("cls/")} == {*TENSORFLOW}
    torch: Shapes = {
        name: array.shape for name, array in transformers_arrays(random_arrays(bert(odd_config()))).items()
    }
    torch = {f"module.{name}": shape for name, shape in torch.items()}
    plan = plan_of(Listing({**torch, **dict.fromkeys(TORCH, (1,))}, odd_config(), "huggingface")).checked("odd")
    assert {name for names in plan.left_out.values() for name in names if "cls." not in name} == {*TORCH}


def test_no_variable_of_an_encoder_looks_like_a_leftover() -> None:
    shapes = bert(odd_config())
    assert [name for name in shapes if leftover(name, shapes, "tf1")] == []


# -- averages ---------------------------------------------------------------------------------------------------------


def with_averages() -> Listing:
    shapes = {name: shape for name, shape in bert(odd_config()).items() if not name.startswith("cls/seq")}
    return Listing(
        {**shapes, **{name + AVERAGE: shape for name, shape in shapes.items()}, "global_step": ()}, odd_config()
    )


def test_plain_weights_are_taken_and_the_others_named() -> None:
    plan = plan_of(with_averages()).checked("odd")
    assert not any(AVERAGE in source for variable in plan.variables for source in variable.sources)
    assert len(plan.left_out["averaged weights; --averages takes them"]) == len(bert(odd_config())) - 2


def test_averages_are_taken_whole_or_not_at_all() -> None:
    listing = with_averages()
    listing.read = lambda name: random_arrays({name: listing.shapes[name]})[name]  # type: ignore[method-assign]
    family, layout = detect(listing)  # type: ignore[arg-type]
    layout = averaged(layout, listing.shapes)
    config = read_config(listing.config, family, layout.format)
    assert head_states(listing, layout)["mlm"] != "absent"  # type: ignore[arg-type]
    plan = plan_with_heads(listing, config, family, layout, ("mlm",)).checked("odd")  # type: ignore[arg-type]
    assert all(source.endswith(AVERAGE) for variable in plan.variables for source in variable.sources)
    assert not any(AVERAGE in variable.name for variable in plan.variables)
    plain = plan.left_out["plain weights; the averaged ones were taken"]
    assert {*plain} == {name for name in listing.shapes if AVERAGE not in name} - {"global_step"}
    gone = f"bert/embeddings/word_embeddings{AVERAGE}"
    listing.shapes = {name: shape for name, shape in listing.shapes.items() if name != gone}
    assert plan_with_heads(listing, config, family, layout, ()).missing == (gone,)  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="no name ends with /ExponentialMovingAverage. Run it without --averages"):
        averaged(layout, bert(odd_config()))
