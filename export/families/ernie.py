"""ERNIE 1.0, 2.0 and 3.0 as transformers has them: BERT under another name, in 3.0 with a table of tasks."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from export.families.bert import TASK_HEADS, renamed
from export.families.table import ERF_IN_TRANSFORMERS, Family, Fold, Settings
from export.readers.protocol import Shape

_BERT, ARCHIVES = renamed(
    "ernie",
    left_out={
        **TASK_HEADS,
        r"embeddings\.task_type_embeddings\..*": "tasks: transformers adds task 0 if the config says "
        "'use_task_id', and another one only if task ids are given",
    },
)
HUGGING_FACE = replace(_BERT, scopes={**_BERT.scopes, "embeddings/task": "ernie.embeddings.task_type_embeddings"})


def _types(read: Callable[[str], np.ndarray], shape: Shape, raw: Settings) -> np.ndarray:
    return read("embeddings/type") + read("embeddings/task")[:1]


ERNIE = Family(
    name="ernie",
    layouts=(HUGGING_FACE,),
    names=ARCHIVES,
    model_types=("ernie",),
    activations={"huggingface": ERF_IN_TRANSFORMERS},
    by_type=True,
    folds=(
        Fold(
            "embeddings/type",
            rows=lambda n, raw: n,
            values=_types,
            needs=("embeddings/task",),
            applies=lambda raw: bool(raw.get("use_task_id", False)),
            note="the vector of task 0 was added to that of every token type",
        ),
    ),
)
