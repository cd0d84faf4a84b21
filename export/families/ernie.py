"""ERNIE 1.0, 2.0 and 3.0 as transformers has them: BERT under another name, in 3.0 with a table of tasks."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from export.families.bert import HUGGING_FACE as BERT_HUGGING_FACE, SCOPES as BERT_SCOPES, TF1 as BERT_TF1
from export.families.table import ERF_IN_TRANSFORMERS, Family, Fold, Settings, dotted
from export.readers.protocol import Shape

_SCOPES = {module: scope.replace("bert/", "ernie/") for module, scope in BERT_SCOPES.items()}

HUGGING_FACE = replace(
    BERT_HUGGING_FACE,
    family="ernie",
    prefix="ernie.",
    scopes={**dotted(_SCOPES), "embeddings/task": "ernie.embeddings.task_type_embeddings"},
    left_out={
        r"(classifier|qa_outputs)\..*": "head of a fine-tuned task",
        r"embeddings\.task_type_embeddings\..*": "tasks: transformers adds task 0 if the config says "
        "'use_task_id', and another one only if task ids are given",
    },
)


def _types(read: Callable[[str], np.ndarray], shape: Shape, raw: Settings) -> np.ndarray:
    return read("embeddings/type") + read("embeddings/task")[:1]


ERNIE = Family(
    name="ernie",
    layouts=(HUGGING_FACE,),
    names=replace(BERT_TF1, family="ernie", prefix="ernie/", scopes=_SCOPES),
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
