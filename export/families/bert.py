"""BERT: google-research/bert and everything trained with its code (wwm, RoBERTa-wwm, RBT, MiniLM, …)."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from export.families.table import ERF_IN_TRANSFORMERS, PYTORCH, TENSORFLOW, Family, Layout, dotted, with_gelu

SCOPES = {
    "embeddings": "bert/embeddings",
    "embeddings/word": "bert/embeddings/word_embeddings",
    "embeddings/position": "bert/embeddings/position_embeddings",
    "embeddings/type": "bert/embeddings/token_type_embeddings",
    "embeddings/norm": "bert/embeddings/LayerNorm",
    "block": "bert/encoder/layer_{i}",
    "block/attention/query": "bert/encoder/layer_{i}/attention/self/query",
    "block/attention/key": "bert/encoder/layer_{i}/attention/self/key",
    "block/attention/value": "bert/encoder/layer_{i}/attention/self/value",
    "block/attention/output": "bert/encoder/layer_{i}/attention/output/dense",
    "block/attention/norm": "bert/encoder/layer_{i}/attention/output/LayerNorm",
    "block/ffn/expand": "bert/encoder/layer_{i}/intermediate/dense",
    "block/ffn/contract": "bert/encoder/layer_{i}/output/dense",
    "block/ffn/norm": "bert/encoder/layer_{i}/output/LayerNorm",
    "pooler": "bert/pooler/dense",
}

TF1 = Layout(
    family="bert",
    format="tf1",
    prefix="bert/",
    scopes=SCOPES,
    leaves=TENSORFLOW,
    left_out={r"cls/squad/.*|(loss/)?output_(weights|bias)": "head of a fine-tuned task"},
)

TASK_HEADS: Mapping[str, str] = {r"(classifier|qa_outputs)\..*": "head of a fine-tuned task"}

HUGGING_FACE = Layout(
    family="bert",
    format="huggingface",
    prefix="bert.",
    scopes=dotted(SCOPES),
    leaves=PYTORCH,
    left_out={
        **TASK_HEADS,
        r"fit_dense\..*": "distillation projection (TinyBERT)",
    },
)


def renamed(
    family: str, left_out: Mapping[str, str] = TASK_HEADS, more: Mapping[str, str] = MappingProxyType({})
) -> tuple[Layout, Layout]:
    """Return the layouts of a family that has BERT's modules under its own name: transformers', and that of archives.

        HUGGING_FACE, ARCHIVES = renamed("nezha")
        HUGGING_FACE.scopes["pooler"], ARCHIVES.scopes["pooler"]  # "nezha.pooler.dense", "nezha/pooler/dense"

    `more` are further scopes as archives have them: {"embeddings/projection": "roformer/embeddings_project"}.
    """
    scopes = {**{module: scope.replace("bert/", f"{family}/") for module, scope in SCOPES.items()}, **more}
    theirs = replace(HUGGING_FACE, family=family, prefix=f"{family}.", scopes=dotted(scopes), left_out=left_out)
    return theirs, replace(TF1, family=family, prefix=f"{family}/", scopes=scopes)


# As export/readers/garden_heads.py shows the heads of Model Garden.
GARDEN_HEADS: Mapping[str, str] = {
    r"(sentence_prediction|token_classification|span_labeling|predictions/transform)/.*": "head of a fine-tuned task",
    r"sentence_prediction\.\.?pooler_dense/.*": "a classifier's dense layer, whose last layer is not in the file",
}

# Readers show TF2 Model Garden's variables under TF1's names, UER's under transformers'.
TF2 = replace(
    TF1,
    format="tf2",
    left_out={
        r"next_sentence[./].*": "next-sentence head",
        r"classification_heads/.*": "head of a fine-tuned task",
        **GARDEN_HEADS,
    },
)
UER = replace(HUGGING_FACE, format="uer", own_decoder=True)
# TF1 code that calls its norms layer_norm.
OLD_NORMS = replace(TF1, scopes={module: scope.replace("LayerNorm", "layer_norm") for module, scope in SCOPES.items()})

BERT = Family(
    name="bert",
    layouts=(TF1, HUGGING_FACE, TF2, UER, OLD_NORMS),
    model_types=("bert", "dpr", "splinter", "align_text_model", "chinese_clip_text_model"),
    activations={
        # google-research/bert wrote gelu with erf until 2019-02-07 (commit bee6030); its releases of 2018, and those
        # of the teams that trained with that code, are meant.
        "tf1": with_gelu("gelu", "TF1 BERT releases compute 'gelu' with erf"),
        "tf2": with_gelu("gelu_tanh", "TF2 Model Garden computes 'gelu' with tanh"),
        "huggingface": ERF_IN_TRANSFORMERS,
        "uer": {
            **with_gelu("gelu", "UER computes 'gelu' with erf"),
            "gelu_new": ("gelu_tanh", "UER computes 'gelu_fast' with tanh"),
        },
    },
)
