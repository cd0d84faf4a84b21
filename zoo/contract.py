"""The names that archives and a directory of them go by, shared by those who write and those who read them."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

INPUT_WORD_IDS = "input_word_ids"
INPUT_MASK = "input_mask"
INPUT_TYPE_IDS = "input_type_ids"
INPUT_KEYS = (INPUT_WORD_IDS, INPUT_MASK, INPUT_TYPE_IDS)

SEQUENCE_OUTPUT = "sequence_output"
POOLED_OUTPUT = "pooled_output"
ENCODER_OUTPUTS = "encoder_outputs"
DEFAULT = "default"

LEAST_TOKENS = 3  # that a limit may be: [CLS], one token, [SEP]
# How the outputs for a text become its vector: zoo/loading/pooling.py has the arithmetic.
Pooling = Literal["first", "mean", "pooled", "max", "mean_sqrt_len", "weightedmean", "lasttoken"]
_OF_FIRST = {"first", "pooled"}  # those that read nothing but the first token's last output

MASKED_POSITIONS = "masked_lm_positions"
MLM_LOGITS = "mlm_logits"
NSP_LOGITS = "nsp_logits"
DISCRIMINATOR_LOGITS = "discriminator_logits"
ATTENTION_SCORES = "attention_scores"


# The tasks of text archives: zoo/archive/task.py has what a card states of one, export/tasks/ the arithmetic.
TaskName = Literal["vector", "classification", "token_classification", "span", "fill_mask"]


class TaskCall(NamedTuple):
    """How a text archive of a task is called: whether it takes texts [B], pairs [B, 2] or both, and what it gives.

    `outputs` maps a name to axes, one letter an axis: B texts, D numbers, C labels, T tokens, E of any number a text.
    An output of texts or whole numbers has to be repeated exactly.
    """

    takes: Literal["texts", "pairs", "both"]
    outputs: Mapping[str, str]


VECTOR = "vector"  # the only output, so the root gives it alone, without a dict
TASKS: dict[TaskName, TaskCall] = {
    "vector": TaskCall("both", {VECTOR: "BD"}),
    "classification": TaskCall("both", {"logits": "BC", "scores": "BC", "label": "B"}),
    "token_classification": TaskCall(
        "texts",
        {
            "label": "BE",
            "start": "BE",
            "limit": "BE",
            "score": "BE",
            "token_label": "BT",
            "token_score": "BT",
            "logits": "BTC",
        },
    ),
    "span": TaskCall(
        "pairs", {"answer": "B", "start": "B", "limit": "B", "score": "B", "null_score": "B", "logits": "BTC"}
    ),
    "fill_mask": TaskCall("texts", {"token": "BEC", "score": "BEC"}),
}
# Function of an archive of vectors -> the names that its prompt may have, the best first.
PROMPTED = {"query": ("query",), "passage": ("passage", "document", "corpus")}


def reads_first_only(pooling: str | None) -> bool:
    """Return whether a pooling, such as "first+pooled", reads nothing but the last output of each first token.

    reads_first_only("first+max")  # False
    """
    return pooling is not None and {*pooling.split("+")} <= _OF_FIRST


def prompt_of(function: str, prompts: Mapping[str, str]) -> str:
    """Return the prompt of "query" or "passage" among those of a model; "" without one."""
    return next((prompts[name] for name in PROMPTED[function] if name in prompts), "")


TEXT = "text"  # the input of the signature
ROOT = "__call__"  # the root itself among the functions of an archive


class HeadCall(NamedTuple):
    """How a head of an archive is called: the outputs that it adds to the encoder's, and the inputs that it needs.

    The three inputs of the encoder go without saying. Both map a name to its axes, one letter an axis: B batch, T
    tokens, M masked positions, V vocabulary; '.' is any other size. The inputs are integers.
    """

    outputs: Mapping[str, str]
    inputs: Mapping[str, str] = {}


# The heads that an archive may have, each under an attribute of its name: `encoder.mlm(inputs)["mlm_logits"]`. The
# exporter has a row with each head's variables and arithmetic in export/heads/.
HEADS: dict[str, HeadCall] = {
    "mlm": HeadCall({MLM_LOGITS: "BMV"}, {MASKED_POSITIONS: "BM"}),
    "nsp": HeadCall({NSP_LOGITS: "B."}),
    "discriminator": HeadCall({DISCRIMINATOR_LOGITS: "BT"}),
}

# The axes of the encoder's own outputs; axes that are not listed are of any size. `.attention` gives its scores.
ENCODER_AXES = {
    SEQUENCE_OUTPUT: "BT",
    ENCODER_OUTPUTS: "BT",
    POOLED_OUTPUT: "B",
    DEFAULT: "B",
    ATTENTION_SCORES: "B.TT",
}


def head_outputs() -> dict[str, str]:
    """Return the axes of every output of every head: {"mlm_logits": "BMV", …}."""
    return {name: axes for head in HEADS.values() for name, axes in head.outputs.items()}


def head_inputs() -> dict[str, str]:
    """Return the axes of every input that some head takes beside the encoder's: {"masked_lm_positions": "BM"}."""
    return {name: axes for head in HEADS.values() for name, axes in head.inputs.items()}


TOKENS_SIGNATURE = "tokens"
SERVING_SIGNATURE = "serving_default"

EXTRA_FOLDER = "assets.extra"
CARD_FILE = f"{EXTRA_FOLDER}/card.json"
GOLDEN_FILE = f"{EXTRA_FOLDER}/golden.npz"

# Of a conversion to ONNX.
ONNX_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
CONVERSION_FILE = "conversion.json"

REGISTRY_FILE = "registry.json"
REGISTRY_FORMAT: Final = 1  # grows when an older reader would misunderstand a new file; a field that is added leaves it
SCHEMA_FILE = "registry.schema.json"
SUMS_FILE = "SHA256SUMS"
TRUSTED_KEY = "ZOO_TRUSTED_KEY"  # the variable with the keys that have to sign
ONNX = "_onnx"  # what a text archive's name gains for its conversion, which zoo.lite reads
PREPROCESS = "_preprocess"  # what a tokenizer's name gains for the archive with the dict at its root
