"""The names that archives and a directory of them go by, shared by those who write and those who read them."""

from typing import Literal

INPUT_WORD_IDS = "input_word_ids"
INPUT_MASK = "input_mask"
INPUT_TYPE_IDS = "input_type_ids"
INPUT_KEYS = (INPUT_WORD_IDS, INPUT_MASK, INPUT_TYPE_IDS)

SEQUENCE_OUTPUT = "sequence_output"
POOLED_OUTPUT = "pooled_output"
ENCODER_OUTPUTS = "encoder_outputs"
DEFAULT = "default"

Pooling = Literal["first", "mean", "pooled"]  # what of these the vector of a text is

# What the pre-training heads add, each under an attribute of its own: .mlm, .nsp, .discriminator; .attention likewise.
MASKED_POSITIONS = "masked_lm_positions"
MLM_LOGITS = "mlm_logits"
NSP_LOGITS = "nsp_logits"
DISCRIMINATOR_LOGITS = "discriminator_logits"
ATTENTION_SCORES = "attention_scores"
HEADS = {"mlm": MLM_LOGITS, "nsp": NSP_LOGITS, "discriminator": DISCRIMINATOR_LOGITS}  # attribute -> its output

TOKENS_SIGNATURE = "tokens"
SERVING_SIGNATURE = "serving_default"

EXTRA_FOLDER = "assets.extra"
CARD_FILE = f"{EXTRA_FOLDER}/card.json"
GOLDEN_FILE = f"{EXTRA_FOLDER}/golden.npz"

REGISTRY_FILE = "registry.json"
SCHEMA_FILE = "registry.schema.json"
SUMS_FILE = "SHA256SUMS"
PREPROCESS = "_preprocess"  # what a tokenizer's name gains for the archive with the dict at its root
