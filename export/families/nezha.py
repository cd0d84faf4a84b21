"""NEZHA (Wei et al. 2019): BERT whose attention adds a vector for the distance of two tokens."""

from export.families.bert import TASK_HEADS, renamed
from export.families.table import ERF_IN_TRANSFORMERS, Family

# "embeddings/position" is shown, and not stored.
HUGGING_FACE, ARCHIVES = renamed(
    "nezha",
    left_out={
        r"encoder\.layer\.\d+\.attention\.self\.relative_positions_encoding\.positions_encoding": "sines and cosines "
        "of distances, which archives make themselves",
        **TASK_HEADS,
    },
)

NEZHA = Family(
    name="nezha",
    layouts=(HUGGING_FACE,),
    names=ARCHIVES,
    model_types=("nezha",),
    activations={"huggingface": ERF_IN_TRANSFORMERS},
    positions=lambda raw: "relative",
    refused={"max_relative_position": (64,)},
    by_type=True,
)
