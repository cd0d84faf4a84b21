"""RoFormer (Su et al. 2021): BERT whose queries and keys are turned by their positions; embeddings may be projected."""

from export.families.bert import renamed
from export.families.table import ERF_IN_TRANSFORMERS, Family

# "embeddings/position" is shown, and not stored.
HUGGING_FACE, ARCHIVES = renamed(
    "roformer",
    left_out={
        r"encoder\.embed_positions\.weight": "sines and cosines of the positions, which archives make themselves",
        r"(classifier|qa_outputs|sequence_summary)\..*": "head of a fine-tuned task",
    },
    more={"embeddings/projection": "roformer/embeddings_project"},
)

ROFORMER = Family(
    name="roformer",
    layouts=(HUGGING_FACE,),
    names=ARCHIVES,
    model_types=("roformer",),
    activations={"huggingface": ERF_IN_TRANSFORMERS},
    poolers=("first_token", "dense"),  # transformers' class has none; files of RoFormer-Sim hold one
    projection="after_norm",
    positions=lambda raw: "rotary_values" if raw.get("rotary_value") else "rotary",
    by_type=True,
)
