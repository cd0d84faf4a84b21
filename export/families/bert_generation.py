"""BertGeneration's encoder (Rothe et al. 2020): BERT without token types and without a pooler."""

from dataclasses import replace

from export.families.bert import BERT, HUGGING_FACE, TF1
from export.families.distilbert import NO_TYPES

BERT_GENERATION = replace(
    BERT,
    name="bert_generation",
    layouts=(replace(HUGGING_FACE, family="bert_generation"),),
    names=replace(TF1, family="bert_generation"),
    model_types=("bert-generation",),
    poolers=("first_token",),
    by_type=True,
    folds=(NO_TYPES,),
)
