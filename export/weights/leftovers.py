"""Names of variables that training leaves beside the weights of any family; each of them leaves no doubt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from export.families.table import Layout, Leaf
from export.readers.protocol import Format
from zoo.errors import BadConfig

AVERAGE = "/ExponentialMovingAverage"  # behind the name of a variable: its average over the steps of a training

_SLOT, _COUNTER = "optimiser slot", "training counter"
_OBJECTS = "description of the objects that were saved"
_OPTIMISERS = (
    "Adam|AdamW|AdaMax|Nadam|LazyAdam|RAdam|AdaBelief|AdamWeightDecay|Adagrad|AdagradDA|ProximalAdagrad|Adadelta|"
    "Adafactor|Ftrl|Momentum|RMSProp|LAMB|LARS|AddSign|PowerSign"
)
_COUNTERS = (
    r"global_step|eval_step|beta[12]_power|learning_rate|(current_)?loss_scale([/_]\w+)?|(num_)?(good|bad)_steps|"
    "signal_early_stopping/STOP"
)

# Pattern for whole names -> reason. The group "of" has to be the name of a variable: "kernel/v" is a slot of "kernel".
_TF1: Mapping[str, str] = {
    rf".+/({_OPTIMISERS})(Optimizer)?(_\d+)?": _SLOT,
    r".+/(adam|lamb|lars|adafactor)_(m|v|vr|vc)(_\d+)?": _SLOT,
    r"(?P<of>.+?)[/_](slot_)?(m|v|vr|vc)(_\d+)?": _SLOT,  # Adafactor keeps rows and columns: vr, vc
    rf"(.+/)?({_COUNTERS})(_\d+)?": _COUNTER,
    rf".+{AVERAGE}(/(biased|local_step))?": "averaged weights; --averages takes them",
    # Beside ALBERT of Model Garden, saved by TF2.
    r"(.*/)?(save_counter|global_step|step|epoch|optimizer|keras_api)/.*\.ATTRIBUTES/.*": _COUNTER,
    "_CHECKPOINTABLE_OBJECT_GRAPH": _OBJECTS,
}
_TF2: Mapping[str, str] = {
    r".*/\.OPTIMIZER_SLOT/.*|.*/_variables/\d+/\.ATTRIBUTES/.*": _SLOT,
    r"(save_counter|global_step|step|epoch|(.*/)?optimizer)/.*": _COUNTER,
    r"keras_api/metrics/.*": "metric of a training",
    "_CHECKPOINTABLE_OBJECT_GRAPH": _OBJECTS,
}
# Keras leaves Adam/m/NAME and the like beside transformers' TensorFlow classes. PyTorch's own names have no slash.
_KERAS: Mapping[str, str] = {
    r"optimizer_weights/.*|\w+/(m|v|vhat|momentum|velocity|accumulator)/.+/.+": _SLOT,
    **_TF2,
}
_LOSSES = "criterion|crit|loss|loss_fn|loss_fct|loss_func|loss_function|(ce|bce|cls|nll|focal|cross_entropy)_loss"
_PYTORCH: Mapping[str, str] = {
    **_KERAS,
    r"(.*\.)?position_ids": "buffer that only counts positions",
    r"(.*\.)?embeddings\.token_type_ids": "buffer of zeros, the default token types",
    r"(.*\.)?num_batches_tracked": _COUNTER,
    rf"(.*\.)?({_LOSSES})\.(weight|pos_weight|alpha)": "weights of the classes in a loss",
    r"(.*\.)?(log_vars|log_sigmas?|loss_weights)(\.\d+)?": "weights of losses",
    r"(.*\.)?(soft_prompt|prompt_embeddings?|prompt_encoder|prompt_tokens|prefix_encoder|prefix_tokens)(\..*)?": (
        "prompt vectors; the encoder is exported without them"
    ),
}
_LEFTOVERS: Mapping[Format, Mapping[str, str]] = {
    "tf1": _TF1,
    "tf2": _TF2,
    "huggingface": _PYTORCH,
    "uer": _PYTORCH,
    "archive": {r"task/.*": "head of the text archive"},
}


def leftover(name: str, names: Collection[str], format: Format) -> str | None:
    """Return why a variable is known to be no weight of a model, None if nothing is known of it.

    leftover("bert/pooler/dense/kernel/adam_m", names, "tf1")  # "optimiser slot"
    """
    for pattern, reason in _LEFTOVERS[format].items():
        if (match := re.fullmatch(pattern, name)) and match.groupdict().get("of", name) in names:
            return reason
    return None


def averaged(layout: Layout, names: Collection[str]) -> Layout:
    """Return a layout that finds the averages of variables alone. Raises BadConfig if there are none."""
    if not any(name.endswith(AVERAGE) for name in names):
        raise BadConfig(f"there are no averaged weights: no name ends with {AVERAGE}. Run it without --averages.")
    leaves = {
        name: Leaf(tuple(ending + AVERAGE for ending in leaf.endings), leaf.transposed)
        for name, leaf in layout.leaves.items()
    }
    return replace(layout, leaves=leaves)
