"""NEZHA (Wei et al. 2019): BERT whose attention adds a vector for the distance of two tokens."""

from dataclasses import replace

from export.families.bert import HUGGING_FACE as BERT_HUGGING_FACE, SCOPES as BERT_SCOPES, TF1 as BERT_TF1
from export.families.table import ERF_IN_TRANSFORMERS, Family, dotted

# "embeddings/position" is shown, and not stored.
_SCOPES = {module: scope.replace("bert/", "nezha/") for module, scope in BERT_SCOPES.items()}

HUGGING_FACE = replace(
    BERT_HUGGING_FACE,
    family="nezha",
    prefix="nezha.",
    scopes=dotted(_SCOPES),
    left_out={
        r"encoder\.layer\.\d+\.attention\.self\.relative_positions_encoding\.positions_encoding": "sines and cosines "
        "of distances, which archives make themselves",
        r"(classifier|qa_outputs)\..*": "head of a fine-tuned task",
    },
)

NEZHA = Family(
    name="nezha",
    layouts=(HUGGING_FACE,),
    names=replace(BERT_TF1, family="nezha", prefix="nezha/", scopes=_SCOPES),
    model_types=("nezha",),
    activations={"huggingface": ERF_IN_TRANSFORMERS},
    positions=lambda raw: "relative",
    refused={"max_relative_position": (64,)},
    by_type=True,
)
