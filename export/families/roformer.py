"""RoFormer (Su et al. 2021): BERT whose queries and keys are turned by their positions; embeddings may be projected."""

from dataclasses import replace

from export.families.bert import HUGGING_FACE as BERT_HUGGING_FACE, SCOPES as BERT_SCOPES, TF1 as BERT_TF1
from export.families.table import ERF_IN_TRANSFORMERS, Family, dotted

# "embeddings/position" is shown, and not stored.
_SCOPES = {module: scope.replace("bert/", "roformer/") for module, scope in BERT_SCOPES.items()} | {
    "embeddings/projection": "roformer/embeddings_project",
}

HUGGING_FACE = replace(
    BERT_HUGGING_FACE,
    family="roformer",
    prefix="roformer.",
    scopes=dotted(_SCOPES),
    left_out={
        r"encoder\.embed_positions\.weight": "sines and cosines of the positions, which archives make themselves",
        r"(classifier|qa_outputs|sequence_summary)\..*": "head of a fine-tuned task",
    },
)

ROFORMER = Family(
    name="roformer",
    layouts=(HUGGING_FACE,),
    names=replace(BERT_TF1, family="roformer", prefix="roformer/", scopes=_SCOPES),
    model_types=("roformer",),
    activations={"huggingface": ERF_IN_TRANSFORMERS},
    poolers=("first_token", "dense"),  # transformers' class has none; files of RoFormer-Sim hold one
    projection="after_norm",
    positions=lambda raw: "rotary_values" if raw.get("rotary_value") else "rotary",
    by_type=True,
)
