"""TF1's names for the variables of TF2 Model Garden's BERT and ALBERT, found by the names that its code gives them.

    transformer/layer_0/self_attention/query/kernel  ->  bert/encoder/layer_0/attention/self/query/kernel

SavedModels of TF-Hub (bert_zh_L-12_H-768_A-12, albert_en_base, …) state these names in their object graph.

Source: the converters from TF1's checkpoints in official/nlp/bert and official/nlp/albert of tensorflow/models, older
and newer versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Model Garden's module in a block -> TF1's in BERT, and in ALBERT
_IN_BLOCK: Mapping[str, tuple[str, str]] = {
    "self_attention/query": ("attention/self/query", "attention_1/self/query"),
    "self_attention/key": ("attention/self/key", "attention_1/self/key"),
    "self_attention/value": ("attention/self/value", "attention_1/self/value"),
    "self_attention/attention_output": ("attention/output/dense", "attention_1/output/dense"),
    "self_attention_output": ("attention/output/dense", "attention_1/output/dense"),
    "self_attention_layer_norm": ("attention/output/LayerNorm", "LayerNorm"),
    "intermediate": ("intermediate/dense", "ffn_1/intermediate/dense"),
    "output": ("output/dense", "ffn_1/intermediate/output/dense"),
    "output_layer_norm": ("output/LayerNorm", "LayerNorm_1"),
}
# Names outside of the blocks; what comes before them, such as "bert_model/", is the model's own name.
_OTHERS: Mapping[str, str] = {
    r"word_embeddings/embeddings": "bert/embeddings/word_embeddings",
    r"position_embedding/embeddings|embedding_postprocessor/position_embeddings": "bert/embeddings/position_embeddings",
    r"type_embeddings/embeddings|embedding_postprocessor/type_embeddings": "bert/embeddings/token_type_embeddings",
    r"(?:embeddings|embedding_postprocessor)/layer_norm/(gamma|beta)": r"bert/embeddings/LayerNorm/\1",
    r"(?:embedding_projection|embedding_postprocessor/embedding_hidden_mapping_in)/(kernel|bias)": (
        r"bert/encoder/embedding_hidden_mapping_in/\1"
    ),
    r"pooler_transform/(kernel|bias)": r"bert/pooler/dense/\1",
}
_BLOCK = re.compile(r"(?:.*/)?(?:transformer|encoder)/(?:(layer_\d+|shared_layer)/)?(.+)/(kernel|bias|gamma|beta)")
_SHARED = "bert/encoder/transformer/group_0/inner_group_0"  # ALBERT's one block


def tf1_name(given: str) -> str | None:
    """Return TF1's name of a variable that Model Garden's code gave this name, None for any other.

    tf1_name("bert_model/pooler_transform/kernel")  # "bert/pooler/dense/kernel"
    """
    if (match := _BLOCK.fullmatch(given)) and match[2] in _IN_BLOCK:
        in_bert, in_albert = _IN_BLOCK[match[2]]
        numbered = match[1] and match[1] != "shared_layer"
        scope = f"bert/encoder/{match[1]}/{in_bert}" if numbered else f"{_SHARED}/{in_albert}"
        return f"{scope}/{match[3]}"
    for pattern, name in _OTHERS.items():
        if match := re.fullmatch(rf"(?:.*/)?(?:{pattern})", given):
            return match.expand(name)
    return None
