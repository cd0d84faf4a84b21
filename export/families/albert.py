"""ALBERT as Google writes it: embeddings are normed at their own width, then projected; layers share blocks."""

from export.families.bert import GARDEN_HEADS, TF1 as BERT_TF1
from export.families.table import ERF_IN_TRANSFORMERS, PYTORCH, TENSORFLOW, Family, Layout, with_gelu

_BLOCK = "bert/encoder/transformer/group_{i}/inner_group_0"
_HF_BLOCK = "albert.encoder.albert_layer_groups.{i}.albert_layers.0"

TF1 = Layout(
    family="albert",
    format="tf1",
    prefix="bert/",
    scopes={
        **{module: scope for module, scope in BERT_TF1.scopes.items() if not module.startswith("block")},
        "embeddings/projection": "bert/encoder/embedding_hidden_mapping_in",
        "block": _BLOCK,
        "block/attention/query": f"{_BLOCK}/attention_1/self/query",
        "block/attention/key": f"{_BLOCK}/attention_1/self/key",
        "block/attention/value": f"{_BLOCK}/attention_1/self/value",
        "block/attention/output": f"{_BLOCK}/attention_1/output/dense",
        "block/attention/norm": f"{_BLOCK}/LayerNorm",  # swapping it with LayerNorm_1 raises no error and is wrong
        "block/ffn/expand": f"{_BLOCK}/ffn_1/intermediate/dense",
        "block/ffn/contract": f"{_BLOCK}/ffn_1/intermediate/output/dense",
        "block/ffn/norm": f"{_BLOCK}/LayerNorm_1",
    },
    leaves=TENSORFLOW,
    left_out={**BERT_TF1.left_out, **GARDEN_HEADS},
)

HUGGING_FACE = Layout(
    family="albert",
    format="huggingface",
    prefix="albert.",
    scopes={
        "embeddings": "albert.embeddings",
        "embeddings/word": "albert.embeddings.word_embeddings",
        "embeddings/position": "albert.embeddings.position_embeddings",
        "embeddings/type": "albert.embeddings.token_type_embeddings",
        "embeddings/norm": "albert.embeddings.LayerNorm",
        "embeddings/projection": "albert.encoder.embedding_hidden_mapping_in",
        "block": _HF_BLOCK,
        "block/attention/query": f"{_HF_BLOCK}.attention.query",
        "block/attention/key": f"{_HF_BLOCK}.attention.key",
        "block/attention/value": f"{_HF_BLOCK}.attention.value",
        "block/attention/output": f"{_HF_BLOCK}.attention.dense",
        "block/attention/norm": f"{_HF_BLOCK}.attention.LayerNorm",
        "block/ffn/expand": f"{_HF_BLOCK}.ffn",
        "block/ffn/contract": f"{_HF_BLOCK}.ffn_output",
        "block/ffn/norm": f"{_HF_BLOCK}.full_layer_layer_norm",
        "pooler": "albert.pooler",
    },
    leaves=PYTORCH,
    left_out={r"(classifier|qa_outputs)\..*": "head of a fine-tuned task"},
)

# Google's Chinese ALBERTs say "relu", and they mean it.
TANH_IN_TF1 = with_gelu("gelu_tanh", "TF1 ALBERT releases compute 'gelu' with tanh")

ALBERT = Family(
    name="albert",
    layouts=(TF1, HUGGING_FACE),
    model_types=("albert",),
    activations={"tf1": TANH_IN_TF1, "huggingface": ERF_IN_TRANSFORMERS},
    projection="after_norm",
    always_projects=("huggingface",),  # AlbertTransformer, whatever the widths
    blocks=lambda raw: int(raw.get("num_hidden_groups", 1)),
    refused={"inner_group_num": (1,)},
    defaults={"huggingface": {"hidden_act": "gelu_new"}},
)
