"""RoBERTa, XLM-R, CamemBERT, Data2VecText: BERT with one token type, and positions that begin after the padding id."""

from collections.abc import Callable

import numpy as np

from export.families.bert import renamed
from export.families.table import ERF_IN_TRANSFORMERS, Family, Fold, Settings
from export.readers.protocol import Shape
from zoo.errors import BadConfig

HUGGING_FACE, ARCHIVES = renamed("roberta")


def _first(raw: Settings) -> int:
    """Return the row of the first token's position: 2 if the padding id is 1, as in every published model."""
    padding = raw["pad_token_id"]
    if not isinstance(padding, int) or isinstance(padding, bool) or padding < 0:
        raise BadConfig(f"'pad_token_id' is {padding!r}. RoBERTa's positions begin behind it, at 2 if it is 1.")
    return padding + 1


def _positions(read: Callable[[str], np.ndarray], shape: Shape, raw: Settings) -> np.ndarray:
    return read("embeddings/position")[_first(raw) :]


def _types(read: Callable[[str], np.ndarray], shape: Shape, raw: Settings) -> np.ndarray:
    return np.broadcast_to(read("embeddings/type"), shape)


ROBERTA = Family(
    name="roberta",
    layouts=(HUGGING_FACE,),
    names=ARCHIVES,
    model_types=("roberta", "xlm-roberta", "camembert", "data2vec-text"),
    activations={"huggingface": ERF_IN_TRANSFORMERS},
    mlm_activation={"huggingface": "gelu"},  # RobertaLMHead, whatever the config says
    by_type=True,
    later_positions=True,
    defaults={"huggingface": {"pad_token_id": 1}},
    folds=(
        Fold(
            "embeddings/position",
            rows=lambda n, raw: n - _first(raw),
            values=_positions,
            note="the position table begins with the first token's row; the rows before it are never used. A token's "
            "position is its place in the row; RoBERTa counts only tokens that are not padding, which differs if "
            "padding stands before or between them",
        ),
        Fold(
            "embeddings/type",
            rows=lambda n, raw: max(n, 2),
            values=_types,
            note="where the checkpoint has one token type, type ids 0 and 1 both mean it",
        ),
    ),
)
